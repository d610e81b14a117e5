"""Escaping of text from outside, so that it is safe in a sentence or on a terminal."""

from __future__ import annotations

_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
_SEPARATORS = (0x2028, 0x2029)
"""Line and paragraph separator: some programs treat them as line ends."""
_BIDIRECTIONAL = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Unicode Standard Annex 9, explicit directional formatting characters: they reorder the text around them."""
_SURROGATES = range(0xD800, 0xE000)
"""Python uses them for bytes of file names that are not valid UTF-8; they can't be encoded for output."""

_SHORT = {0x09: r"\t", 0x0A: r"\n", 0x0D: r"\r"}
ESCAPES = {
    code: _SHORT.get(code) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
    for code in (*_CONTROLS, *_SEPARATORS, *_BIDIRECTIONAL, *_SURROGATES)
}
"""The escape sequence of each character that must not be shown as it is, by code point."""


def escape_controls(text: str) -> str:
    r"""Replace control and bidirectional formatting characters by escapes such as `\n`, `\x1b` or `\u202e`.

    A terminal would interpret them: escape sequences change colours, move the cursor and erase text, line ends forge
    lines of output, and bidirectional characters show letters in another order.
    """
    return text.translate(ESCAPES)
