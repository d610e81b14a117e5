"""Escaping of text from outside, so that it is safe in a sentence or on a terminal."""

from __future__ import annotations

INVISIBLE = (
    (0x00, 0x20), (0x7F, 0xA0), (0xAD, 0xAD), (0x600, 0x605), (0x61C, 0x61C), (0x6DD, 0x6DD), (0x70F, 0x70F),
    (0x890, 0x891), (0x8E2, 0x8E2), (0x1680, 0x1680), (0x180E, 0x180E), (0x2000, 0x200F), (0x2028, 0x202F),
    (0x205F, 0x2064), (0x2066, 0x206F), (0x3000, 0x3000), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0x110BD, 0x110BD),
    (0x110CD, 0x110CD), (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0001, 0xE0001),
    (0xE0020, 0xE007F),
)  # fmt: skip
"""Ranges of the characters that nobody can see: white space, control and format characters (Unicode's categories Z, Cc
and Cf). They are trimmed from references, numbers and header names, and shown as escapes elsewhere."""

INVISIBLE_PATTERN = "".join(f"\\x{{{max(first, 1):x}}}-\\x{{{last:x}}}" for first, last in INVISIBLE)
"""The same as the inside of a character class in RE2 (DuckDB)."""
INVISIBLE_CHARACTERS = "".join(chr(code) for first, last in INVISIBLE for code in range(first, last + 1))

_SURROGATES = range(0xD800, 0xE000)
"""Python uses them for bytes of file names that are not valid UTF-8; they can't be encoded for output."""

_SHORT = {0x09: r"\t", 0x0A: r"\n", 0x0D: r"\r"}
ESCAPES = {
    code: _SHORT.get(code)
    or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    for code in (*map(ord, INVISIBLE_CHARACTERS), *_SURROGATES)
    if code != ord(" ")
}
"""The escape sequence of each character that must not be shown as it is, by code point."""


def escape_controls(text: str) -> str:
    r"""Replace invisible characters other than the space by escapes such as `\n`, `\x1b` or `\u202e`.

    A terminal would interpret control characters: escape sequences change colours, move the cursor and erase text, and
    line ends forge lines of output. Bidirectional characters show letters in another order, and others hide.
    """
    return text.translate(ESCAPES)
