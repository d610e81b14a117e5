"""What both pages are made of: tables, bars and trends with their values as text, advice, and the templates."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pipeline.ledger import CLOSED, Ledger
from pipeline.model.text import escape_controls
from pipeline.stages.feedback import what_to_do

from pipeline_cli.output import hints
from pipeline_cli.output.summary import Numbers

STYLES = {"COMPLETED": "good", "FAILED": "bad", "HELD": "bad"}
"""Classes of the style sheet by state; other states, which are under way, get `warn`."""
NEEDS_ATTENTION = ("HELD", "FAILED")
SLOT = 10
"""Width of a day in a trend, gap included, in units of the SVG's view box."""
LEAST = 1.5
"""Least height of a value above zero, so that it is visible."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, and how it is shown (`style` is a class of the style sheet, `code` a fixed-width font)."""

    text: str
    style: str = ""
    code: bool = False
    href: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its label, its value and the value as text; `start` shifts it from the axis."""

    label: str
    value: float
    text: str
    start: float = 0.0
    style: str = ""
    code: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """A day in a trend; `value` is None if the day has no value."""

    label: str
    value: float | None
    text: str
    style: str = ""


def table(
    caption: str, *titles: str, rows: Sequence[Sequence[Cell | str]], numbers: Iterable[str] = ()
) -> Mapping[str, Any]:
    """Make a table without the columns that are empty in every row; its first cells are the headings of the rows.

    `caption` is its name for screen readers. The columns in `numbers` are aligned to the right.
    """
    right = set(numbers)
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    kept = [number for number in range(len(titles)) if any(row[number].text for row in cells)]
    return {
        "caption": caption,
        "columns": [{"title": titles[number], "number": titles[number] in right} for number in kept],
        "rows": [[row[number] for number in kept] for row in cells],
    }


def bars(title: str, label_title: str, value_title: str, found: Sequence[Bar]) -> Mapping[str, Any]:
    """Scale bars so that the one that ends furthest right fills the whole width; it is a table of two columns."""
    longest = max((bar.start + bar.value for bar in found), default=0) or 1
    return {
        "title": title,
        "label_title": label_title,
        "value_title": value_title,
        "room": max((len(bar.text) for bar in found), default=0),
        "long": any(len(bar.label) > 8 for bar in found),  # a narrow screen shows such labels above their bars
        "bars": [(bar, f"{bar.start / longest:.4f}", f"{bar.value / longest:.4f}") for bar in found],
    }


def trend(title: str, points: Sequence[Point]) -> Mapping[str, Any] | None:
    """Scale the days' values to the highest; return None if fewer than two days have a value.

    A value below zero has no bar; the sentence and the page's table show it.
    """
    known = [point for point in points if point.value is not None]
    if len(known) < 2:
        return None
    lowest, highest = (pick(known, key=lambda point: point.value or 0.0) for pick in (min, max))
    scale, drawn = max(highest.value or 0.0, 0.0) or 1.0, []
    for number, point in enumerate(points):
        height = 100 * max(point.value or 0.0, 0.0) / scale
        height = max(height, LEAST) if point.value else height
        drawn.append((point, number * SLOT + 1, f"{100 - height:.1f}", f"{height:.1f}"))
    sentence = (
        f"Newest {known[-1].text} ({known[-1].label}), lowest {lowest.text} ({lowest.label}), "
        f"highest {highest.text} ({highest.label})."
    )
    return {"title": title, "sentence": sentence, "points": drawn, "width": SLOT * len(points)}


def style_of(state: str) -> str:
    """Return the style sheet's class for a state."""
    return STYLES.get(state, "warn")


def advice(entry: Ledger | None, env: str) -> Sequence[tuple[str, str, str]]:
    """Return who can do what about a day whose run is over, with a command if there is one; empty if all is well."""
    if entry is None or entry.state not in CLOSED:
        return ()
    partner = "Partner", what_to_do(entry), ""
    if entry.state.value == "COMPLETED":
        return (partner,) if Numbers.of(entry.summary).refused else ()
    if entry.state.value == "HELD":
        return partner, ("Operator", "To deliver the day as it is:", hints.command("release", entry.batch, env=env))
    if any(file.get("file_error") for file in entry.summary.get("files", {}).values()):
        return (partner,)
    return (
        ("Operator", "Find the cause:", hints.command("logs", entry.batch, env=env)),
        ("Operator", "When it is gone, run the day again:", hints.command("replay", entry.batch, env=env)),
        partner,
    )


def day(batch: str, month: str = "%b") -> str:
    """Format a batch's day: `31 Jan 2022`, with the month `%B` `31 January 2022`."""
    date = datetime.strptime(batch, "%Y%m%d").replace(tzinfo=UTC)
    return f"{date.day} {date:{month} %Y}"


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("pipeline_cli.report"),
        autoescape=True,  # for every template, whatever its file name: values may come from a partner's files
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, **values: Any) -> str:
    """Return a page as HTML.

    Raises
    ------
    jinja2.UndefinedError
        The template uses a value that was not passed.
    """
    return _environment().get_template(template).render(**values)


def _visible(value: object) -> object:
    """Escape control characters and directional marks, which could make a text look like another one."""
    return value if isinstance(value, Markup) else escape_controls(str(value))
