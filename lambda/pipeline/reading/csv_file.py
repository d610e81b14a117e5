"""The description of a file that is needed to read its records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import Column, RecordKind
from pipeline.reading.dialect import Sentinels, Text
from pipeline.reading.header import Header
from pipeline.reading.normalize import RecordLines


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as the partner sent it: its name and where its bytes are."""

    name: str
    path: Path


@dataclass(frozen=True)
class CsvFile:
    """A file with one record per line, and its dialect: everything that the SQL over its records needs."""

    kind: RecordKind
    name: str
    records: RecordLines
    header: Header
    sentinels: Sentinels
    has_quotes: bool
    lines: int
    """Physical lines, counted in the bytes of the file."""
    may_repeat_header: bool = False
    is_plain: bool = False
    """Whether the module `plain` can read it: one record per line, uniform line ends, no wrong quotes."""
    blank_end: int = 0
    """Empty lines at the end of the file."""
    new_line: str = r"\n"
    """The line end, in DuckDB's notation."""
    has_other_blanks: bool = True
    """Whether references may have other blanks around them than spaces; if unknown, true."""
    decimal_mark: str = "."
    has_final_line_end: bool = True
    """Whether the last line that is not blank ends with a line end."""
    unproven: Text | None = None
    """The text of a plain file with quotes as long as only reading it can show whether a record has several lines."""

    @property
    def plain_lines(self) -> int:
        """Lines after the header with one record each, if none but those at the end are blank."""
        return self.records.records - self.header.skip - self.blank_end

    @property
    def further_lines(self) -> int:
        """Physical lines after the header that continue a record of several lines."""
        return self.records.extra - self.records.extra_before

    @property
    def unique(self) -> str | None:
        """The column whose values must not occur twice, if the file has it."""
        return self.kind.unique if self.kind.unique in self.header.positions else None

    @property
    def amounts(self) -> dict[str, str]:
        """The columns that are summed, by the name under which their value is selected (`amount_<n>`)."""
        return {f"amount_{number}": name for number, name in enumerate(MODEL.summed(self.kind), 1)}

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the model that the file has, in the model's order."""
        return tuple(column for column in self.kind.columns if column.name in self.header.positions)
