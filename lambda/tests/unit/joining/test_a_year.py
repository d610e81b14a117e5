"""A year of days, one after the other: a clean day is never held, a day that is cut is never delivered in silence.

The days are those of a business that is small at weekends and grows, with holidays on which nothing or less is sent.
Only what the gate looks at is simulated, so that a year takes a second; that a file gives these numbers is tested
elsewhere (test_gate.py, test_control_totals.py).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import date, timedelta

import pytest
from pipeline.joining.gate import FileFacts, Gate
from pipeline.joining.remarks import find_remarks
from pipeline.joining.summary import FileSummary
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind

DAYS = 365
CLOSED = {(1, 1), (12, 25), (12, 26)}
"""Nothing is sent."""
BRIDGE_DAYS = {(5, 2), (5, 30), (12, 24), (12, 31)}
"""Two thirds of a working day."""
FACTOR = dict(zip(MODEL.kinds, (1000, 1700, 4200), strict=True))
Counts = Mapping[RecordKind, int]


def clean_days(seed: int, first: date) -> Iterator[tuple[str, Counts]]:
    """A year of days: records by kind. Weekends have a tenth, the year grows by a half, each day varies by a tenth."""
    chance = random.Random(seed)
    for number in range(DAYS):
        day = first + timedelta(days=number)
        if (day.month, day.day) in CLOSED:
            continue
        share = 0.1 if day.weekday() >= 5 else 2 / 3 if (day.month, day.day) in BRIDGE_DAYS else 1.0
        share *= (1 + number / DAYS / 2) * chance.uniform(0.9, 1.1)
        yield f"{day:%Y%m%d}", {kind: round(records * share) for kind, records in FACTOR.items()}


def outcome(gate: Gate, batch: str, counts: Counts) -> set[str]:
    """The codes by which a day is held, or else those of its remarks."""
    files = {kind: FileSummary(f"{kind}.csv", read=read, counted=read, lines=read + 1) for kind, read in counts.items()}
    held = {str(hold.code) for hold in gate.find_holds(batch, files, 0, 0)}
    return held or {remark.code for remark in find_remarks(batch, files, 0, gate)}


def deliver(history: dict[str, dict[str, FileFacts]], batch: str, counts: Counts) -> None:
    history[batch] = {kind: FileFacts(read, True) for kind, read in counts.items()}


@pytest.mark.parametrize("first", [date(2022, 1, 1) + timedelta(days=days) for days in (0, 90)])
def test_no_day_of_a_clean_year_is_held_or_remarked(first: date) -> None:
    wrong = []
    for seed in range(5):
        history: dict[str, dict[str, FileFacts]] = {}
        for batch, counts in clean_days(seed, first):
            if found := outcome(Gate(history=history), batch, counts):
                wrong.append(f"seed {seed}, {batch}: {sorted(found)}")
            deliver(history, batch, counts)

    assert wrong == []


@pytest.mark.parametrize("kind", MODEL.kinds)
def test_a_day_cut_to_less_than_half_is_held_once_its_weekday_is_known_twice(kind: RecordKind) -> None:
    history: dict[str, dict[str, FileFacts]] = {}
    silent = []
    for number, (batch, counts) in enumerate(clean_days(1, date(2022, 1, 3))):
        for tenth in range(1, 5):
            cut = {**counts, kind: counts[kind] * tenth // 10}
            is_known = number >= 15 and counts[kind] - cut[kind] >= 60
            if is_known and not outcome(Gate(history=history), batch, cut):
                silent.append(f"{batch} cut to {tenth} tenths")
        deliver(history, batch, counts)

    assert silent == []


def test_a_released_small_day_does_not_hold_the_days_after_it() -> None:
    history: dict[str, dict[str, FileFacts]] = {}
    held = set()
    for batch, counts in clean_days(1, date(2022, 1, 3)):
        is_holiday = batch in ("20220606", "20220607")
        day = {kind: records // 10 for kind, records in counts.items()} if is_holiday else counts
        if outcome(Gate(history=history), batch, day):
            held.add(batch)
        deliver(history, batch, day)

    assert held == {"20220606", "20220607"}
