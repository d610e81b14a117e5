"""The page of one day: the values of its template, section by section. It contains no names."""

from __future__ import annotations

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
from pipeline_cli.report.page import Bar, Cell, advice, bars, day, render, style_of, table

if TYPE_CHECKING:
    from pipeline_cli.terraform.target import Target

EXAMPLES = 3
"""How many errors of each code the page quotes."""


def page(target: Target, batch: str, overview: str = "") -> str:
    """Return the page of a day as HTML; `overview` is the link to the page of all days, if there is one.

    Raises
    ------
    CommandError
        Nothing is known about the day: no file, no ledger entry, no error.
    """
    now = datetime.now(UTC)
    (status,) = read(target, [batch])
    entry, rows = status.ledger, feedback.find(target, batch)
    if not (entry or status.files or rows):
        raise CommandError(f"There is no batch {batch}: none of its files has arrived.")
    summary = entry.summary if entry else {}
    errors = feedback.group(rows, EXAMPLES, summary)
    earlier = bool(entry and set(entry.delivered) - {entry.version})
    return render(
        "day.html",
        target=target.name,
        made_at=terminal.minute(now.isoformat()),
        overview=overview,
        batch=batch,
        day=day(batch, "%B"),
        state=status.state.value,
        style=style_of(status.state.value),
        how=_how(status),
        late=behind(target) if status.state is BatchState.COMPLETED else None,
        cause=entry.cause if entry else None,
        advice=advice(entry, target.name),
        newer_set=status.corrected and not status.unnoticed,
        broken_off=bool(entry and entry.state is BatchState.FAILED and entry.version in entry.delivered),
        held=status.state is BatchState.HELD,
        earlier=earlier,
        tiles=_tiles(summary),
        files=_files(status, summary),
        totals=_totals(summary),
        reconciliation=reconciliation(summary) if Numbers.of(summary).read else "",
        remarks=remarks(summary),
        errors=errors,
        error_chart=_error_chart(errors),
        rejects=[f"s3://{target.bucket.name}/{key}" for key in feedback.rejects(target.bucket, entry)],
        run=entry.execution if entry else None,
        stages=_stages(Runs(target).stages(entry.execution, now) if entry and entry.execution else []),
        job=runs.effort(entry),
        versions=_versions(entry),
    )


def _how(status: BatchStatus) -> str:
    entry = status.ledger
    seconds = duration_of(entry)
    if entry and entry.finished_at and seconds is not None:
        return f"at {terminal.minute(entry.finished_at)} UTC; its run took {terminal.duration(seconds)}."
    if status.missing:
        return f"for {terminal.listed(status.missing)}."
    if status.unnoticed:
        return "although all its files are there: the pipeline has not noticed them yet."
    if waiting := waiting_text(entry):
        return f"and {waiting}."
    return "when this page was made."


def _tiles(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the day's main figures with their names."""
    numbers = Numbers.of(summary)
    if not numbers.read:
        return []
    facts = [(str(kind), f"{count:,}") for kind, count in numbers.records.items()]
    facts += totals(summary).items()
    facts.append((f"of {numbers.read:,} records refused", f"{numbers.refused:,}"))
    if numbers.incomplete:
        facts.append((f"{MODEL.root} with incomplete totals", f"{numbers.incomplete:,}"))
    if removed := int(summary.get(f"removed_{MODEL.root}", 0)):
        facts.append(("removed by this correction", f"{removed:,}"))
    return facts


def _files(status: BatchStatus, summary: Mapping[str, Any]) -> Mapping[str, Any]:
    known, files = status.ledger.files if status.ledger else {}, summary.get("files", {})
    rows: list[list[Cell | str]] = []
    for kind in MODEL.kinds:
        source, file = known.get(kind) or status.files.get(kind), files.get(kind, {})
        if source is None:
            rows.append([Cell(f"{kind}_{status.batch}.csv", code=True), Cell("has not arrived", "warn"), "", "", ""])
            continue
        error = file.get("file_error")
        rows.append(
            [
                Cell(source.key.removeprefix(INCOMING_PREFIX), code=True),
                terminal.minute(source.last_modified),
                terminal.size(source.size),
                Cell(f"can't be used: {error}", "bad") if error else read_as(kind, file),
                ", ".join(file.get("ignored_columns") or ()),
            ]
        )
    titles = ("File", "Arrived (UTC)", "Size", "Read as", "Columns ignored")
    return table("The files of the day", *titles, rows=rows, numbers=["Size"])


def _totals(summary: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Build the table of the control totals, which the run compared before it delivered anything."""
    control = control_totals(summary)
    if not control or not Numbers.of(summary).read:
        return None
    rows: list[list[Cell | str]] = []
    for kind in MODEL.kinds:
        file = summary["files"].get(kind, {})
        read, counted, refused = (int(file.get(name, 0)) for name in ("read", "counted", "refused"))
        rows.append(
            [f"Records of {kind}", f"{read:,}", f"{counted:,}", f"{refused:,}", _check(read == counted + refused)]
        )
    for measure, found in control.items():
        sides = [Decimal(str(found[f"{side}_amount"])) for side in ("scanned", "delivered", "refused")]
        what = f"Amounts of {measure.kind} ({measure.column})"
        rows.append([what, *(amount(str(side)) for side in sides), _check(sides[0] == sides[1] + sides[2])])
    numbers = ("Read", "Counted", "Refused")
    titles = ("What", *numbers, "Read = counted + refused")
    return table("Records and amounts: read, counted and refused", *titles, rows=rows, numbers=numbers)


def _check(holds: bool) -> Cell:
    return Cell("✓ holds", "good") if holds else Cell("✗ differs", "bad")


def _error_chart(errors: Sequence[feedback.Group]) -> Mapping[str, Any] | None:
    if not errors:
        return None
    by_code: dict[str, int] = {}
    for group in errors:
        by_code[group.code] = by_code.get(group.code, 0) + group.count
    ranked = sorted(by_code.items(), key=lambda found: (-found[1], found[0]))
    found = [Bar(code, count, f"{count:,}", style="bad", code=True) for code, count in ranked]
    return bars("Errors by code", "Code", "Errors", found)


def _stages(stages: Sequence[Stage]) -> Mapping[str, Any] | None:
    if not stages:
        return None
    found = []
    for stage in stages:
        failed = f" (failed {terminal.counted(stage.failures, 'time')})" if stage.failures else ""
        text = terminal.duration(stage.seconds) + ("" if stage.over else " so far")
        label = STAGES.get(stage.name, stage.name) + failed
        found.append(Bar(label, stage.seconds, text, stage.start, "" if stage.over else "warn"))
    return bars("Stages of the run", "Stage", "Took", found)


def _versions(entry: Ledger | None) -> Mapping[str, Any] | None:
    if entry is None or not entry.history:
        return None
    rows: list[list[Cell | str]] = []
    for run in entry.history:
        state = str(run["state"])
        superseded = state == BatchState.SUPERSEDED.value
        rows.append(
            [
                Cell(str(run["execution"]), code=True),
                Cell(state, style_of(state)),
                terminal.minute(run.get("started_at")),
                terminal.minute(run["finished_at"]),
                "a newer set of files took over" if superseded else run.get("cause") or "",
            ]
        )
    titles = ("Run", "State", "Started (UTC)", "Finished (UTC)", "Cause")
    return table("Every run of the day", *titles, rows=rows)
