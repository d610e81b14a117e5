"""HTML and SVG by functions: text is escaped unless it is markup already, so a page can't forget to."""

from __future__ import annotations

from html import escape

_VOID = {"br", "hr", "meta"}


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """Make an element; children that are no markup are escaped, and None is left out.

    An attribute's trailing underscore goes (`class_`), other underscores become hyphens, and None leaves it out.

    >>> tag("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>" if name in _VOID else f"<{name}{given}>{join(*children)}</{name}>")


def join(*children: object) -> Markup:
    """Put pieces one after the other; those that are no markup are escaped, and None is left out."""
    return Markup(
        "".join(child if isinstance(child, Markup) else escape(str(child)) for child in children if child is not None)
    )
