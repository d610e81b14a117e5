"""Text from partners in sentences and on terminals: control characters are escaped."""

from __future__ import annotations

import unicodedata

import pytest
from pipeline.model.text import escape_controls


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("O-1", "O-1"),
        ("Käufer 名 👍🏽 Ελλάδα", "Käufer 名 👍🏽 Ελλάδα"),
        ("a\tb\nc\r\nd", r"a\tb\nc\r\nd"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\udcff.csv", r"\udcff.csv"),
    ],
)
def test_control_characters_are_escaped_and_other_text_is_unchanged(text: str, shown: str) -> None:
    assert escape_controls(text) == shown


def test_every_control_character_and_bidirectional_mark_of_unicode_is_escaped() -> None:
    """By the categories and bidirectional classes of the Unicode Character Database."""
    left = [
        f"{code:04x}"
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in ("Cc", "Zl", "Zp", "Cs")
        or unicodedata.bidirectional(chr(code)) in ("LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        if escape_controls(chr(code)) == chr(code)
    ]
    assert left == []
