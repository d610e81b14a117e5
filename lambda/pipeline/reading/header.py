"""The header of a file: from it follow the delimiter and the positions of the columns."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import ErrorCode
from pipeline.model.record_kinds import RecordKind
from pipeline.model.text import INVISIBLE_CHARACTERS
from pipeline.reading.dialect import (
    BLOCK,
    COLUMN_NAMES,
    DELIMITERS,
    RefusedFileError,
    count_names,
    is_blank,
    required_columns,
)
from pipeline.reading.grammar import Grammar, Quotes

_SEPARATOR_LINE = re.compile(r"sep=[,;\t|]", re.IGNORECASE)
"""Excel's first line that names the delimiter."""
MAX_HEADER_LINES = 100
_NOT_COMPARED = INVISIBLE_CHARACTERS + '"'
_BLANK_BUT_TAB = INVISIBLE_CHARACTERS.replace("\t", "")


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
        lines = file.read(BLOCK).removeprefix(codecs.BOM_UTF8).splitlines()
    before = int(bool(lines and _SEPARATOR_LINE.fullmatch(_decoded(lines[0]).strip(_BLANK_BUT_TAB))))
    while before < len(lines) and is_blank(lines[before]):
        before += 1
    lines = lines[before : before + MAX_HEADER_LINES]
    if not lines:
        raise RefusedFileError(ErrorCode.EMPTY_FILE, columns=required_columns(kind))
    required, read = ({column.name for column in columns} for columns in (kind.required, kind.columns))
    readings = {delimiter: _read(delimiter, lines) for delimiter in DELIMITERS}
    delimiter = max(readings, key=lambda delimiter: len(required.intersection(readings[delimiter][0])))
    names, count = readings[delimiter]
    if missing := [column.name for column in kind.required if column.name not in names]:
        # The error does not quote the line: if the header is missing, it is a record with personal data.
        raise RefusedFileError(
            ErrorCode.MISSING_COLUMN,
            column=" and ".join(missing),
            columns=required_columns(kind),
            first_line=_describe(_decoded(lines[0]), names, kind),
        )
    if repeated := [name for name, times in Counter(names).items() if name in read and times > 1]:
        raise RefusedFileError(ErrorCode.REPEATED_COLUMN, column=" and ".join(repeated))
    return Header(
        delimiter,
        names,
        positions={name: number for number, name in enumerate(names, 1) if name in read},
        ignored=tuple(name for name in names if name not in read),
        skip=before + 1,
        lines=before + count,
        occurrences=count_names(b"\n".join(lines[:count])),
    )


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


def _read(delimiter: str, lines: list[bytes]) -> tuple[tuple[str, ...], int]:
    """Return the names in the header with one delimiter, none if its quotes are wrong, and its number of lines."""
    if b'"' not in lines[0]:
        # Compiling the grammar takes a tenth of the time of a small day.
        return column_names(_decoded(lines[0]).split(delimiter)), 1
    grammar, count, quotes = Grammar(delimiter), 0, Quotes.OPEN
    while quotes is Quotes.OPEN and count < len(lines):
        quotes = grammar.quotes_after(lines[count], was_open=count > 0)
        count += 1
    return column_names(grammar.split(_decoded(b"\n".join(lines[:count]))) or []), count


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")
