"""The decimal mark of a file: what the setting says, or in a file not delimited by commas, what its amounts show.

Only cells count that are amounts with a point or with a comma. One whose mark can't group thousands (12,50) is a vote
for its mark; one that may as well be grouped (1,234) is none. A cell like 1.250.000 shows that a mark groups.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import Literal, Self

import duckdb

from pipeline.model.error_codes import ErrorCode
from pipeline.model.record_kinds import ColumnType
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.dialect import RefusedFileError
from pipeline.reading.line_reader import records_sql
from pipeline.reading.rules import has_all_cells
from pipeline.reading.sql import quoted

DecimalMark = Literal["auto", "point", "comma"]
MARKS = {"point": ".", "comma": ","}


@dataclass(frozen=True, slots=True)
class Votes:
    """What the amounts of a file, or of a part of it, show for one mark."""

    votes: int = 0
    """Amounts whose mark can't group thousands."""
    may_group: str | None = None
    """An amount that may as well be grouped, the first in the order of texts."""
    shows_grouping: str | None = None
    """A cell that shows that the mark groups thousands, the first in the order of texts."""

    def __add__(self, other: Self) -> Votes:
        """Add those of another part of the file."""
        first, second = astuple(self)[1:], astuple(other)[1:]
        texts = (min(filter(None, pair), default=None) for pair in zip(first, second, strict=True))
        return Votes(self.votes + other.votes, *texts)


def count_votes(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> dict[str, Votes]:
    """Read the amounts of a file and return what they show for each mark."""
    amounts = [quoted(column.name) for column in file.columns if column.type is ColumnType.AMOUNT]
    if not amounts:
        return {mark: Votes() for mark in MARKS.values()}
    cells = " UNION ALL ".join(
        f"SELECT {amount} AS cell FROM ({records_sql(file)}) WHERE NOT is_blank AND {has_all_cells()}"
        for amount in amounts
    )
    columns = ", ".join(
        f"""count(*) FILTER (contains(cell, '{mark}') AND is_amount(cell, '{mark}') AND NOT may_group(cell, '{mark}')),
            min(cell) FILTER (may_group(cell, '{mark}')), min(cell) FILTER (shows_grouping(cell, '{mark}'))"""
        for mark in MARKS.values()
    )
    found = connection.execute(f"SELECT {columns} FROM ({cells}) WHERE contains(cell, '.') OR contains(cell, ',')")
    row = found.fetchone() or ()
    return {mark: Votes(*row[3 * number : 3 * number + 3]) for number, mark in enumerate(MARKS.values())}


def with_decimal_mark(file: CsvFile, setting: DecimalMark, votes: dict[str, Votes] | None) -> CsvFile:
    """Set a file's decimal mark. The votes are needed only if the amounts decide (`amounts_decide`).

    Raises
    ------
    RefusedFileError
        Nobody can know what the amounts mean.
    """
    if setting != "auto":
        return replace(file, decimal_mark=MARKS[setting], is_mark_given=True)
    if votes is None:
        return file
    point, comma = votes["."], votes[","]
    ambiguous = min(filter(None, (point.may_group, comma.may_group)), default=None)
    if point.votes == comma.votes and (point.votes or ambiguous):
        reason = (
            "as many amounts have a decimal point as a decimal comma" if point.votes else "no other amount shows which"
        )
        raise RefusedFileError(ErrorCode.AMBIGUOUS_AMOUNTS, value=ambiguous or "1,5", reason=reason)
    file = replace(file, decimal_mark="," if comma.votes > point.votes else ".", refuses_groups=True)
    refuse_grouped_amounts(file, votes)
    return file


def shows_grouping(file: CsvFile) -> str:
    """Return the SQL of whether a cell of a record shows the file's decimal mark grouping; it is no amount then."""
    amounts = [quoted(column.name) for column in file.columns if column.type is ColumnType.AMOUNT]
    if not amounts or file.is_mark_given:
        return "false"
    shown = " OR ".join(f"shows_grouping({amount}, '{file.decimal_mark}')" for amount in amounts)
    return f"coalesce({has_all_cells()} AND ({shown}), false)"


def refuse_grouped_amounts(file: CsvFile, votes: dict[str, Votes]) -> None:
    """Raise RefusedFileError if a cell shows the file's decimal mark grouping, and amounts may be grouped by it."""
    found = votes[file.decimal_mark]
    if found.may_group and found.shows_grouping and not file.is_mark_given:
        reason = f"'{found.shows_grouping[:40]}' shows it grouping"
        raise RefusedFileError(ErrorCode.AMBIGUOUS_AMOUNTS, value=found.may_group, reason=reason)


def amounts_decide(file: CsvFile, setting: DecimalMark) -> bool:
    """Return whether the amounts of a file have to be read before its decimal mark is known."""
    return (
        setting == "auto"
        and file.header.delimiter != ","
        and any(column.type is ColumnType.AMOUNT for column in file.columns)
    )
