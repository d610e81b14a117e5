"""Words that both pages use: states, moments, days, and what to do about a day that was not delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.ledger import Ledger

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
    """Say what the partner and the operator can do about a day that was held back or failed."""
    env = "" if target == "local" else f" ENV={target}"
    if entry.state.value == "HELD":
        return (
            Advice("Partner", "Correct the files and send them again under the same names."),
            Advice("Operator", "To deliver the day as it is:", f"make release BATCH={entry.batch}{env}"),
        )
    if refused_files(entry.summary):
        return (Advice("Partner", "Send the refused file again, corrected and under the same name."),)
    if entry.state.value == "FAILED":
        return (
            Advice("Operator", "Find the cause:", f"make logs BATCH={entry.batch}{env}"),
            Advice("Operator", "When it is gone, run the day again:", f"make replay BATCH={entry.batch}{env}"),
            Advice("Partner", "The files need not be sent again unless the operator asks for it."),
        )
    return ()


def refused_files(summary: Mapping[str, Any]) -> list[str]:
    """Name the files that could not be used as a whole."""
    return [str(file["file"]) for file in summary.get("files", {}).values() if file.get("file_error")]


def moment(when: str | None) -> str:
    """Write an ISO 8601 time to the minute, `2022-01-31 06:00`; empty where there is none."""
    return (when or "")[:16].replace("T", " ")


def day(batch: str) -> str:
    """Write a batch's day in full: `31 January 2022`."""
    date = datetime.strptime(batch, "%Y%m%d").replace(tzinfo=UTC)
    return f"{date.day} {date:%B %Y}"


def short_day(batch: str) -> str:
    """Write a batch's day briefly: `31 Jan 2022`."""
    date = datetime.strptime(batch, "%Y%m%d").replace(tzinfo=UTC)
    return f"{date.day} {date:%b %Y}"
