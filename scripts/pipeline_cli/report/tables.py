"""Tables of the report pages: cells with a style, and no column that is empty in every row."""

from __future__ import annotations

from collections.abc import Sequence
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


def table(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell | str]]) -> Table:
    """Make a table and leave out every column without a text in any row; `caption` names it to a screen reader."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    kept = [number for number in range(len(columns)) if any(row[number].text for row in cells)]
    return Table(
        caption,
        [columns[number] for number in kept],
        [[row[number] for number in kept] for row in cells],
    )
