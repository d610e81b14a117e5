"""The page of one day: its figures, section by section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipeline.ledger import BatchState, Ledger, version_of
from pipeline.model.batch_files import FEEDBACK_PREFIX
from pipeline.model.data_model import MODEL
from pipeline.stages.feedback import VERDICT, verdict_on

from pipeline_cli.deployment import feedback, runs
from pipeline_cli.deployment.batches import duration_of, read, waiting_text
from pipeline_cli.deployment.feedback import REJECTS_BYTES
from pipeline_cli.deployment.publishing import behind
from pipeline_cli.deployment.runs import STAGES, Runs, Stage
from pipeline_cli.output import terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.summary import amount, control_totals
from pipeline_cli.report.page import Bar, Row, advice, code, render, state
from pipeline_cli.report.sections import refused_records, sections

if TYPE_CHECKING:
    from pipeline.aws.s3 import Bucket

    from pipeline_cli.terraform.target import Target

CHANGE = ("Delivered before", "This version", "Difference")
"""Columns of the table of what a correction changes."""


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
        rejects=_rejects(target.bucket, entry),
        stages=_stages(Runs(target).stages(entry.execution, datetime.now(UTC)) if entry.execution else []),
        job=runs.effort(entry),
        changes=_changes(target, entry),
        history=_history(entry),
    )


def _rejects(bucket: Bucket, entry: Ledger) -> list[tuple[str, list[Row]]]:
    """Return where the rejects files of the day are, each with its first records."""
    found = filter(None, map(bucket.head, feedback.rejects(bucket, entry)))
    return [
        (f"s3://{bucket.name}/{file.key}", refused_records(b"".join(bucket.read_range(file, 0, REJECTS_BYTES, 4096))))
        for file in found
    ]


def _changes(target: Target, entry: Ledger) -> list[Row]:
    """Compare a correction with the version that was delivered before it, by the verdicts on both."""
    version = _delivered_before(entry)
    key = f"{FEEDBACK_PREFIX}{entry.batch}/{version}/{VERDICT}"
    before, after = target.bucket.find_json(key) if version else None, verdict_on(entry, ())
    if before is None or after["reconciliation"] is None:
        return []
    old, new = _figures(before), _figures(after)
    rows = []
    for what in new:
        figures = (old[what], new[what], new[what] - old[what])
        rows.append({"What": what, **dict(zip(CHANGE, map(amount, map(str, figures)), strict=True))})
    if _earlier_runs(entry)[-1]["state"] != BatchState.COMPLETED.value:
        return rows  # a version that came between may have delivered a part, so nobody knows what is new
    counted = f"{MODEL.root} counted"
    removed = int(entry.summary.get(f"removed_{MODEL.root}", 0))
    added = int(new[counted] - old[counted]) + removed
    for what, number in ((f"{MODEL.root} added", added), (f"{MODEL.root} removed", -removed)):
        rows.append({"What": what, **dict.fromkeys(CHANGE, ""), CHANGE[-1]: f"{number:,}"})
    return rows


def _earlier_runs(entry: Ledger) -> list[Mapping[str, Any]]:
    """Return the runs of other versions than the present one, in order."""
    return [run for run in entry.history if version_of(run) != entry.version]


def _delivered_before(entry: Ledger) -> str | None:
    """Return the newest version of the day that was delivered and is not the present one."""
    runs = reversed(_earlier_runs(entry))
    return next((version_of(run) for run in runs if run["state"] == BatchState.COMPLETED.value), None)


def _figures(verdict: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return the figures of a verdict that a correction may change, by their names in words."""
    sums = {measure.name.replace("_", " "): found for measure, found in control_totals(verdict).items()}
    return {
        **{f"{kind} counted": Decimal(verdict["files"][kind]["counted"]) for kind in MODEL.kinds},
        **{name: Decimal(found["delivered_amount"]) for name, found in sums.items()},
        "records refused": Decimal(sum(verdict["files"][kind]["refused"] for kind in MODEL.kinds)),
        f"{MODEL.root} with incomplete totals": Decimal(verdict[f"incomplete_{MODEL.root}"]),
    }


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
