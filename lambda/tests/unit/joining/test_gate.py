"""The gate: a day that is not what it should be is held; its errors are sent, its results are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from batches import ITEMS, day, delivered, observe, read, run
from hypothesis import given
from hypothesis import strategies as st
from pipeline.joining.customer_data_processor import Previous
from pipeline.joining.gate import TOLERATED_RECORDS, FileFacts, Gate, days_before, exceeds_refused
from pipeline.joining.summary import FileSummary
from pipeline.model import data_model
from unit.model.test_error_codes import documented, examples

MANY_BAD = b"".join(b"o1,pen,1,%d.5.5\n" % number for number in range(TOLERATED_RECORDS + 3))


@pytest.mark.parametrize(
    ("read", "refused", "percent", "held"),
    [
        (100, 20, 0, False),
        (100, 21, 20, True),
        (100, 21, 21, False),
        (105, 21, 20, False),
        (104, 21, 20, True),
        (1, 1, 100, True),
        (0, 0, 0, False),
        (1_000_000, 999_999, 100, False),
        (1_000_000, 21, 0, True),
    ],
)
def test_a_file_holds_its_batch_above_the_limit_or_if_all_its_records_are_refused(
    read: int, refused: int, percent: int, held: bool
) -> None:
    assert exceeds_refused(read, refused, percent) is held


def test_a_held_day_has_its_errors_and_one_for_the_file_and_delivers_and_removes_nothing(tmp_path: Path) -> None:
    previous = Previous(frozenset({"error#items#0000000009#unknown_order"}), [delivered(tmp_path, "c9")])
    files = day(items=ITEMS + MANY_BAD)

    outcome = run(files, tmp_path, previous, max_refused_percent=20)

    held, released = read(outcome), observe(files, max_refused_percent=None)
    assert (held.state, held.customers, outcome.references) == ("HELD", {}, None)
    assert [code for *_, code in held.codes()] == ["too_many_refused"] + ["not_an_amount"] * 23
    assert (examples(held, "too_many_refused"), held.errors[0]["line"]) == ([documented()["too_many_refused"]], None)
    assert [file["held_by"] for file in held.summary["files"].values()] == [[], [], ["too_many_refused"]]
    assert len(held.rejects[data_model.ITEMS]) == 23
    lines = "".join(chunk.path.read_text() for chunk in outcome.chunks)
    assert ("customer#" in lines, lines.count("DeleteRequest")) == (False, 1)
    # What a release would deliver and remove.
    assert (released.state, set(released.customers)) == ("READY", {"c1", "c2"})
    assert {code for *_, code in released.codes()} == {"not_an_amount"}
    for name in ("customers", "orders", "items", "total_amount", "incomplete_customers", "reconciliation"):
        assert held.summary[name] == released.summary[name]
    assert (held.summary["total_amount"], held.summary["removed_customers"]) == ("87.5", 1)


# --- a day that is less than it should be -------------------------------------------------------------------------

DAY = "20220131"  # a Monday


def history(records: dict[int, int], has_final_line_end: bool | None = True) -> dict[str, dict[str, FileFacts]]:
    """Delivered days: records of the items file by how many days before the day they were."""
    days = days_before(DAY)
    return {days[back - 1]: {"items": FileFacts(number, has_final_line_end)} for back, number in records.items()}


def codes(gate: Gate, read: int, *, has_final_line_end: bool = True, batch: str = DAY) -> list[str]:
    """The codes because of which a day is held whose items file has so many records."""
    file = FileSummary("items.csv", read=read, counted=read, lines=read + 1, has_final_line_end=has_final_line_end)
    return [str(hold.code) for hold in gate.find_holds(batch, {data_model.ITEMS: file}, 0, 0)]


def test_the_days_that_a_day_is_compared_with_are_the_last_four_weeks() -> None:
    days = days_before("20240305")

    assert (days[0], days[4], days[-1], len(days)) == ("20240304", "20240229", "20240206", 28)


def test_files_with_only_their_headers_hold_their_day_without_any_history() -> None:
    headers = {kind: content.splitlines(keepends=True)[0] for kind, content in day().items()}
    all_empty = observe(headers, max_refused_percent=100)
    observed = observe(day(items=headers[data_model.ITEMS]), max_refused_percent=100)

    assert sorted(all_empty.codes()) == [(kind, None, "no_records") for kind in ("customers", "items", "orders")]
    assert (observed.state, observed.customers) == ("HELD", {})
    assert examples(observed, "no_records") == [documented()["no_records"]]


@pytest.mark.parametrize(
    ("known", "held"),
    [
        ({7: 0}, []),
        ({7: 100, 28: 0}, []),
        ({7: 100, 14: 90}, ["no_records"]),
        ({1: 0, 6: 0, 8: 0}, ["no_records"]),
    ],
)
def test_an_empty_day_is_delivered_if_its_weekday_was_delivered_empty(known: dict[int, int], held: list[str]) -> None:
    assert codes(Gate(history=history(known)), 0) == held


@pytest.mark.parametrize(
    ("known", "read", "held"),
    [
        ({7: 100, 14: 100}, 49, True),
        ({7: 100, 14: 100}, 50, False),
        ({7: 39, 14: 39}, 19, True),
        ({7: 38, 14: 38}, 18, True),
        ({7: 38, 14: 38}, 19, False),
        ({7: 30, 14: 30}, 11, False),
        ({7: 10, 14: 10, 1: 100, 2: 100, 3: 100, 4: 100}, 10, False),  # like its weekday, not like other days
        ({7: 100, 3: 100, 4: 100, 5: 100}, 49, True),
        ({3: 100, 4: 100, 5: 100}, 1, False),
        ({7: 100, 1: 10, 2: 10, 3: 100, 4: 100}, 40, False),  # weekends say nothing about a Monday
        ({7: 10, 14: 100, 21: 1000, 28: 100}, 49, True),  # the median
    ],
)
def test_a_file_with_far_fewer_records_than_usual_holds_its_day(known: dict[int, int], read: int, held: bool) -> None:
    assert codes(Gate(history=history(known)), read) == (["day_too_small"] if held else [])
    assert codes(Gate(min_day_percent=0, history=history(known)), read) == []


@pytest.mark.parametrize(("content", "usual", "code"), [(ITEMS, 1000, "day_too_small"), (ITEMS[:-2], 2, "cut_short")])
def test_a_file_that_is_less_than_usual_is_held_with_both_numbers_in_the_error(
    content: bytes, usual: int, code: str
) -> None:
    facts = {name: {"items": FileFacts(usual, True)} for name in days_before(DAY)}
    observed = observe(day(items=content), history=facts)

    assert (observed.state, examples(observed, code)) == ("HELD", [documented()[code]])


@pytest.mark.parametrize(
    ("days", "had_end", "held"),
    [
        ([1, 2, 3, 4], True, True),
        ([1, 9, 20, 28], True, True),
        ([1, 2, 3], True, False),
        ([1, 2, 3, 4], None, False),  # entries of an older release
        ([1, 2, 3, 4], False, False),
    ],
)
def test_a_file_without_a_last_line_end_holds_its_day_if_the_files_before_it_had_one(
    days: list[int], had_end: bool | None, held: bool
) -> None:
    gate = Gate(history=history(dict.fromkeys(days, 5), had_end))

    assert codes(gate, 5, has_final_line_end=False) == (["cut_short"] if held else [])
    assert codes(gate, 5) == []


@pytest.mark.parametrize(
    ("removed", "delivered", "held"), [(20, 20, False), (21, 210, False), (21, 209, True), (1000, 1000, True)]
)
def test_a_correction_that_removes_too_many_results_is_held(removed: int, delivered: int, held: bool) -> None:
    file = FileSummary("customers.csv", read=5, counted=5)
    found = Gate().find_holds(DAY, {data_model.CUSTOMERS: file}, removed, delivered)

    assert [hold.code for hold in found] == (["too_many_removed"] if held else [])


def test_a_held_correction_removes_nothing_and_says_how_many_it_would(tmp_path: Path) -> None:
    gone = delivered(tmp_path, *(f"gone-{number}" for number in range(1000)))

    outcome = run(day(), tmp_path, Previous(references=[gone]), max_refused_percent=20)

    observed = read(outcome)
    assert (observed.state, observed.customers) == ("HELD", {})
    assert examples(observed, "too_many_removed") == [documented()["too_many_removed"]]
    assert observed.summary["removed_customers"] == 1000
    assert "gone-" not in "".join(chunk.path.read_text() for chunk in outcome.chunks)


@given(
    known=st.dictionaries(st.integers(1, 28), st.integers(0, 300)),
    facts=st.sampled_from([True, False, None]),
)
def test_a_gate_is_the_same_after_it_went_through_json(known: dict[int, int], facts: bool | None) -> None:
    gate = Gate(1, 2, 3, history(known, facts))

    assert Gate.from_dict(json.loads(json.dumps(gate.as_dict()))) == gate
