"""Chunk files: table writes as lines of DynamoDB JSON; each file is small enough for one call of deliver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.model.items import put_item


@dataclass(frozen=True, slots=True)
class Chunk:
    """One file of at most `chunk_records` write requests, puts before deletes."""

    path: Path
    records: int


class ChunkWriter:
    """Writes requests in the given order to numbered files."""

    def __init__(self, directory: Path, chunk_records: int) -> None:
        self.directory = directory
        self.chunk_records = chunk_records
        self._lines: list[str] = []
        self.chunks: list[Chunk] = []
        """The files so far; those that others have written may be added after `flush`."""
        directory.mkdir(parents=True, exist_ok=True)

    def add(self, lines: list[str]) -> None:
        """Add request lines; full chunks are written immediately."""
        lines = self._lines + lines if self._lines else lines
        whole = len(lines) - len(lines) % self.chunk_records
        for start in range(0, whole, self.chunk_records):
            self._write(lines[start : start + self.chunk_records])
        self._lines = lines[whole:]

    def flush(self) -> None:
        """Write the remaining lines; the next line starts a new chunk."""
        if self._lines:
            self._write(self._lines)
            self._lines = []

    def _write(self, lines: list[str]) -> None:
        path = self.directory / chunk_name(len(self.chunks))
        path.write_bytes("\n".join([*lines, ""]).encode())
        self.chunks.append(Chunk(path, len(lines)))


def chunk_name(number: int) -> str:
    """Return the file name of a chunk."""
    return f"{number:05}.jsonl"


def put_items(chunks: Iterable[Chunk]) -> Iterator[dict[str, Any]]:
    """Yield the items of the put requests in the chunks, as plain values with numbers as Decimal."""
    for chunk in chunks:
        with chunk.path.open(encoding="utf-8") as lines:
            for line in lines:
                item = put_item(line)
                if item is not None:
                    yield item
