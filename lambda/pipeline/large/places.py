"""Where the tasks of a day read and write files: local folders, or the bucket."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pipeline.aws.s3 import Bucket
    from pipeline.model.file_set import SourceObject

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

    def concatenate(self, names: Sequence[str], name: str) -> None:
        """Store the contents of several stored files, in this order, as one file; idempotent."""


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

    def concatenate(self, names: Sequence[str], name: str) -> None:
        """Append files of the folder to a new one atomically."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f"{target.name}.unfinished")
        with unfinished.open("wb") as file:
            for part in names:
                with (self.folder / part).open("rb") as content:
                    shutil.copyfileobj(content, file)
        unfinished.replace(target)


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
    """Objects of the bucket."""

    bucket_name: str
    prefixes: Mapping[str, str]
    """Key prefixes by how a name begins; the entry for `""` is for all other names."""

    def key(self, name: str) -> str:
        """Return the key for a name, by the longest entry of `prefixes` that it begins with."""
        beginning = max((one for one in self.prefixes if name.startswith(one)), key=len)
        return self.prefixes[beginning] + name.removeprefix(beginning)

    def put(self, path: Path, name: str) -> None:
        """Upload a file."""
        self._bucket().upload_all([(path, self.key(name))])

    def source(self, name: str) -> ObjectSource:
        """Return an object that was stored here.

        Raises
        ------
        FileNotFoundError
            It does not exist.
        """
        found = self._bucket().head(self.key(name))
        if found is None:
            raise FileNotFoundError(f"s3://{self.bucket_name}/{self.key(name)}")
        return ObjectSource(self.bucket_name, found)

    def concatenate(self, names: Sequence[str], name: str) -> None:
        """Copy objects one after another into a new one, a few megabytes at a time."""
        sources = (self.source(part) for part in names)
        self._bucket().upload_blocks((block for one in sources for block in one.read(0, one.size)), self.key(name))

    def _bucket(self) -> Bucket:
        # It is made where it is used, as a client can't be sent to the tasks.
        from pipeline.aws.s3 import Bucket

        return Bucket(self.bucket_name)


def copy(source: Source, target: Path) -> Path:
    """Copy all bytes of a source into a local file."""
    with target.open("wb") as file:
        for block in source.read(0, source.size):
            file.write(block)
    return target
