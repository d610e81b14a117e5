"""The page of all days: what needs attention, trends, and a row for each day."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pipeline.model.data_model import MODEL

from pipeline_cli.deployment.batches import BatchStatus, duration_of
from pipeline_cli.output import hints, terminal
from pipeline_cli.output.summary import Numbers, totals
from pipeline_cli.report.page import NEEDS_ATTENTION, Cell, Point, advice, day, render, style_of, table, trend

TREND_DAYS = 60
"""How many days a trend shows, counted from the newest: more bars would be too narrow on a phone."""


def page(env: str, days: Sequence[BatchStatus], foreign_files: int, pages: Mapping[str, str]) -> str:
    """Return the page of all days, newest first, as HTML; `pages` has the links to the days with a page."""
    now = datetime.now(UTC)
    shown = sorted(days, key=lambda status: status.batch)[-TREND_DAYS:]
    return render(
        "overview.html",
        target=env,
        made_at=terminal.minute(now.isoformat()),
        tiles=_tiles(days),
        troubles=[
            {
                "day": day(status.batch, "%B"),
                "href": pages.get(status.batch, ""),
                "state": status.state.value,
                "style": style_of(status.state.value),
                "cause": (status.ledger.cause if status.ledger else None) or "",
                "advice": advice(status.ledger, env),
            }
            for status in days
            if _needs_attention(status)
        ],
        waiting=[(day(status.batch, "%B"), terminal.listed(status.missing)) for status in days if status.missing],
        foreign_files=foreign_files,
        trends=_trends(shown),
        trend_days=len(shown),
        days=_days(days, pages, now) if days else None,
        pages=len(pages),
        report_command=hints.command("report", "YYYYMMDD", env=env),
        errors_command=hints.command("errors", "unknown", env=env),
    )


def _needs_attention(status: BatchStatus) -> bool:
    return status.state.value in NEEDS_ATTENTION


def _tiles(days: Sequence[BatchStatus]) -> list[tuple[str, str]]:
    """Count the days by state: held and failed days first, then the others in order of occurrence."""
    counts = dict.fromkeys(NEEDS_ATTENTION, 0)
    for status in days:
        counts[status.state.value] = counts.get(status.state.value, 0) + 1
    return [(f"{'day' if count == 1 else 'days'} {state}", f"{count:,}") for state, count in counts.items() if count]


def _numbers(status: BatchStatus) -> Numbers:
    return Numbers.of(status.ledger.summary if status.ledger else {})


def _trends(days: Sequence[BatchStatus]) -> list[Mapping[str, Any]]:
    """Draw the trends of the days' figures, oldest day first; what is held or failed is not delivered."""

    def draw(title: str, value: Callable[[BatchStatus], tuple[float, str] | None]) -> Mapping[str, Any] | None:
        points = []
        for status in days:
            number, text = value(status) or (None, "no value")
            points.append(Point(day(status.batch), number, text, "bad" if _needs_attention(status) else ""))
        return trend(title, points)

    def results(status: BatchStatus) -> tuple[float, str] | None:
        count = _numbers(status).results
        return (count, f"{count:,}") if _numbers(status).read and not _needs_attention(status) else None

    def total(name: str) -> Callable[[BatchStatus], tuple[float, str] | None]:
        def value(status: BatchStatus) -> tuple[float, str] | None:
            if status.ledger is None or not _numbers(status).read or _needs_attention(status):
                return None
            text = totals(status.ledger.summary)[name]
            return float(Decimal(text.replace(",", ""))), text

        return value

    def refused(status: BatchStatus) -> tuple[float, str] | None:
        numbers = _numbers(status)
        return (numbers.refused / numbers.read, _percent(numbers)) if numbers.read else None

    def took(status: BatchStatus) -> tuple[float, str] | None:
        seconds = duration_of(status.ledger) if status.ledger and status.ledger.finished_at else None
        return None if seconds is None else (seconds, terminal.duration(seconds))

    drawn = [
        draw(MODEL.root.capitalize(), results),
        *(draw(name.capitalize(), total(name)) for name in totals({})),
        draw("Share of records refused", refused),
        draw("Duration", took),
    ]
    return [one for one in drawn if one is not None]


def _percent(numbers: Numbers) -> str:
    return f"{100 * numbers.refused / numbers.read:.1f} %"


def _days(days: Sequence[BatchStatus], pages: Mapping[str, str], now: datetime) -> Mapping[str, Any]:
    kinds, sums = [kind.capitalize() for kind in MODEL.kinds], [name.capitalize() for name in totals({})]
    counts = ("Records refused", "Errors", *kinds, *sums, "Incomplete totals", "Took")
    rows: list[list[Cell | str]] = []
    for status in days:
        entry, numbers, state = status.ledger, _numbers(status), status.state.value
        files = f"no {', no '.join(status.missing)}" if status.missing else ""
        if status.corrected:
            files = "not noticed yet" if status.unnoticed else "newer set"
        seconds, was_read = duration_of(entry, now), bool(entry and numbers.read)
        rows.append(
            [
                Cell(day(status.batch), "time", href=pages.get(status.batch, "")),
                Cell(state, style_of(state)),
                Cell(files, "warn"),
                f"{numbers.refused:,} ({_percent(numbers)})" if was_read else "",
                f"{numbers.errors:,}" if entry and entry.summary else "",
                *(f"{count:,}" if was_read else "" for count in numbers.records.values()),
                *(total if was_read else "" for total in totals(entry.summary if entry else {}).values()),
                f"{numbers.incomplete:,}" if numbers.incomplete else "",
                terminal.duration(seconds) if seconds is not None else "",
                Cell(terminal.minute(entry.finished_at) if entry else "", "time"),
            ]
        )
    titles = ("Day", "State", "Files", *counts, "Finished (UTC)")
    return table("Every day, the newest first", *titles, rows=rows, numbers=counts)
