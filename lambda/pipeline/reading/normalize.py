"""Rewrite a text file so that every record is one line of valid UTF-8 that ends with a line feed.

Only files that need it are rewritten: those with CR or mixed line ends, line ends inside quoted cells, bytes that are
not valid UTF-8, or very long lines. Sentinels keep what the rewriting would lose: one replaces each line end inside a
record; others precede a record with invalid bytes, and each line of a record of several lines that is refused for its
quotes. So counting the sentinels tells which physical lines a record occupied, except for records that are too long:
for them there is a small list.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from pipeline.model.error_codes import ErrorCode
from pipeline.model.record_kinds import Column, ColumnType, RecordKind
from pipeline.model.text import INVISIBLE_CHARACTERS
from pipeline.reading.dialect import BLOCK, MAX_LINE, ByteProfile, RefusedFileError, Sentinels
from pipeline.reading.grammar import Grammar, Quotes
from pipeline.reading.header import Header

_INTEGER = re.compile(r"-?0*[0-9]{1,19}", re.ASCII)
_AMOUNT = re.compile(r"-?[0-9]{1,14}(?:[.,][0-9]{1,4})?", re.ASCII)

MAX_RECORD_LINES = 1_000_000
"""Lines of one record, each of which is examined by itself; a file with more of them, or MAX_LINE bytes, is refused."""
MAX_RECORD = 1_000_000
"""Longest record in bytes. A longer one is refused, and only about this much of it is kept."""


@dataclass(frozen=True, slots=True)
class RecordLines:
    """The lines of a file, each of which is one record."""

    path: Path
    count: int
    """All lines, including blank ones and the header."""
    removed: int = 0
    """Line ends that were removed in the whole file."""
    removed_before: int = 0
    """Line ends that were removed before the first record after the header (in a part of a file: before the part)."""
    truncated_csv: Path | None = None
    """CSV of (record, removed): line ends that were removed with the rest of a record that was too long."""
    quote_errors_csv: Path | None = None
    """CSV of (record, last, cell): the records from `record` to `last` are the lines of one record that was refused for
    its quotes; `cell` is the number of the cell whose quote is open at the end of the first line."""
    before: int = 0
    """Records before the first line of `path`, if it holds only a part of a file."""
    has_refused: bool = False
    """Whether the rewriting met a record to refuse: with invalid bytes, with wrong or stray quotes, or too long."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that exist."""
        return tuple(path for path in (self.path, self.truncated_csv, self.quote_errors_csv) if path)


def rewrite(kind: RecordKind, profile: ByteProfile, header: Header, target: Path) -> RecordLines:
    """Write the file's records to `target`, one per line.

    Raises
    ------
    RefusedFileError
        A line is too long, or a quote is never closed.
    """
    truncated, quote_errors = target.with_suffix(".truncated.csv"), target.with_suffix(".quotes.csv")
    with target.open("wb") as lines, truncated.open("w") as cut, quote_errors.open("w") as refused:
        writer = _Writer(lines, cut, refused, profile.sentinels, header, _typed_cells(kind, header))
        for block in _whole_lines(profile.path):
            writer.write(block)
        writer.finish()
    for path in (truncated, quote_errors):
        if not path.stat().st_size:
            path.unlink()
    return RecordLines(
        target,
        writer.records,
        removed=writer.removed,
        removed_before=header.lines - header.skip,
        truncated_csv=truncated if truncated.exists() else None,
        quote_errors_csv=quote_errors if quote_errors.exists() else None,
        has_refused=writer.has_refused,
    )


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Yield blocks of whole lines, each ended by a line feed, without the byte order mark."""
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
    """Assembles records from physical lines and writes each as one line.

    A record of several lines is refused line by line if its quotes are wrong, or if they look stray: when quotes are
    read as ordinary characters, one of its lines could be a record, and the spanning cell has a part in that.
    """

    def __init__(
        self,
        target: IO[bytes],
        truncated: IO[str],
        quote_errors: IO[str],
        sentinels: Sentinels,
        header: Header,
        typed_cells: Mapping[int, Column],
    ) -> None:
        self._target = target
        self._truncated = truncated
        self._quote_errors = quote_errors
        self._grammar = Grammar(header.delimiter)
        self._delimiter = header.delimiter.encode()
        self._header = header
        self._typed_cells = typed_cells
        self._sentinels = sentinels
        self._newline = sentinels.newline.encode()
        self._invalid = sentinels.invalid.encode()
        self._ready: list[bytes] = []
        self._held = b""
        """The start of a record that continues in the next block; the lines before it are written already."""
        self._open = _OpenRecord()
        self.records = 0
        self.removed = 0
        self.has_refused = False

    def write(self, block: bytes) -> None:
        """Add whole lines. A block that needs no change is written as it is."""
        if (
            not self._open.lines
            and not self._held
            and b'"' not in block
            and len(block) <= MAX_RECORD
            and _is_utf8(block)
        ):
            self._target.write(block)
            self.records += block.count(b"\n")
            return
        if not self._open.lines:
            block = self._held + block
            self._held = b""
            if self._write_quoted(block):
                return
        self._write_lines(block)

    def _write_quoted(self, block: bytes) -> bool:
        """Write lines with quotes if none can be wrong; return False if they must be examined one by one.

        When a block is split at its quotes, every second piece is inside a quoted cell, so its line ends end no record.
        """
        newline = self._newline
        texts = block.split(b'"')
        outside, quoted = b'"'.join(texts[::2]), b'"'.join(texts[1::2])
        if b"\n" in quoted:
            texts[1::2] = quoted.replace(b"\n", newline).split(b'"')
        joined, held = b'"'.join(texts), b""
        if len(texts) % 2 == 0:
            # The last record continues in the next block.
            end = joined.rfind(b"\n") + 1
            joined, held = joined[:end], joined[end:].replace(newline, b"\n")
        columns = len(self._header.names)
        if (
            len(held) > MAX_RECORD
            or _has_long_line(joined)
            or not _is_utf8(joined)
            or self._grammar.has_stray_quotes(joined, outside, newline, columns)
        ):
            return False
        self._target.write(joined)
        self._held = held
        self.removed += joined.count(newline)
        self.records += joined.count(b"\n")
        return True

    def _write_lines(self, block: bytes) -> None:
        grammar = self._grammar
        for line in block.split(b"\n")[:-1]:
            if not self._open.lines:
                quotes = grammar.quotes_after(line, was_open=False) if b'"' in line else Quotes.RIGHT
                if quotes is not Quotes.OPEN:
                    self.has_refused = self.has_refused or quotes is Quotes.WRONG
                    self._ready.append(self._clean(line))
                    self.records += 1
                    continue
            else:
                quotes = grammar.quotes_after(line, was_open=True)
            self._open.add(line)
            if self._open.lines > MAX_RECORD_LINES or self._open.size > MAX_LINE:
                number, lines, size = self.records + self.removed + 1, self._open.lines, self._open.size
                raise RefusedFileError(ErrorCode.RECORD_WITHOUT_END, number=number, lines=lines, size=size)
            self._open.is_doubtful = self._open.is_doubtful or self._could_be_record(line, quotes)
            if quotes is not Quotes.OPEN:
                self._close(quotes)
        self._flush()

    def _could_be_record(self, line: bytes, quotes: Quotes) -> bool:
        """Return whether a line of a record of several lines could be a record, if its quotes were ordinary characters.

        Of the first and the last line, the part of the spanning cell must have delimiters of that record.
        """
        columns = len(self._header.names)
        if self._open.lines == 1:
            before, part = self._grammar.spanning_part(line)
            delimiters = part.count(self._delimiter)
            return delimiters > 0 and before + delimiters >= columns - 1
        if quotes is Quotes.OPEN:
            cells = line.split(self._delimiter)
            return len(cells) == columns and all(
                _is_valid(cells[place], column) for place, column in self._typed_cells.items()
            )
        delimiters = self._grammar.end_of_cell(line).count(self._delimiter)
        return delimiters > 0 and line.count(self._delimiter) >= columns - 1

    def finish(self) -> None:
        """Write what is left, and refuse the file if its last record is still open."""
        if self._held:
            held, self._held = self._held, b""
            self._write_lines(held)
        if self._open.lines:
            number = self.records + self.removed + 1
            raise RefusedFileError(ErrorCode.UNCLOSED_QUOTE, number=number)

    def _flush(self) -> None:
        self._ready.append(b"")
        self._target.write(b"\n".join(self._ready))
        self._ready = []

    def _close(self, quotes: Quotes) -> None:
        is_header = self.records + 1 == self._header.skip
        if quotes is Quotes.WRONG:
            self._refuse_lines(self._sentinels.bad_quoting)
        elif self._open.is_doubtful and not is_header:
            self._refuse_lines(self._sentinels.doubtful_quoting)
        else:
            record = self._clean(self._newline.join(self._open.beginning))
            self._ready.append(record)
            self.records += 1
            self.removed += self._open.lines - 1
            if truncated := self._open.lines - 1 - record.count(self._newline):
                self._truncated.write(f"{self.records},{truncated}\n")
        self._open.close()
        self._open = _OpenRecord()

    def _refuse_lines(self, sentinel: str) -> None:
        """Write each line as a record of its own, prefixed by the sentinel."""
        first, last = self.records + 1, self.records + self._open.lines
        self._quote_errors.write(f"{first},{last},{self._grammar.spanning_part(self._open.beginning[0])[0] + 1}\n")
        prefix = sentinel.encode()
        for line in self._open.all_lines():
            self._ready.append(self._clean(line, prefix))
            if len(line) > BLOCK or len(self._ready) > BLOCK // 64:
                self._flush()
        self.records = last

    def _clean(self, line: bytes, prefix: bytes = b"") -> bytes:
        if len(line) > MAX_RECORD:
            # The truncated line is still over the limit, so that it is refused as too long.
            line = _cut(line, MAX_RECORD + 8)
            self.has_refused = True
        if line.isascii() or _is_utf8(line):
            self.has_refused = self.has_refused or bool(prefix)
            return prefix + line
        self.has_refused = True
        return self._invalid + line.decode("utf-8", "backslashreplace").encode()


def _typed_cells(kind: RecordKind, header: Header) -> dict[int, Column]:
    """Return the typed columns by the place of their cells in a record."""
    typed = (ColumnType.INTEGER, ColumnType.TIMESTAMP, ColumnType.AMOUNT)
    return {
        header.positions[column.name] - 1: column
        for column in kind.columns
        if column.type in typed and column.name in header.positions
    }


def _is_valid(cell: bytes, column: Column) -> bool:
    """Return whether the cell of a typed column is valid with either decimal mark."""
    text = cell.decode(errors="replace").strip(INVISIBLE_CHARACTERS)
    if not text:
        return not column.required
    if column.type is ColumnType.AMOUNT:
        return _AMOUNT.fullmatch(text) is not None
    return _INTEGER.fullmatch(text) is not None and -(2**63) <= int(text) < 2**63


class _OpenRecord:
    """The lines of an incomplete record: its beginning in memory, the rest in a temporary file."""

    def __init__(self) -> None:
        self.beginning: list[bytes] = []
        """The lines up to the one that exceeds the limit for a record."""
        self.lines = 0
        self.size = 0
        """Bytes of all lines."""
        self.is_doubtful = False
        """Whether one of the lines so far could be a record by itself."""
        self._bytes = 0
        """Length of the beginning as one line."""
        self._rest: IO[bytes] | None = None

    def add(self, line: bytes) -> None:
        self.lines += 1
        self.size += len(line) + 1
        if self._bytes <= MAX_RECORD:
            self.beginning.append(line)
            self._bytes += len(line) + (self.lines > 1)
            return
        if self._rest is None:
            self._rest = TemporaryFile()  # noqa: SIM115 (open as long as the record is)
        self._rest.write(line + b"\n")

    def all_lines(self) -> Iterable[bytes]:
        yield from self.beginning
        if self._rest is not None:
            self._rest.seek(0)
            yield from (line.removesuffix(b"\n") for line in self._rest)

    def close(self) -> None:
        if self._rest is not None:
            self._rest.close()


def _has_long_line(lines: bytes) -> bool:
    start = 0
    while len(lines) - start > MAX_RECORD:
        start = lines.rfind(b"\n", start, start + MAX_RECORD + 1) + 1
        if not start:
            return True
    return False


def _cut(data: bytes, length: int) -> bytes:
    """Shorten to about `length` bytes, but not within a UTF-8 character."""
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
