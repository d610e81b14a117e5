"""Where the tasks of a day read and write files: local folders, or the bucket. All of it is sent to the tasks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.aws.s3 import Bucket
from pipeline.model.file_set import SourceObject

_READ_BYTES = 256 << 10
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
        """Yield the bytes from `start` up to but excluding `end`, in blocks of at most `_READ_BYTES`."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(start)
            while start < end and (block := file.read(min(_READ_BYTES, end - start))):
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
        shutil.copyfile(path, target)

    def source(self, name: str) -> LocalSource:
        """Return a file that was stored here."""
        return LocalSource(self.folder / name)


@dataclass(frozen=True, slots=True)
class ObjectSource:
    """One exact version of an object in the bucket. A client can't be sent to tasks, so each creates its own."""

    bucket_name: str
    object: SourceObject

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return self.object.size

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield a range of it with one request, as `LocalSource.read` does; raise SourceChangedError if it is gone."""
        return Bucket(self.bucket_name).read_range(self.object, start, end, _READ_BYTES)


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """The objects of the bucket whose keys begin with a prefix."""

    bucket_name: str
    prefix: str

    def put(self, path: Path, name: str) -> None:
        """Upload a file under a name; idempotent."""
        Bucket(self.bucket_name).upload_all([(path, self.prefix + name)])

    def source(self, name: str) -> ObjectSource:
        """Return an object that was stored here; raise FileNotFoundError if it does not exist."""
        found = Bucket(self.bucket_name).head(self.prefix + name)
        if found is None:
            raise FileNotFoundError(f"s3://{self.bucket_name}/{self.prefix}{name}")
        return ObjectSource(self.bucket_name, found)


Source = LocalSource | ObjectSource
Store = LocalStore | ObjectStore


def copy(source: Source, target: Path, start: int = 0, end: int | None = None, header: bytes = b"") -> Path:
    """Copy a source, or a range of it under a header, into a local file."""
    with target.open("wb") as file:
        file.write(header)
        file.writelines(source.read(start, source.size if end is None else end))
    return target
