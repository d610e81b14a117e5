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
        ("\x9b2J", r"\x9b2J"),
        ("\x00\x07\x7f", r"\x00\x07\x7f"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\u2066a\u2069\u200f\u061c", r"\u2066a\u2069\u200f\u061c"),
        ("a\u2028b", r"a\u2028b"),
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


def test_escaping_a_text_again_changes_nothing() -> None:
    once = escape_controls("".join(map(chr, range(0x3000))))
    assert escape_controls(once) == once
