"""Where the tasks of a day read files and leave files: folders of this machine, or the bucket."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pipeline.ledger import SourceObject

READ_BYTES = 256 << 10
"""Bytes of a block that is read in one go."""


class Source(Protocol):
    """The bytes of a file, wherever they are; goes to the tasks, so it must be picklable."""

    @property
    def size(self) -> int:
        """Bytes of the file."""

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` to before `end`, in blocks of at most `READ_BYTES`."""


class Store(Protocol):
    """A place for files that other tasks read, or that delivery reads; goes to the tasks, so it must be picklable."""

    def put(self, path: Path, name: str) -> None:
        """Keep a file under a name. To put it again changes nothing."""

    def source(self, name: str) -> Source:
        """Find the bytes of a file that was put here."""


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A file on this machine."""

    path: Path

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield a range of it."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(start)
            while start < end and (block := file.read(min(READ_BYTES, end - start))):
                start += len(block)
                yield block


@dataclass(frozen=True, slots=True)
class LocalStore:
    """A folder on this machine."""

    folder: Path

    def put(self, path: Path, name: str) -> None:
        """Copy a file into the folder; nobody sees a part of it."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f"{target.name}.{path.parent.name}")
        shutil.copyfile(path, unfinished)
        unfinished.replace(target)

    def source(self, name: str) -> LocalSource:
        """Find a file in the folder."""
        return LocalSource(self.folder / name)


@dataclass(frozen=True, slots=True)
class ObjectSource:
    """One exact version of an object in the bucket."""

    bucket_name: str
    object: SourceObject

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return self.object.size

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield a range of it by one request.

        Raises
        ------
        SourceChangedError
            That version is gone.
        """
        from pipeline.aws.s3 import Bucket

        return Bucket(self.bucket_name).read_range(self.object, start, end, READ_BYTES)


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """The objects of the bucket under one prefix."""

    bucket_name: str
    prefix: str

    def put(self, path: Path, name: str) -> None:
        """Upload a file."""
        from pipeline.aws.s3 import Bucket

        Bucket(self.bucket_name).upload_all([(path, self.prefix + name)])

    def source(self, name: str) -> ObjectSource:
        """Find an object that was put here.

        Raises
        ------
        FileNotFoundError
            There is none.
        """
        from pipeline.aws.s3 import Bucket

        found = Bucket(self.bucket_name).head(self.prefix + name)
        if found is None:
            raise FileNotFoundError(f"s3://{self.bucket_name}/{self.prefix}{name}")
        return ObjectSource(self.bucket_name, found)


def copy(source: Source, target: Path) -> Path:
    """Copy all bytes of a source into a file of this machine."""
    with target.open("wb") as file:
        for block in source.read(0, source.size):
            file.write(block)
    return target
