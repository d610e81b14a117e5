"""The header of a file: from it follow the delimiter and the positions of the columns."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pipeline.model.error_codes import ErrorCode
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.dialect import BLOCK, RefusedFileError, required_columns
from pipeline.reading.grammar import Grammar

BLANKS = " \t\r\n\u00a0"
"""Characters trimmed from references, numbers and header names: space, tab, line ends and the no-break space."""

DELIMITERS = (",", ";", "\t", "|")

_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says about the file: delimiter, columns and where the records begin."""

    delimiter: str
    names: tuple[str, ...]
    positions: dict[str, int]
    """Cell number, counted from 1, of each column that is read."""
    ignored: tuple[str, ...]
    skip: int
    """Records up to and including the header; blank lines before it count."""
    lines: int
    """Physical lines of these records."""


def read_header(path: Path, kind: RecordKind) -> Header:
    """Read the header, and derive the delimiter and the positions of the columns from it.

    Raises
    ------
    RefusedFileError
        There is no header, or a required column is missing or repeated.
    """
    with path.open("rb") as file:
        start = file.read(BLOCK)
    blank, lines = 0, _lines(start.removeprefix(codecs.BOM_UTF8))
    for line in lines:
        if line.strip(b" "):
            break
        blank += 1
    else:
        raise RefusedFileError(ErrorCode.EMPTY_FILE, columns=required_columns(kind))
    following = list(islice(lines, 100))
    readings = [_read(delimiter, line, following) for delimiter in DELIMITERS]
    required = {column.name for column in kind.required}
    found = max(readings, key=lambda reading: len(required & set(reading.names)))
    if missing := [column.name for column in kind.required if column.name not in found.names]:
        # The error does not quote the line: if the header is missing, it is a record with personal data.
        raise RefusedFileError(ErrorCode.MISSING_COLUMN, column=" and ".join(missing), columns=required_columns(kind))
    counts = Counter(found.names)
    read = {column.name for column in kind.columns}
    if repeated := [name for name in counts if name in read and counts[name] > 1]:
        raise RefusedFileError(ErrorCode.REPEATED_COLUMN, column=" and ".join(repeated))
    positions = {name: number for number, name in enumerate(found.names, 1) if name in read}
    ignored = tuple(name for name in found.names if name not in read)
    return Header(found.delimiter, found.names, positions, ignored, blank + 1, blank + found.lines)


def column_names(cells: list[str]) -> tuple[str, ...]:
    """Return cells as column names: trimmed and in lower case."""
    return tuple(cell.strip(BLANKS).lower() for cell in cells)


@dataclass(frozen=True, slots=True)
class _Reading:
    delimiter: str
    names: tuple[str, ...]
    lines: int


def _read(delimiter: str, line: bytes, following: list[bytes]) -> _Reading:
    """Read the header with one delimiter; without names if its quotes are wrong."""
    if b'"' not in line:
        # Compiling the grammar takes a tenth of the time of a small day.
        return _Reading(delimiter, column_names(line.decode("utf-8", "backslashreplace").split(delimiter)), 1)
    grammar = Grammar(delimiter)
    record = [line]
    is_open = grammar.is_open_after(line, was_open=False)
    for more in following:
        if not is_open:
            break
        record.append(more)
        is_open = grammar.is_open_after(more, was_open=True)
    cells = grammar.split(b"\n".join(record).decode("utf-8", "backslashreplace")) or []
    return _Reading(delimiter, column_names(cells), len(record))


def _lines(data: bytes) -> Iterator[bytes]:
    """Yield the lines one by one, so that a header at the start of a block costs nothing for the rest of it."""
    start = 0
    for end in _LINE_END.finditer(data):
        yield data[start : end.start()]
        start = end.end()
    if data:
        yield data[start:]
