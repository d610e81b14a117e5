"""Where the tasks of a day read and write files: local folders, or the bucket. All of it is sent to the tasks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.aws.s3 import Bucket
    from pipeline.model.file_set import SourceObject

READ_BYTES = 256 << 10
"""Bytes that are read at a time."""


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A local file."""

    path: Path

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` up to but excluding `end`, in blocks of at most `READ_BYTES`."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(start)
            while start < end and (block := file.read(min(READ_BYTES, end - start))):
                start += len(block)
                yield block


@dataclass(frozen=True, slots=True)
class LocalStore:
    """A local folder for files that other tasks or deliver read."""

    folder: Path

    def put(self, path: Path, name: str) -> None:
        """Store a file under a name; idempotent."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f"{target.name}.{path.parent.name}")
        shutil.copyfile(path, unfinished)
        unfinished.replace(target)

    def source(self, name: str) -> LocalSource:
        """Return a file that was stored here."""
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
        """Yield a range of it with one request, as `LocalSource.read` does.

        Raises
        ------
        SourceChangedError
            The version is gone.
        """
        return _bucket(self.bucket_name).read_range(self.object, start, end, READ_BYTES)


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """The objects of the bucket whose keys begin with a prefix."""

    bucket_name: str
    prefix: str

    def put(self, path: Path, name: str) -> None:
        """Upload a file under a name; idempotent."""
        _bucket(self.bucket_name).upload_all([(path, self.prefix + name)])

    def source(self, name: str) -> ObjectSource:
        """Return an object that was stored here.

        Raises
        ------
        FileNotFoundError
            It does not exist.
        """
        found = _bucket(self.bucket_name).head(self.prefix + name)
        if found is None:
            raise FileNotFoundError(f"s3://{self.bucket_name}/{self.prefix}{name}")
        return ObjectSource(self.bucket_name, found)


Source = LocalSource | ObjectSource
Store = LocalStore | ObjectStore


def copy(source: Source, target: Path) -> Path:
    """Copy all bytes of a source into a local file."""
    with target.open("wb") as file:
        file.writelines(source.read(0, source.size))
    return target


def _bucket(name: str) -> Bucket:
    # It is created where it is used, as a client can't be sent to the tasks.
    from pipeline.aws.s3 import Bucket

    return Bucket(name)
