"""Bar charts as inline SVG, coloured by the page that they stand on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_cli.report.markup import Markup, join, tag

WIDTH = 560


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: what it stands for, how much it is, and both in words. `start` moves it away from the axis."""

    label: str
    value: float
    text: str
    start: float = 0.0
    style: str = "bar"


def columns(title: str, bars: Sequence[Bar], axis: str) -> Markup:
    """Draw upright bars, for a distribution; `axis` says what the labels below them count."""
    height, top, bottom = 230, 24, 48
    slot = WIDTH / len(bars)
    highest = max(bar.value for bar in bars) or 1
    drawn = []
    for number, bar in enumerate(bars):
        length = max((height - top - bottom) * bar.value / highest, 1.5 if bar.value else 0)
        middle, base = number * slot + slot / 2, height - bottom
        drawn.append(
            join(
                _rectangle(middle - slot * 0.38, base - length, slot * 0.76, length, bar),
                _text(middle, base - length - 6, bar.text, "middle", "value") if bar.value else None,
                _text(middle, base + 18, bar.label, "middle", "label"),
            )
        )
    line = tag("line", x1=0, y1=height - bottom, x2=WIDTH, y2=height - bottom, class_="axis")
    return _chart(title, height, *drawn, line, _text(WIDTH / 2, height - 8, axis, "middle", "label"))


def rows(title: str, bars: Sequence[Bar], label_width: int = 170) -> Markup:
    """Draw lying bars, for things with names, or for a sequence where bars have a start."""
    step, room = 30, WIDTH - label_width - 16 - 7 * max(len(bar.text) for bar in bars)
    longest = max(bar.start + bar.value for bar in bars) or 1
    drawn = []
    for number, bar in enumerate(bars):
        y, start = number * step, label_width + room * bar.start / longest
        length = max(room * bar.value / longest, 2)
        drawn.append(
            join(
                _text(label_width - 10, y + 19, bar.label, "end", "label"),
                _rectangle(start, y + 5, length, step - 10, bar),
                _text(start + length + 8, y + 19, bar.text, "start", "value"),
            )
        )
    return _chart(title, step * len(bars), *drawn)


def _chart(title: str, height: float, *parts: Markup) -> Markup:
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=title, class_="chart")


def _rectangle(x: float, y: float, width: float, height: float, bar: Bar) -> Markup:
    title = tag("title", f"{bar.label}: {bar.text}")
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{height:.1f}"}
    return tag("rect", title, **place, rx=2, class_=bar.style)


def _text(x: float, y: float, text: str, anchor: str, style: str) -> Markup:
    return tag("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_=style)
