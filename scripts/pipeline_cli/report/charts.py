"""The geometry of the charts; the templates draw them, with the values as text beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SLOT = 10
"""Width of a day in a trend, gap included, in units of the SVG's view box."""

LONG_LABEL = 8
HEIGHT = 100
LEAST = 1.5
"""Least height of a value above zero, so that it is visible."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a bar chart: its label, its value, and the value as text.

    `start` shifts it from the axis, for stages that follow each other. `style` is a class of the style sheet; with
    `code` the label has a fixed-width font.
    """

    label: str
    value: float
    text: str
    start: float = 0.0
    style: str = ""
    code: bool = False


@dataclass(frozen=True, slots=True)
class DrawnBar:
    """A bar with its position: `start` and `share` are fractions of the whole width, from 0 to 1."""

    bar: Bar
    start: str
    share: str


@dataclass(frozen=True, slots=True)
class BarChart:
    """A bar chart as a table of two columns; `room` is the length of the longest text, in characters."""

    title: str
    label_title: str
    value_title: str
    bars: Sequence[DrawnBar]
    room: int

    @property
    def long(self) -> bool:
        """Whether the labels are so long that a narrow screen must show them above their bars."""
        return any(len(drawn.bar.label) > LONG_LABEL for drawn in self.bars)


def bar_chart(title: str, label_title: str, value_title: str, bars: Sequence[Bar]) -> BarChart:
    """Scale bars so that the one that ends furthest right fills the whole width."""
    longest = max((bar.start + bar.value for bar in bars), default=0) or 1
    drawn = [DrawnBar(bar, f"{bar.start / longest:.4f}", f"{bar.value / longest:.4f}") for bar in bars]
    return BarChart(title, label_title, value_title, drawn, max((len(bar.text) for bar in bars), default=0))


@dataclass(frozen=True, slots=True)
class Point:
    """A day in a trend; `value` is None if the day has no value."""

    label: str
    value: float | None
    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class DrawnPoint:
    """A day's bar with its position in the drawing."""

    point: Point
    x: int
    y: str
    height: str


@dataclass(frozen=True, slots=True)
class Trend:
    """A value over days, oldest first: the drawing, and a sentence that sums it up."""

    title: str
    sentence: str
    points: Sequence[DrawnPoint]
    first: str
    last: str

    @property
    def width(self) -> int:
        """Width of the drawing in its own units."""
        return SLOT * len(self.points)


def trend(title: str, points: Sequence[Point]) -> Trend | None:
    """Scale the days' values to the highest; return None if fewer than two days have a value.

    A value below zero has no bar; the sentence and the page's table show it.
    """
    known = [point for point in points if point.value is not None]
    if len(known) < 2:
        return None
    lowest, highest = (pick(known, key=lambda point: point.value or 0.0) for pick in (min, max))
    scale = max(highest.value or 0.0, 0.0) or 1.0
    drawn = []
    for number, point in enumerate(points):
        height = HEIGHT * max(point.value or 0.0, 0.0) / scale
        height = max(height, LEAST) if point.value else height
        drawn.append(DrawnPoint(point, number * SLOT + 1, f"{HEIGHT - height:.1f}", f"{height:.1f}"))
    sentence = (
        f"Newest {known[-1].text} ({known[-1].label}), lowest {lowest.text} ({lowest.label}), "
        f"highest {highest.text} ({highest.label})."
    )
    return Trend(title, sentence, drawn, points[0].label, points[-1].label)
