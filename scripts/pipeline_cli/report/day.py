"""The page of one day: its figures, section by section. It contains no names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.ledger import BatchState, Ledger

from pipeline_cli.deployment import feedback, runs
from pipeline_cli.deployment.batches import duration_of, read, waiting_text
from pipeline_cli.deployment.publishing import behind
from pipeline_cli.deployment.runs import STAGES, Runs, Stage
from pipeline_cli.output import terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.report.page import Bar, Row, advice, code, render, state
from pipeline_cli.report.sections import sections

if TYPE_CHECKING:
    from pipeline_cli.terraform.target import Target


def page(target: Target, batch: str, overview: str = "", neighbours: Sequence[tuple[str, str, str]] = ()) -> str:
    """Return the page of a day as HTML.

    `overview` is the link to the page of all days, if there is one, `neighbours` are words, batches and links of the
    days before and after.

    Raises
    ------
    CommandError
        Nothing is known about the day: no file, no ledger entry, no error.
    """
    (status,) = read(target, [batch])
    rows = feedback.find(target, batch)
    if not (status.ledger or status.files or rows):
        raise CommandError(f"There is no batch {batch}: none of its files has arrived.")
    entry = status.ledger or Ledger(batch)
    return render(
        "day.html",
        target=target.name,
        overview=overview,
        neighbours=neighbours,
        took=duration_of(entry),
        waiting=waiting_text(entry),
        late=behind(target) if status.state is BatchState.COMPLETED else None,
        advice=advice(entry, target.name),
        **sections(status, rows),
        rejects=[f"s3://{target.bucket.name}/{key}" for key in feedback.rejects(target.bucket, entry)],
        stages=_stages(Runs(target).stages(entry.execution, datetime.now(UTC)) if entry.execution else []),
        job=runs.effort(entry),
        history=_history(entry),
    )


def _stages(stages: Sequence[Stage]) -> list[Bar]:
    found = []
    for stage in stages:
        failed = f" (failed {terminal.counted(stage.failures, 'time')})" if stage.failures else ""
        text = terminal.duration(stage.seconds) + ("" if stage.over else " so far")
        label = STAGES.get(stage.name, stage.name) + failed
        found.append(Bar(label, stage.seconds, text, stage.start, "" if stage.over else "warn"))
    return found


def _history(entry: Ledger) -> list[Row]:
    """List every run of the day."""
    superseded = BatchState.SUPERSEDED.value
    return [
        {
            "Run": code(run["execution"]),
            "State": state(run["state"]),
            "Started (UTC)": terminal.minute(run.get("started_at")),
            "Finished (UTC)": terminal.minute(run["finished_at"]),
            "Cause": "a newer set of files took over" if run["state"] == superseded else run.get("cause") or "",
        }
        for run in entry.history
    ]
