"""The page of all days: what needs attention, trends, and a row for each day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pipeline.ledger import Ledger
from pipeline.model.data_model import MODEL

from pipeline_cli.deployment.batches import BatchStatus, duration_of
from pipeline_cli.output import hints, terminal
from pipeline_cli.output.summary import Numbers, totals
from pipeline_cli.report.page import NEEDS_ATTENTION, Bar, Row, advice, day, linked, render, state, styled

TREND_DAYS = 28
"""How many calendar days a trend shows, counted from the newest: the weeks that a day is compared with, and as many
values as fit side by side on a phone."""

TOTALS = [name.capitalize() for name in totals({})]
KINDS = [kind.capitalize() for kind in MODEL.kinds]
COUNTS = ("Records refused", "Errors", *KINDS, *TOTALS, "Incomplete totals", "Took")
"""Columns of the table of all days that are aligned to the right."""


def page(env: str, days: Sequence[BatchStatus], foreign_files: int, pages: Mapping[str, str]) -> str:
    """Return the page of all days, newest first, as HTML; `pages` has the links to the days with a page."""
    counts = Counter(status.state.value for status in days)
    return render(
        "overview.html",
        target=env,
        tiles={
            f"{'day' if counts[name] == 1 else 'days'} {name}": f"{counts[name]:,}"
            for name in dict.fromkeys((*NEEDS_ATTENTION, *counts))
            if counts[name]
        },
        troubles=[
            (status, status.ledger, advice(status.ledger, env))
            for status in days
            if status.ledger and status.state.value in NEEDS_ATTENTION
        ],
        waiting=[status for status in days if status.missing],
        foreign_files=foreign_files,
        trends=_trends(_calendar(days)),
        days=[_row(status, pages.get(status.batch, "")) for status in days],
        counts=COUNTS,
        pages=pages,
        report_command=hints.command("report", "YYYYMMDD", env=env),
        errors_command=hints.command("errors", "unknown", env=env),
    )


def _calendar(days: Sequence[BatchStatus]) -> list[BatchStatus]:
    """Return each calendar day up to the newest, the oldest first; a day of which nothing arrived has no files."""
    known = {status.batch: status for status in days}
    if not known:
        return []
    newest, oldest = (datetime.strptime(pick(known), "%Y%m%d").replace(tzinfo=UTC) for pick in (max, min))
    first = max(oldest, newest - timedelta(days=TREND_DAYS - 1))
    batches = [f"{first + timedelta(days=number):%Y%m%d}" for number in range((newest - first).days + 1)]
    return [known.get(batch) or BatchStatus(batch, {}, None) for batch in batches]


def _trends(days: Sequence[BatchStatus]) -> dict[str, list[Bar]]:
    """Return the days' figures by their title, oldest day first; without those that fewer than two days have.

    What is held or failed was not delivered.
    """
    trends: dict[str, list[Bar]] = {}
    for status in days:
        entry = status.ledger or Ledger(status.batch)
        numbers, alarming = Numbers.of(entry.summary), status.state.value in NEEDS_ATTENTION
        delivered = bool(numbers.read) and not alarming
        took = duration_of(entry) if entry.finished_at else None
        figures: dict[str, tuple[float, str] | None] = {
            MODEL.root.capitalize(): (numbers.results, f"{numbers.results:,}") if delivered else None,
            **{
                title: (float(Decimal(text.replace(",", ""))), text) if delivered else None
                for title, text in zip(TOTALS, totals(entry.summary).values(), strict=True)
            },
            "Share of records refused": (numbers.refused / numbers.read, _percent(numbers)) if numbers.read else None,
            "Duration": (took, terminal.duration(took)) if took is not None else None,
        }
        for title, figure in figures.items():
            value, text = figure or (None, "no value" if status.ledger or status.files else "nothing arrived")
            trends.setdefault(title, []).append(Bar(day(status.batch), value, text, style="bad" if alarming else ""))
    return {title: bars for title, bars in trends.items() if sum(bar.value is not None for bar in bars) > 1}


def _percent(numbers: Numbers) -> str:
    return f"{100 * numbers.refused / numbers.read:.1f} %"


def _row(status: BatchStatus, link: str) -> Row:
    entry = status.ledger or Ledger(status.batch)
    numbers, took = Numbers.of(entry.summary), duration_of(entry, datetime.now(UTC))
    files = f"no {', no '.join(status.missing)}" if status.missing else ""
    if status.corrected:
        files = "not noticed yet" if status.unnoticed else "newer set"
    counts = (
        f"{numbers.refused:,} ({_percent(numbers)})" if numbers.read else "",
        f"{numbers.errors:,}" if entry.summary else "",
        *(f"{count:,}" if numbers.read else "" for count in numbers.records.values()),
        *(total if numbers.read else "" for total in totals(entry.summary).values()),
        f"{numbers.incomplete:,}" if numbers.incomplete else "",
        terminal.duration(took) if took is not None else "",
    )
    return {
        "Day": styled(linked(day(status.batch), link), "time"),
        "State": state(status.state.value),
        "Files": styled(files, "warn"),
        **dict(zip(COUNTS, counts, strict=True)),
        "Finished (UTC)": styled(terminal.minute(entry.finished_at), "time"),
    }
