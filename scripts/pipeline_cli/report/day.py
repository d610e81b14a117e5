"""The page of one day: its figures, section by section. It contains no names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipeline.ledger import BatchState, Ledger
from pipeline.model.batch_files import INCOMING_PREFIX
from pipeline.model.data_model import MODEL

from pipeline_cli.deployment import feedback, runs
from pipeline_cli.deployment.batches import BatchStatus, duration_of, read, waiting_text
from pipeline_cli.deployment.publishing import behind
from pipeline_cli.deployment.runs import STAGES, Runs, Stage
from pipeline_cli.output import terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.summary import Numbers, amount, control_totals, read_as, reconciliation, remarks, totals
from pipeline_cli.report.page import Bar, Row, advice, code, render, state, styled

if TYPE_CHECKING:
    from pipeline_cli.terraform.target import Target

EXAMPLES = 3
"""How many errors of each code the page quotes."""
SIDES = ("Read", "Counted", "Refused")
"""Columns of the table of control totals."""


def page(target: Target, batch: str, overview: str = "") -> str:
    """Return the page of a day as HTML; `overview` is the link to the page of all days, if there is one.

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
    errors = feedback.group(rows, EXAMPLES, entry.summary)
    return render(
        "day.html",
        target=target.name,
        overview=overview,
        status=status,
        entry=entry,
        took=duration_of(entry),
        waiting=waiting_text(entry),
        late=behind(target) if status.state is BatchState.COMPLETED else None,
        advice=advice(entry, target.name),
        tiles=_tiles(entry.summary),
        files=_files(status, entry),
        totals=_totals(entry.summary),
        sides=SIDES,
        reconciliation=reconciliation(entry.summary),
        remarks=remarks(entry.summary),
        errors=errors,
        error_chart=_error_chart(errors),
        rejects=[f"s3://{target.bucket.name}/{key}" for key in feedback.rejects(target.bucket, entry)],
        stages=_stages(Runs(target).stages(entry.execution, datetime.now(UTC)) if entry.execution else []),
        job=runs.effort(entry),
        history=_history(entry),
    )


def _tiles(summary: Mapping[str, Any]) -> dict[str, str]:
    """Return the day's main figures by their names."""
    numbers = Numbers.of(summary)
    if not numbers.read:
        return {}
    tiles = {str(kind): f"{count:,}" for kind, count in numbers.records.items()} | totals(summary)
    tiles[f"of {numbers.read:,} records refused"] = f"{numbers.refused:,}"
    if numbers.incomplete:
        tiles[f"{MODEL.root} with incomplete totals"] = f"{numbers.incomplete:,}"
    if removed := int(summary.get(f"removed_{MODEL.root}", 0)):
        tiles["removed by this correction"] = f"{removed:,}"
    return tiles


def _files(status: BatchStatus, entry: Ledger) -> list[Row]:
    rows = []
    for kind in MODEL.kinds:
        source = entry.files.get(kind) or status.files.get(kind)
        file = entry.summary.get("files", {}).get(kind, {})
        error = styled(file.get("file_error") and f"can't be used: {file['file_error']}", "bad")
        rows.append(
            {
                "File": code(source.key.removeprefix(INCOMING_PREFIX) if source else f"{kind}_{status.batch}.csv"),
                "Arrived (UTC)": terminal.minute(source.last_modified) if source else styled("has not arrived", "warn"),
                "Size": terminal.size(source.size) if source else "",
                "Read as": error or read_as(kind, file),
                "Columns ignored": ", ".join(file.get("ignored_columns") or ()),
            }
        )
    return rows


def _totals(summary: Mapping[str, Any]) -> list[Row]:
    """List the control totals, which the run compared before it delivered anything."""

    def row(what: str, read: Decimal, counted: Decimal, refused: Decimal) -> Row:
        holds = read == counted + refused
        return {
            "What": what,
            **{title: amount(str(value)) for title, value in zip(SIDES, (read, counted, refused), strict=True)},
            "Read = counted + refused": styled("✓ holds", "good") if holds else styled("✗ differs", "bad"),
        }

    control = control_totals(summary)
    files = {kind: summary["files"].get(kind, {}) for kind in MODEL.kinds} if control else {}
    records = [
        row(f"Records of {kind}", *(Decimal(int(file.get(side.lower(), 0))) for side in SIDES))
        for kind, file in files.items()
    ]
    amounts = [
        row(
            f"Amounts of {measure.kind} ({measure.column})",
            *(Decimal(str(found[f"{side}_amount"])) for side in ("scanned", "delivered", "refused")),
        )
        for measure, found in control.items()
    ]
    return records + amounts


def _error_chart(errors: Sequence[feedback.Group]) -> list[Bar]:
    by_code = Counter[str]()
    for group in errors:
        by_code[group.code] += group.count
    ranked = sorted(by_code.items(), key=lambda found: (-found[1], found[0]))
    return [Bar(code(name), count, f"{count:,}", style="bad") for name, count in ranked]


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
