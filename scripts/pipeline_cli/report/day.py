"""The page of one day: the values of its template, section by section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pipeline.ledger import BatchState, Ledger
from pipeline.model.batch_files import INCOMING_PREFIX
from pipeline.model.data_model import MODEL
from pipeline.model.messages import number_text

from pipeline_cli.deployment import large_day
from pipeline_cli.deployment.batches import BatchStatus, duration_of, waiting_text
from pipeline_cli.deployment.runs import STAGES, Stage
from pipeline_cli.output import terminal
from pipeline_cli.output.summary import Numbers, amount, read_as
from pipeline_cli.report import wording
from pipeline_cli.report.charts import Bar, BarChart, bar_chart
from pipeline_cli.report.distribution import SINGLE, Distribution, class_name, classes
from pipeline_cli.report.gather import DayReport
from pipeline_cli.report.rendering import render
from pipeline_cli.report.tables import Cell, Table, table


def page(report: DayReport, overview: str = "") -> str:
    """Return the page of a day as HTML; `overview` is the link to the page of all days, if there is one."""
    entry = report.status.ledger
    summary = entry.summary if entry else {}
    return render(
        "day.html",
        target=report.target,
        made_at=terminal.minute(report.made_at.isoformat()),
        overview=overview,
        batch=report.status.batch,
        day=wording.day(report.status.batch),
        state=report.status.state.value,
        style=wording.style_of(report.status.state.value),
        how=_how(report),
        cause=entry.cause if entry else None,
        advice=wording.advice(entry, report.target) if entry else (),
        newer_set=report.status.corrected and not report.status.unnoticed,
        broken_off=bool(entry and entry.state is BatchState.FAILED and entry.version in entry.delivered),
        held=report.status.state.value == "HELD",
        earlier=bool(entry and set(entry.delivered) - {entry.version}),
        tiles=_tiles(summary),
        files=_files(report.status, summary),
        totals=_totals(summary, report.results),
        without_amount=int(summary.get("reconciliation", {}).get("refused_without_amount", 0)),
        errors=report.errors,
        error_chart=_error_chart(report),
        rejects=report.rejects,
        delivered=entry is not None and entry.state is BatchState.COMPLETED,
        results=report.results,
        result_charts=_result_charts(report.results),
        mean=_mean(report.results),
        run=entry.execution if entry else None,
        stages=_stages(report.stages),
        job=large_day.effort(entry),
        versions=_versions(entry),
        amount=lambda value: amount(number_text(value)),
    )


def _how(report: DayReport) -> str:
    status, entry = report.status, report.status.ledger
    seconds = duration_of(entry, report.made_at)
    if entry and entry.finished_at and seconds is not None:
        ended = terminal.minute(entry.finished_at)
        return f"at {ended} UTC, {terminal.duration(seconds)} after the last of the three files had arrived."
    if status.missing:
        return f"for {' and '.join(status.missing)}."
    if status.unnoticed:
        return "although all three files are there: the pipeline has not noticed them yet."
    if waiting := waiting_text(entry):
        return f"and {waiting}."
    return "when this page was made."


def _tiles(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the day's main figures with their names."""
    numbers = Numbers.of(summary)
    if not numbers.read:
        return []
    facts = [
        ("customers", f"{numbers.customers:,}"),
        ("orders", f"{numbers.orders:,}"),
        ("items", f"{numbers.items:,}"),
        ("spent in all", amount(str(summary.get("total_amount", "0")))),
        (f"of {numbers.read:,} records refused", f"{numbers.refused:,}"),
    ]
    if numbers.incomplete:
        facts.append(("customers with incomplete totals", f"{numbers.incomplete:,}"))
    if removed := int(summary.get("removed_customers", 0)):
        facts.append(("removed by this correction", f"{removed:,}"))
    return facts


def _files(status: BatchStatus, summary: Mapping[str, Any]) -> Table:
    known, files = status.ledger.files if status.ledger else {}, summary.get("files", {})
    rows: list[list[Cell | str]] = []
    for kind in MODEL.kinds:
        source, file = known.get(kind) or status.files.get(kind), files.get(kind, {})
        if source is None:
            rows.append([Cell(f"{kind}_{status.batch}.csv", code=True), Cell("has not arrived", "warn"), "", "", ""])
            continue
        read = (
            Cell(f"can't be used: {file['file_error']}", "bad") if file.get("file_error") else Cell(read_as(kind, file))
        )
        rows.append(
            [
                Cell(source.key.removeprefix(INCOMING_PREFIX), code=True),
                terminal.minute(source.last_modified),
                terminal.size(source.size),
                read,
                ", ".join(file.get("ignored_columns") or ()),
            ]
        )
    titles = ("File", "Arrived (UTC)", "Size", "Read as", "Columns ignored")
    return table("The files of the day", *titles, rows=rows, numbers=["Size"])


def _totals(summary: Mapping[str, Any], results: Distribution | None) -> Table | None:
    """Build the table of the control totals, which the run compared before it delivered anything."""
    totals = summary.get("reconciliation")
    if not totals or not Numbers.of(summary).read or wording.refused_files(summary):
        return None
    rows: list[list[Cell | str]] = []
    for kind in MODEL.kinds:
        file = summary["files"].get(kind, {})
        read, counted, refused = (int(file.get(name, 0)) for name in ("read", "counted", "refused"))
        rows.append(
            [f"Records of {kind}", f"{read:,}", f"{counted:,}", f"{refused:,}", _check(read == counted + refused)]
        )
    scanned, delivered, refused_amount = (
        Decimal(str(totals[f"{side}_amount"])) for side in ("scanned", "delivered", "refused")
    )
    shown = [amount(str(value)) for value in (scanned, delivered, refused_amount)]
    rows.append(["Amounts of items", *shown, _check(scanned == delivered + refused_amount)])
    if results is not None:
        agrees = results.total == delivered and results.customers == int(summary["customers"])
        what = f"Delivered to {terminal.counted(results.customers, 'customer')}, added up again"
        rows.append([what, "", amount(number_text(results.total)), "", _check(agrees)])
    numbers = ("Read", "Counted", "Refused")
    titles = ("What", *numbers, "Read = counted + refused")
    return table("Records and amounts: read, counted and refused", *titles, rows=rows, numbers=numbers)


def _check(holds: bool) -> Cell:
    return Cell("✓ holds", "good") if holds else Cell("✗ differs", "bad")


def _error_chart(report: DayReport) -> BarChart | None:
    if not report.errors:
        return None
    by_code: dict[str, int] = {}
    for group in report.errors:
        by_code[group.code] = by_code.get(group.code, 0) + group.count
    ranked = sorted(by_code.items(), key=lambda found: (-found[1], found[0]))
    bars = [Bar(code, count, f"{count:,}", style="bad", code=True) for code, count in ranked]
    return bar_chart("Errors by code", "Code", "Errors", bars)


def _result_charts(results: Distribution | None) -> list[BarChart]:
    if results is None or not results.customers:
        return []
    orders = _bars(results.orders, classes(results.orders, SINGLE), SINGLE)
    charts = [bar_chart("Orders per customer", "Orders", "Customers", orders)]
    if amounts := _bars(results.amounts, classes(results.amounts, 1), 0):
        charts.append(bar_chart("Amount per customer who ordered", "Spent at least", "Customers", amounts))
    return charts


def _bars(counts: Mapping[Any, int], ends: Sequence[int | None], first: int) -> list[Bar]:
    return [Bar(class_name(end, first), counts[end], f"{counts[end]:,}") for end in ends]


def _mean(results: Distribution | None) -> str:
    if results is None or not results.customers:
        return ""
    return amount(str((results.total / results.customers).quantize(Decimal("0.01"))))


def _stages(stages: Sequence[Stage]) -> BarChart | None:
    if not stages:
        return None
    bars = []
    for stage in stages:
        failed = f" (failed {terminal.counted(stage.failures, 'time')})" if stage.failures else ""
        label = STAGES.get(stage.name, stage.name) + failed
        text = terminal.duration(stage.seconds) + ("" if stage.over else " so far")
        bars.append(Bar(label, stage.seconds, text, stage.start, "" if stage.over else "warn"))
    return bar_chart("Stages of the run", "Stage", "Took", bars)


def _versions(entry: Ledger | None) -> Table | None:
    if entry is None or not entry.history:
        return None
    rows: list[list[Cell | str]] = []
    for run in entry.history:
        state = str(run["state"])
        cause = run.get("cause") if state != BatchState.SUPERSEDED.value else "a newer set of files took over"
        rows.append(
            [
                Cell(str(run["execution"]), code=True),
                Cell(state, wording.style_of(state)),
                terminal.minute(run.get("started_at")),
                terminal.minute(run["finished_at"]),
                cause or "",
            ]
        )
    titles = ("Run", "State", "Started (UTC)", "Finished (UTC)", "Cause")
    return table("Every run of the day", *titles, rows=rows)
