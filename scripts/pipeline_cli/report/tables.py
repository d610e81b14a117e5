"""Tables of the report pages: styled cells, without columns that are empty in every row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, and how it is shown (`style` is a class of the style sheet, `code` a fixed-width font)."""

    text: str
    style: str = ""
    code: bool = False
    href: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """The heading of a column; numbers are aligned to the right."""

    title: str
    number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows as a template shows them; the first cell of a row is its heading."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


def table(caption: str, *titles: str, rows: Sequence[Sequence[Cell | str]], numbers: Iterable[str] = ()) -> Table:
    """Make a table without the columns that are empty in every row.

    `caption` is its name for screen readers. The columns in `numbers` are aligned to the right.
    """
    right = set(numbers)
    columns = [Column(title, title in right) for title in titles]
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    kept = [number for number in range(len(columns)) if any(row[number].text for row in cells)]
    return Table(
        caption,
        [columns[number] for number in kept],
        [[row[number] for number in kept] for row in cells],
    )
