"""The grammar of a record, as regular expressions for both Python and RE2 (DuckDB)."""

from __future__ import annotations

import re
from enum import Enum, auto


class Quotes(Enum):
    """The state of a record's quotes at the end of a line."""

    RIGHT = auto()
    """The record ends here, and each quoted cell is closed."""
    OPEN = auto()
    """A quoted cell continues on the next line."""
    WRONG = auto()
    """The record ends here, and the quotes of a cell are wrong."""


class Grammar:
    r"""The grammar of one record for a given delimiter.

    A quoted cell begins and ends with a quote; a quote within it is doubled. An unquoted cell must not begin with a
    quote, not even after blanks, because `"a", "b"` is probably meant as quoted. Anywhere else in an unquoted cell, a
    quote is an ordinary character (`5" pipe`).
    """

    def __init__(self, delimiter: str) -> None:
        d = re.escape(delimiter)
        blank = " " if delimiter == "\t" else r" \t"
        self.quoted = r'"[^"]*(?:""[^"]*)*"'
        self.unquoted = rf'[{blank}]*(?:[^{blank}"{d}][^{d}]*)?'
        self.cell = f"(?:{self.quoted}|{self.unquoted})"
        self.cell_before_delimiter = f"({self.quoted}|{self.unquoted}){d}"
        self.record = f"{self.cell}(?:{d}{self.cell})*"
        quoted, unquoted = (text.encode() for text in (_possessive(self.quoted), self.unquoted))
        cell, d_bytes = b"(?:%s|%s)" % (quoted, unquoted), d.encode()
        opened = rb'"[^"]*+(?:""[^"]*+)*+'
        self._whole = re.compile(rb"%s(?:%s%s)*+" % (cell, d_bytes, cell))
        self._open = re.compile(rb"(?:%s%s)*+%s" % (cell, d_bytes, opened))
        self._rest = re.compile(rb'[^"]*+(?:""[^"]*+)*+"(?:%s|$)' % d_bytes)
        self._before = re.compile(rb"%s%s" % (cell, d_bytes))
        self._inside = re.compile(rb'[^"]*+(?:""[^"]*+)*+')
        self._cells = re.compile(f"({_possessive(self.quoted)}|{self.unquoted})(?:{d}|$)")

    def quotes_after(self, line: bytes, was_open: bool) -> Quotes:
        """Return the state of the quotes at the end of this line, which may begin within a quoted cell.

        After a cell with wrong quotes nothing is open: the record is refused and ends with this line.
        """
        start = 0
        if was_open:
            if self._inside.fullmatch(line):
                return Quotes.OPEN
            rest = self._rest.match(line)
            if rest is None:
                return Quotes.WRONG
            start = rest.end()
        if self._whole.fullmatch(line, start):
            return Quotes.RIGHT
        return Quotes.OPEN if self._open.fullmatch(line, start) else Quotes.WRONG

    def spanning_part(self, line: bytes) -> tuple[int, bytes]:
        """Return the number of cells before the one that is open at the end of a record's first line, and the rest."""
        number, position = 0, 0
        while match := self._before.match(line, position):
            number, position = number + 1, match.end()
        return number, line[position:]

    def end_of_cell(self, line: bytes) -> bytes:
        """Return the part of a line up to the quote that closes the cell which is open at its start."""
        match = self._inside.match(line)
        return match.group() if match else b""

    def split(self, record: str) -> list[str] | None:
        """Return the cells of a record without their quotes, or None if its quotes are wrong."""
        cells: list[str] = []
        position = 0
        while match := self._cells.match(record, position):
            cell = match[1]
            cells.append(cell[1:-1].replace('""', '"') if cell.startswith('"') else cell)
            position = match.end()
            if position == len(record) and match.end(1) == position:
                return cells
        return None


def _possessive(pattern: str) -> str:
    return pattern.replace(")*", ")*+").replace("]*", "]*+")
