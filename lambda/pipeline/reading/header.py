"""The header of a file: from it follow the delimiter and the positions of the columns."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import ErrorCode
from pipeline.model.record_kinds import RecordKind
from pipeline.model.text import INVISIBLE_CHARACTERS
from pipeline.reading.dialect import BLOCK, COLUMN_NAMES, RefusedFileError, count_names, required_columns
from pipeline.reading.grammar import Grammar

DELIMITERS = (",", ";", "\t", "|")

_LINE_END = re.compile(rb"\r\n|\r|\n")
_SEPARATOR_LINE = re.compile(r"sep=[,;\t|]", re.IGNORECASE)
"""Excel's first line that names the delimiter."""
_NOT_COMPARED = INVISIBLE_CHARACTERS + '"'
_BLANK_BUT_TAB = INVISIBLE_CHARACTERS.replace("\t", "")
_BLANK = INVISIBLE_CHARACTERS + "".join(DELIMITERS) + '"'


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says about the file: delimiter, columns and where the records begin."""

    delimiter: str
    names: tuple[str, ...]
    positions: dict[str, int]
    """Cell number, counted from 1, of each column that is read."""
    ignored: tuple[str, ...]
    skip: int
    """Records up to and including the header; blank lines before it, and a first line `sep=`, count."""
    lines: int
    """Physical lines of these records."""
    occurrences: int
    """How often column names occur in the header (see `count_names`)."""


def read_header(path: Path, kind: RecordKind) -> Header:
    """Read the header, and derive the delimiter and the positions of the columns from it.

    Raises
    ------
    RefusedFileError
        There is no header, or a required column is missing or repeated.
    """
    with path.open("rb") as file:
        start = file.read(BLOCK)
    before, lines = 0, _lines(start.removeprefix(codecs.BOM_UTF8))
    for line in lines:
        is_separator = before == 0 and _SEPARATOR_LINE.fullmatch(_decoded(line).strip(_BLANK_BUT_TAB))
        if not is_separator and not is_blank(line):
            break
        before += 1
    else:
        raise RefusedFileError(ErrorCode.EMPTY_FILE, columns=required_columns(kind))
    following = list(islice(lines, 100))
    readings = [_read(delimiter, line, following) for delimiter in DELIMITERS]
    required = {column.name for column in kind.required}
    found = max(readings, key=lambda reading: len(required & set(reading.names)))
    if missing := [column.name for column in kind.required if column.name not in found.names]:
        # The error does not quote the line: if the header is missing, it is a record with personal data.
        raise RefusedFileError(
            ErrorCode.MISSING_COLUMN,
            column=" and ".join(missing),
            columns=required_columns(kind),
            first_line=_describe(_decoded(line), found.names, kind),
        )
    counts = Counter(found.names)
    read = {column.name for column in kind.columns}
    if repeated := [name for name in counts if name in read and counts[name] > 1]:
        raise RefusedFileError(ErrorCode.REPEATED_COLUMN, column=" and ".join(repeated))
    positions = {name: number for number, name in enumerate(found.names, 1) if name in read}
    ignored = tuple(name for name in found.names if name not in read)
    occurrences = count_names(b"\n".join([line, *following[: found.lines - 1]]))
    return Header(found.delimiter, found.names, positions, ignored, before + 1, before + found.lines, occurrences)


def is_blank(line: bytes) -> bool:
    """Return whether a line has only empty cells."""
    return not _decoded(line).replace('""', "").strip(_BLANK)


def column_names(cells: list[str]) -> tuple[str, ...]:
    """Return cells as column names: without invisible characters and quotes around them, in lower case."""
    return tuple(cell.strip(_NOT_COMPARED).lower() for cell in cells)


def _describe(line: str, names: tuple[str, ...], kind: RecordKind) -> str:
    """Return what the first line is instead of the header, as the end of a sentence; empty if nothing shows it."""
    text = line.strip(INVISIBLE_CHARACTERS)
    cells = max((text.split(delimiter) for delimiter in DELIMITERS), key=len)
    columns = len(kind.required)
    if others := [other for other in MODEL.kinds if other != kind and {c.name for c in other.required} <= set(names)]:
        return f"; the first line is the header of {others[0]}"
    if any(COLUMN_NAMES & set(column_names(text.strip('"').split(delimiter))) for delimiter in DELIMITERS):
        in_quotes = text.startswith('"') and text.endswith('"') and text.count('"') == 2
        return "; the first line is one quoted cell: put no quotes around the whole line" if in_quotes else ""
    if text.startswith(("{", "[{")):
        return "; the first line is JSON"
    if text.startswith("<") or re.search(r"(?i)\b(warning|error|exception|notice)\b.*:", text):
        return "; the first line is a web page or the message of a program"
    if not re.sub(r"[-=+|\s]", "", text):
        return "; the first line consists of dashes"
    if len(cells) >= columns:
        return "; the first line seems to be a record"
    return "; the first line seems to be a title" if len(cells) == 1 else ""


@dataclass(frozen=True, slots=True)
class _Reading:
    delimiter: str
    names: tuple[str, ...]
    lines: int


def _read(delimiter: str, line: bytes, following: list[bytes]) -> _Reading:
    """Read the header with one delimiter; without names if its quotes are wrong."""
    if b'"' not in line:
        # Compiling the grammar takes a tenth of the time of a small day.
        return _Reading(delimiter, column_names(_decoded(line).split(delimiter)), 1)
    grammar = Grammar(delimiter)
    record = [line]
    is_open = grammar.is_open_after(line, was_open=False)
    for more in following:
        if not is_open:
            break
        record.append(more)
        is_open = grammar.is_open_after(more, was_open=True)
    cells = grammar.split(_decoded(b"\n".join(record))) or []
    return _Reading(delimiter, column_names(cells), len(record))


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")


def _lines(data: bytes) -> Iterator[bytes]:
    """Yield the lines one by one, so that a header at the start of a block costs nothing for the rest of it."""
    start = 0
    for end in _LINE_END.finditer(data):
        yield data[start : end.start()]
        start = end.end()
    if data:
        yield data[start:]
