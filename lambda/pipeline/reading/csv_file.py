"""What is known about a file of records before its records are read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.model.data_model import KINDS, ROW_ID, Column, Kind
from pipeline.reading.dialect import Header, Sentinels
from pipeline.reading.normalize import RecordLines


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as the partner sent it: its name and where its bytes are."""

    name: str
    path: Path


@dataclass(frozen=True)
class CsvFile:
    """A file of one record a line, and its dialect: all that the SQL of its records needs."""

    kind: Kind
    name: str
    records: RecordLines
    header: Header
    sentinels: Sentinels
    has_quotes: bool
    lines: int
    """Physical lines, counted in the bytes of the file."""
    may_repeat_header: bool = False
    is_plain: bool = False
    """No quotes, a record a line, and each line ends in the same way: `plain` can read it."""
    blank_end: int = 0
    """Empty lines at the end of the file."""
    new_line: str = r"\n"
    """How each line ends, as DuckDB writes it."""
    decimal_mark: str = "."

    @property
    def further_lines(self) -> int:
        """Physical lines after the header that are not the first of their record."""
        return self.records.extra - (self.header.lines - self.header.skip)

    @property
    def has_row_ids(self) -> bool:
        """Tell whether the file has the optional column of row ids."""
        return ROW_ID in self.header.positions

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns that are read, in the order of the table of record kinds."""
        extra = (Column(ROW_ID),) if self.has_row_ids else ()
        return KINDS[self.kind].columns + extra
