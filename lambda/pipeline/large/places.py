"""Where the tasks of a day read and write files: local folders, or the bucket."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pipeline.ledger import SourceObject

READ_BYTES = 256 << 10
"""Bytes that are read at a time."""


class Source(Protocol):
    """A readable file. It is sent to the tasks, so it must be picklable."""

    @property
    def size(self) -> int:
        """Bytes of the file."""

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` up to but excluding `end`, in blocks of at most `READ_BYTES`."""


class Store(Protocol):
    """A place for files that other tasks or deliver read. It is sent to the tasks, so it must be picklable."""

    def put(self, path: Path, name: str) -> None:
        """Store a file under a name; idempotent."""

    def source(self, name: str) -> Source:
        """Return a file that was stored here."""


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A local file."""

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
    """A local folder."""

    folder: Path

    def put(self, path: Path, name: str) -> None:
        """Copy a file into the folder atomically."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f"{target.name}.{path.parent.name}")
        shutil.copyfile(path, unfinished)
        unfinished.replace(target)

    def source(self, name: str) -> LocalSource:
        """Return a file in the folder."""
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
        """Yield a range of it with one request.

        Raises
        ------
        SourceChangedError
            The version is gone.
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
        """Return an object that was stored here.

        Raises
        ------
        FileNotFoundError
            It does not exist.
        """
        from pipeline.aws.s3 import Bucket

        found = Bucket(self.bucket_name).head(self.prefix + name)
        if found is None:
            raise FileNotFoundError(f"s3://{self.bucket_name}/{self.prefix}{name}")
        return ObjectSource(self.bucket_name, found)


def copy(source: Source, target: Path) -> Path:
    """Copy all bytes of a source into a local file."""
    with target.open("wb") as file:
        for block in source.read(0, source.size):
            file.write(block)
    return target
