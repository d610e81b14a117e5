"""Rewrite a text file so that every record is one line of valid UTF-8 that ends with a line feed.

Only files that are not like that already are rewritten: those with CR or mixed line ends, line ends inside quoted
cells, bytes that are no UTF-8, or very long lines. What a line was before stays known: line ends inside a record and
invalid bytes are marked, and `joins` tells how many physical lines the records before took.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.model.error_codes import ErrorCode
from pipeline.reading.dialect import BLOCK, MAX_LINE, Grammar, RefusedFileError, Sentinels, Text

MAX_RECORD = 1_000_000
"""Bytes of a record; a longer one is refused, and no more than this of it is kept."""


@dataclass(frozen=True, slots=True)
class RecordLines:
    """A file with one record a line."""

    path: Path
    records: int
    """Lines of the file, blank ones and the header included."""
    joins: Path | None = None
    """CSV of (record, extra): up to and with the record of that number, `extra` line ends were taken out."""


def as_records(text: Text) -> RecordLines:
    """Take a file as it is: each of its lines is a record."""
    return RecordLines(text.path, text.lines)


def rewrite(text: Text, delimiter: str, target: Path) -> RecordLines:
    """Write the file's records to `target`, one a line, and refuse the file where a quote is never closed."""
    joins = target.with_suffix(".joins.csv")
    with target.open("wb") as lines, joins.open("w") as joined:
        writer = _Writer(lines, joined, Grammar(delimiter), text.sentinels)
        for block in _whole_lines(text.path):
            writer.write(block)
        writer.finish()
    return RecordLines(target, writer.records, joins if writer.extra else None)


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Cut the file into blocks of whole lines, each ended by a line feed, without a byte order mark."""
    rest = b""
    number = 1
    with path.open("rb", buffering=0) as file:
        if file.read(3) != codecs.BOM_UTF8:
            file.seek(0)
        while block := file.read(BLOCK):
            block = rest + block
            held = b""
            if block.endswith(b"\r"):
                # The line feed that belongs to it may come with the next block.
                block, held = block[:-1], b"\r"
            if b"\r" in block:
                block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            end = block.rfind(b"\n") + 1
            rest = block[end:] + held
            if len(rest) > MAX_LINE:
                number += block.count(b"\n")
                raise RefusedFileError(ErrorCode.LINE_TOO_LONG, number=number, limit=MAX_LINE)
            if end:
                number += block.count(b"\n")
                yield block[:end]
    if rest:
        yield rest.removesuffix(b"\r") + b"\n"


class _Writer:
    """Puts records together from physical lines and writes each as one line."""

    def __init__(self, target: IO[bytes], joined: IO[str], grammar: Grammar, sentinels: Sentinels) -> None:
        self._target = target
        self._joined = joined
        self._grammar = grammar
        self._newline = sentinels.newline.encode()
        self._invalid = sentinels.invalid.encode()
        self._open: list[bytes] = []
        self._open_bytes = 0
        self._open_lines = 0
        self.records = 0
        self.extra = 0

    def write(self, block: bytes) -> None:
        """Add whole lines. A block without anything special is passed on as it is."""
        if not self._open and b'"' not in block and len(block) <= MAX_RECORD and _is_utf8(block):
            self._target.write(block)
            self.records += block.count(b"\n")
            return
        ready: list[bytes] = []
        for line in block.split(b"\n")[:-1]:
            if not self._open and (b'"' not in line or not self._grammar.is_open_after(line, was_open=False)):
                ready.append(self._clean(line))
                continue
            is_open = self._grammar.is_open_after(line, was_open=bool(self._open)) if self._open else True
            self._keep(line)
            if not is_open:
                ready.append(self._close(self.records + len(ready) + 1))
        ready.append(b"")
        self._target.write(b"\n".join(ready))
        self.records += len(ready) - 1

    def finish(self) -> None:
        """Refuse the file where its last record is still open."""
        if self._open:
            number = self.records + self.extra + 1
            raise RefusedFileError(ErrorCode.UNCLOSED_QUOTE, number=number)

    def _keep(self, line: bytes) -> None:
        if self._open_bytes <= MAX_RECORD:
            self._open.append(line)
            self._open_bytes += len(line) + 1
        self._open_lines += 1

    def _close(self, record: int) -> bytes:
        line = self._clean(self._newline.join(self._open))
        self.extra += self._open_lines - 1
        self._joined.write(f"{record},{self.extra}\n")
        self._open, self._open_bytes, self._open_lines = [], 0, 0
        return line

    def _clean(self, line: bytes) -> bytes:
        if len(line) > MAX_RECORD:
            # Still longer than allowed, so that it is refused as too long.
            line = _cut(line, MAX_RECORD + 8)
        if line.isascii() or _is_utf8(line):
            return line
        return self._invalid + line.decode("utf-8", "backslashreplace").encode()


def _cut(data: bytes, length: int) -> bytes:
    """Shorten to about `length` bytes, and not within a character."""
    for end in range(length, length - 4, -1):
        if data[end : end + 1] < b"\x80" or data[end : end + 1] >= b"\xc0":
            return data[:end]
    return data[:length]


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
