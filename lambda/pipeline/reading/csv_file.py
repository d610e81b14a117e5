"""The description of a file that is needed to read its records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import Column, RecordKind
from pipeline.reading.dialect import ByteProfile, Sentinels
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
    profile: ByteProfile
    header: Header
    lines: RecordLines
    is_fast: bool = False
    """Whether `fast_reader` reads it, else `line_reader`."""
    decimal_mark: str = "."
    is_mark_given: bool = False
    """Whether the setting says what the decimal mark is, so that amounts are never ambiguous."""
    refuses_groups: bool = False
    """Whether an amount is refused that may as well be grouped: where the amounts decided what the decimal mark is."""

    @property
    def sentinels(self) -> Sentinels:
        """The markers in its lines."""
        return self.profile.sentinels

    @property
    def may_repeat_header(self) -> bool:
        """Whether column names occur outside the header, so that there may be a second header."""
        return self.profile.names > self.header.occurrences

    @property
    def is_rewritten(self) -> bool:
        """Whether its lines are not those that were sent; then it is certain that each is a record."""
        return self.lines.path != self.profile.path

    @property
    def may_span_lines(self) -> bool:
        """Whether a record may have several lines; only reading them can show it."""
        return self.profile.has_quotes and not self.is_rewritten

    @property
    def new_line(self) -> str:
        """The line end, in DuckDB's notation."""
        return r"\r\n" if self.profile.has_crlf and not self.is_rewritten else r"\n"

    @property
    def fast_lines(self) -> int:
        """Lines after the header with one record each, if none but those at the end are blank."""
        return self.lines.count - self.header.skip - self.profile.blank_end

    @property
    def continuation_lines(self) -> int:
        """Physical lines after the header that continue a record of several lines."""
        return self.lines.removed - self.lines.removed_before

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
