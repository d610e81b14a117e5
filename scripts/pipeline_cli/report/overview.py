"""The page of all days: what needs attention, trends, and a row for each day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pipeline_cli.deployment.batches import BatchStatus, duration_of
from pipeline_cli.output import hints, terminal
from pipeline_cli.output.summary import Numbers, amount
from pipeline_cli.report import wording
from pipeline_cli.report.charts import Point, Trend, trend
from pipeline_cli.report.gather import Overview
from pipeline_cli.report.rendering import render
from pipeline_cli.report.tables import Cell, Table, table
from pipeline_cli.report.wording import Advice

TREND_DAYS = 60
"""How many days a trend shows, counted from the newest: more bars would be too narrow on a phone."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A held or failed day, and what to do about it."""

    day: str
    href: str
    state: str
    style: str
    cause: str
    advice: Sequence[Advice]


def page(overview: Overview) -> str:
    """Return the page of all days as HTML."""
    shown = sorted(overview.days, key=lambda status: status.batch)[-TREND_DAYS:]
    return render(
        "overview.html",
        target=overview.target,
        made_at=terminal.minute(overview.made_at.isoformat()),
        tiles=_tiles(overview.days),
        troubles=[_trouble(status, overview) for status in overview.days if _needs_attention(status)],
        waiting=[
            (wording.day(status.batch), " and ".join(status.missing)) for status in overview.days if status.missing
        ],
        foreign_files=overview.foreign_files,
        trends=_trends(shown),
        trend_days=len(shown),
        days=_days(overview) if overview.days else None,
        pages=len(overview.pages),
        report_command=hints.command("report", "YYYYMMDD", env=overview.target),
        errors_command=hints.command("errors", "unknown", env=overview.target),
    )


def _needs_attention(status: BatchStatus) -> bool:
    return status.state.value in wording.NEEDS_ATTENTION


def _trouble(status: BatchStatus, overview: Overview) -> Trouble:
    entry, state = status.ledger, status.state.value
    return Trouble(
        wording.day(status.batch),
        overview.pages.get(status.batch, ""),
        state,
        wording.style_of(state),
        (entry.cause if entry else None) or "",
        wording.advice(entry, overview.target) if entry else (),
    )


def _tiles(days: Sequence[BatchStatus]) -> list[tuple[str, str]]:
    """Count the days by state: held and failed days first, then the others in order of occurrence."""
    counts = dict.fromkeys(wording.NEEDS_ATTENTION, 0)
    for status in days:
        counts[status.state.value] = counts.get(status.state.value, 0) + 1
    return [(f"{'day' if count == 1 else 'days'} {state}", f"{count:,}") for state, count in counts.items() if count]


def _trends(days: Sequence[BatchStatus]) -> list[Trend]:
    """Draw the trends of the days' figures, oldest day first."""

    def draw(title: str, value: Callable[[BatchStatus], tuple[float, str] | None]) -> Trend | None:
        points = []
        for status in days:
            number, text = value(status) or (None, "no value")
            style = "bad" if _needs_attention(status) else ""
            points.append(Point(wording.short_day(status.batch), number, text, style))
        return trend(title, points)

    drawn: Iterable[Trend | None] = (
        draw("Customers", _customers),
        draw("Amount", _amount),
        draw("Share of records refused", _refused_share),
        draw("Duration", _duration),
    )
    return [one for one in drawn if one is not None]


def _customers(status: BatchStatus) -> tuple[float, str] | None:
    if not _counts(status).read or _needs_attention(status):
        return None
    customers = _counts(status).customers
    return customers, f"{customers:,}"


def _amount(status: BatchStatus) -> tuple[float, str] | None:
    if not _counts(status).read or _needs_attention(status) or status.ledger is None:
        return None
    total = str(status.ledger.summary.get("total_amount", "0"))
    return float(Decimal(total)), amount(total)


def _refused_share(status: BatchStatus) -> tuple[float, str] | None:
    numbers = _counts(status)
    if not numbers.read:
        return None
    return numbers.refused / numbers.read, _percent(numbers)


def _duration(status: BatchStatus) -> tuple[float, str] | None:
    entry = status.ledger
    seconds = duration_of(entry)
    if entry is None or entry.finished_at is None or seconds is None:
        return None
    return seconds, terminal.duration(seconds)


def _counts(status: BatchStatus) -> Numbers:
    return Numbers.of(status.ledger.summary if status.ledger else {})


def _percent(numbers: Numbers) -> str:
    return f"{100 * numbers.refused / numbers.read:.1f} %"


def _days(overview: Overview) -> Table:
    counts = ("Customers", "Orders", "Items", "Amount", "Records refused", "Incomplete totals", "Errors", "Took")
    titles = ("Day", "State", "Files", *counts, "Finished (UTC)")
    rows = [_row(status, overview) for status in overview.days]
    return table("Every day, the newest first", *titles, rows=rows, numbers=counts)


def _row(status: BatchStatus, overview: Overview) -> list[Cell | str]:
    entry, numbers, state = status.ledger, _counts(status), status.state.value
    files = f"no {', no '.join(status.missing)}" if status.missing else ""
    if status.corrected:
        files = "not noticed yet" if status.unnoticed else "newer set"
    counts = [""] * 6
    if entry and numbers.read:
        counts = [
            f"{numbers.customers:,}",
            f"{numbers.orders:,}",
            f"{numbers.items:,}",
            amount(str(entry.summary.get("total_amount", "0"))),
            f"{numbers.refused:,} ({_percent(numbers)})",
            f"{numbers.incomplete:,}" if numbers.incomplete else "",
        ]
    seconds = duration_of(entry, overview.made_at)
    return [
        Cell(wording.short_day(status.batch), "time", href=overview.pages.get(status.batch, "")),
        Cell(state, wording.style_of(state)),
        Cell(files, "warn"),
        *counts,
        f"{numbers.errors:,}" if entry and entry.summary else "",
        terminal.duration(seconds) if seconds is not None else "",
        Cell(terminal.minute(entry.finished_at) if entry else "", "time"),
    ]
