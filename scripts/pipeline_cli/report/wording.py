"""Texts of both pages: states, days, and what to do about a day that was not delivered completely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.ledger import CLOSED, Ledger
from pipeline.stages.feedback import what_to_do

from pipeline_cli.output import hints
from pipeline_cli.output.summary import Numbers

STYLES = {"COMPLETED": "good", "FAILED": "bad", "HELD": "bad"}
"""Classes of the style sheet by state; other states, which are under way, get `warn`."""

NEEDS_ATTENTION = ("HELD", "FAILED")


@dataclass(frozen=True, slots=True)
class Advice:
    """A piece of advice: who should do what, with a command if there is one."""

    who: str
    what: str
    command: str = ""


def style_of(state: str) -> str:
    """Return the style sheet's class for a state."""
    return STYLES.get(state, "warn")


def advice(entry: Ledger, target: str) -> Sequence[Advice]:
    """Return what the partner and the operator can do about a day whose run is over; empty if all is well."""
    if entry.state not in CLOSED:
        return ()
    partner = Advice("Partner", what_to_do(entry))
    match entry.state.value:
        case "COMPLETED":
            return (partner,) if Numbers.of(entry.summary).refused else ()
        case "HELD":
            command = hints.command("release", entry.batch, env=target)
            return partner, Advice("Operator", "To deliver the day as it is:", command)
    if refused_files(entry.summary):
        return (partner,)
    return (
        Advice("Operator", "Find the cause:", hints.command("logs", entry.batch, env=target)),
        Advice("Operator", "When it is gone, run the day again:", hints.command("replay", entry.batch, env=target)),
        partner,
    )


def refused_files(summary: Mapping[str, Any]) -> list[str]:
    """Return the names of the files that could not be used at all."""
    return [str(file["file"]) for file in summary.get("files", {}).values() if file.get("file_error")]


def day(batch: str) -> str:
    """Format a batch's day in full: `31 January 2022`."""
    date = datetime.strptime(batch, "%Y%m%d").replace(tzinfo=UTC)
    return f"{date.day} {date:%B %Y}"


def short_day(batch: str) -> str:
    """Format a batch's day briefly: `31 Jan 2022`."""
    date = datetime.strptime(batch, "%Y%m%d").replace(tzinfo=UTC)
    return f"{date.day} {date:%b %Y}"
