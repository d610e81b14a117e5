"""What both pages share: the templates and their filters, the parts of charts and tables, and what is advised."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pipeline.ledger import CLOSED, Ledger
from pipeline.model.text import escape_controls
from pipeline.stages.feedback import what_to_do

from pipeline_cli.output import hints, terminal
from pipeline_cli.output.summary import Numbers

STYLES = {"COMPLETED": "good", "FAILED": "bad", "HELD": "bad"}
"""Classes of the style sheet by state; other states, which are under way, get `warn`."""
NEEDS_ATTENTION = ("HELD", "FAILED")

Row = dict[str, str]
"""A row of a table: its cells by the titles of their columns. All rows of a table have the same columns."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart or a trend: its label, its value, and the value as text.

    `value` is None if there is none. `start` shifts the bar from the axis. `style` is a class of the style sheet.
    """

    label: str
    value: float | None
    text: str
    start: float = 0.0
    style: str = ""


def styled(text: str, style: str) -> str:
    """Show a text in a class of the style sheet; empty if the text is."""
    return Markup('<span class="{}">{}</span>').format(style, _visible(text)) if text else ""


def code(text: str) -> str:
    """Show a text in a fixed-width font."""
    return Markup("<code>{}</code>").format(_visible(text))


def linked(text: str, address: str) -> str:
    """Show a text as a link, if there is an address."""
    return Markup('<a href="{}">{}</a>').format(address, text) if address else text


def state(name: str) -> str:
    """Show the state of a day."""
    return styled(name, f"state {STYLES.get(name, 'warn')}")


def day(batch: str, month: str = "%b") -> str:
    """Format a batch's day: `31 Jan 2022`, with the month `%B` `31 January 2022`."""
    date = datetime.strptime(batch, "%Y%m%d").replace(tzinfo=UTC)
    return f"{date.day} {date:{month} %Y}"


def advice(entry: Ledger, env: str) -> Sequence[tuple[str, str, str]]:
    """Return who can do what about a day whose run is over, with a command if there is one; empty if all is well."""
    if entry.state not in CLOSED:
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


def render(template: str, **values: Any) -> str:
    """Return a page as HTML.

    Raises
    ------
    jinja2.UndefinedError
        The template uses a value that was not passed.
    """
    made_at = terminal.minute(datetime.now(UTC).isoformat())
    return _environment().get_template(template).render(made_at=made_at, **values)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline_cli.report"),
        autoescape=True,  # for every template, whatever its file name: values may come from a partner's files
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "day": day,
        "state": state,
        "number": "{:,}".format,
        "minute": terminal.minute,
        "duration": terminal.duration,
        "listed": terminal.listed,
    }
    return environment


def _visible(value: object) -> object:
    """Escape control characters and directional marks, which could make a text look like another one."""
    return value if isinstance(value, Markup) else escape_controls(str(value))
