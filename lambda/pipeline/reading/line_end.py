"""The end of a file: a file that was cut short usually ends inside a line."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

_TAIL = 1 << 16
_LINE_END = re.compile(rb"[\r\n]")
_EMPTY_CELLS = frozenset(',;|"')
"""What a line of empty cells consists of, apart from white space and invisible characters."""


def has_final_line_end(path: Path) -> bool:
    """Return whether the last line of a text file that is not blank ends with a line end."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _TAIL, 0))
        last_line = _LINE_END.split(file.read())[-1]
    return all(_is_blank(character) for character in last_line.decode(errors="replace"))


def _is_blank(character: str) -> bool:
    return character in _EMPTY_CELLS or character.isspace() or unicodedata.category(character) in ("Cc", "Cf")
