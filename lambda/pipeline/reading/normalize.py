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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from pipeline.model.error_codes import ErrorCode
from pipeline.model.record_kinds import Column, ColumnType, RecordKind
from pipeline.model.text import INVISIBLE_CHARACTERS
from pipeline.reading.dialect import BLOCK, MAX_LINE, ByteProfile, RefusedFileError, Sentinels, has_short_lines
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
    with target.open("wb") as lines, truncated.open("wb") as cut, quote_errors.open("wb") as refused:
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
            number += block.count(b"\n")
            if len(rest) > MAX_LINE:
                raise RefusedFileError(ErrorCode.LINE_TOO_LONG, number=number, limit=MAX_LINE)
            if end:
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
        truncated: IO[bytes],
        quote_errors: IO[bytes],
        sentinels: Sentinels,
        header: Header,
        typed_cells: Mapping[int, Column],
    ) -> None:
        self._target = target
        self._truncated = truncated
        self._quote_errors = quote_errors
        self._grammar = Grammar(header.delimiter)
        self._delimiter = header.delimiter.encode()
        self._columns = len(header.names)
        self._header_record = header.skip
        self._typed_cells = typed_cells
        self._sentinels = sentinels
        self._newline = sentinels.newline.encode()
        self._open = bytearray()
        """The lines of a record that is still open, each with its line feed."""
        self._open_lines = 0
        self._is_ambiguous = False
        """Whether one of the open lines could be a record by itself."""
        self.records = 0
        self.removed = 0
        self.has_refused = False

    def write(self, block: bytes) -> None:
        """Add whole lines: as a block if each of them is surely a record, else one by one."""
        if self._open or b'"' in block or not has_short_lines(block, MAX_RECORD // 2) or not _is_utf8(block):
            self._write_lines(block)
        else:
            self._target.write(block)
            self.records += block.count(b"\n")

    def finish(self) -> None:
        """Refuse the file if its last record is still open."""
        if self._open:
            raise RefusedFileError(ErrorCode.UNCLOSED_QUOTE, number=self.records + self.removed + 1)

    def _write_lines(self, block: bytes) -> None:
        for line in block.split(b"\n")[:-1]:
            was_open = bool(self._open)
            quotes = self._grammar.quotes_after(line, was_open) if was_open or b'"' in line else Quotes.RIGHT
            if not was_open and quotes is not Quotes.OPEN:
                self.has_refused |= quotes is Quotes.WRONG
                self._write_record(line)
                continue
            self._open += line + b"\n"
            self._open_lines += 1
            if self._open_lines > MAX_RECORD_LINES or len(self._open) > MAX_LINE:
                number, lines, size = self.records + self.removed + 1, self._open_lines, len(self._open)
                raise RefusedFileError(ErrorCode.RECORD_WITHOUT_END, number=number, lines=lines, size=size)
            self._is_ambiguous = self._is_ambiguous or self._could_be_record(line, quotes)
            if quotes is not Quotes.OPEN:
                self._close(quotes)

    def _could_be_record(self, line: bytes, quotes: Quotes) -> bool:
        """Return whether a line of a record of several lines could be a record, if its quotes were ordinary characters.

        Of the first and the last line, the part of the spanning cell must have delimiters of that record.
        """
        if line.count(self._delimiter) < self._columns - 1:
            return False
        if self._open_lines == 1:
            before, part = self._grammar.spanning_part(line)
            delimiters = part.count(self._delimiter)
            return delimiters > 0 and before + delimiters >= self._columns - 1
        if quotes is Quotes.OPEN:
            cells = line.split(self._delimiter)
            return len(cells) == self._columns and all(
                _is_valid(cells[place], column) for place, column in self._typed_cells.items()
            )
        return self._delimiter in self._grammar.end_of_cell(line)

    def _close(self, quotes: Quotes) -> None:
        """Write the open record as one line, or its lines one by one if its quotes are wrong or look stray."""
        lines = bytes(self._open)
        if quotes is Quotes.WRONG:
            self._refuse_lines(lines, self._sentinels.bad_quoting)
        elif self._is_ambiguous and self.records + 1 != self._header_record:
            self._refuse_lines(lines, self._sentinels.doubtful_quoting)
        else:
            # Nothing is kept after the line that makes the record too long.
            record = lines[: lines.find(b"\n", MAX_RECORD + 1)]
            kept = self._write_record(record.replace(b"\n", self._newline))
            self.removed += self._open_lines - 1
            if truncated := self._open_lines - 1 - kept.count(self._newline):
                self._truncated.write(b"%d,%d\n" % (self.records, truncated))
        self._open, self._open_lines, self._is_ambiguous = bytearray(), 0, False

    def _refuse_lines(self, lines: bytes, sentinel: str) -> None:
        """Write each line as a record of its own, prefixed by the sentinel."""
        cell = self._grammar.spanning_part(lines[: lines.index(b"\n")])[0] + 1
        self._quote_errors.write(b"%d,%d,%d\n" % (self.records + 1, self.records + self._open_lines, cell))
        self.has_refused = True
        for line in BytesIO(lines):
            self._write_record(line.removesuffix(b"\n"), sentinel.encode())

    def _write_record(self, record: bytes, prefix: bytes = b"") -> bytes:
        """Write a record as one line and return it; what makes it too long is cut off, invalid bytes become escapes."""
        if len(record) > MAX_RECORD:
            # The truncated record is still over the limit, so that it is refused as too long.
            record = _cut(record, MAX_RECORD + 8)
            self.has_refused = True
        if not _is_utf8(record):
            prefix, record = self._sentinels.invalid.encode(), record.decode("utf-8", "backslashreplace").encode()
            self.has_refused = True
        self._target.write(prefix + record + b"\n")
        self.records += 1
        return record


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
