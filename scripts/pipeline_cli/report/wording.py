"""Words that both pages use: states, days, and what to do about a day that was not delivered as it should be."""

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
"""Classes of the style sheet by state; any other state is on its way."""

NEEDS_ATTENTION = ("HELD", "FAILED")


@dataclass(frozen=True, slots=True)
class Advice:
    """What somebody can do: who, what, and the command where there is one."""

    who: str
    what: str
    command: str = ""


def style_of(state: str) -> str:
    """Return the class of a state; one that is not known yet looks like one that is on its way."""
    return STYLES.get(state, "warn")


def advice(entry: Ledger, target: str) -> Sequence[Advice]:
    """Say what the partner and the operator can do about a day whose run is over; nothing where all is well."""
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
    """Name the files that could not be used as a whole."""
    return [str(file["file"]) for file in summary.get("files", {}).values() if file.get("file_error")]


def day(batch: str) -> str:
    """Write a batch's day in full: `31 January 2022`."""
    date = datetime.strptime(batch, "%Y%m%d").replace(tzinfo=UTC)
    return f"{date.day} {date:%B %Y}"


def short_day(batch: str) -> str:
    """Write a batch's day briefly: `31 Jan 2022`."""
    date = datetime.strptime(batch, "%Y%m%d").replace(tzinfo=UTC)
    return f"{date.day} {date:%b %Y}"
