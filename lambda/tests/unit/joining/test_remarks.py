"""Remarks: what looks as if records were missing is said, and changes nothing else."""

from __future__ import annotations

import pytest
from batches import ITEMS, ORDERS, day, observe
from pipeline.joining.gate import FileFacts, Gate, days_before
from pipeline.joining.remarks import find_remarks
from pipeline.joining.summary import FileSummary
from pipeline.model import data_model

DAY = "20220131"


def remarks(file: FileSummary, *, without_amount: int = 0, gate: Gate | None = None) -> list[str]:
    return [remark.code for remark in find_remarks(DAY, {data_model.ITEMS: file}, without_amount, gate)]


def history(*line_ends: bool) -> Gate:
    """A gate that knows the last days of items, the latest first."""
    found = zip(days_before(DAY), line_ends, strict=False)
    return Gate(history={batch: {"items": FileFacts(1, has_end)} for batch, has_end in found})


def test_a_last_line_without_end_is_said_and_the_day_is_delivered() -> None:
    observed = observe(day(items=ITEMS[:-2]), max_refused_percent=20)

    assert (observed.state, observed.errors) == ("READY", [])
    (remark,) = observed.summary["remarks"]
    assert remark == {
        "code": "last_line_without_end",
        "file": "items_20220131.csv",
        "message": "the last line, 3, has no line end, so the file may be cut short",
    }


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (None, True),
        (history(), True),
        (history(False, False, False), True),
        (history(False, False, False, True), True),
        (history(False, False, False, False), False),
        (history(False, False, False, False, True), False),
    ],
    ids=["released", "first day", "three days", "one had an end", "usual", "usual of late"],
)
def test_a_last_line_without_end_is_not_said_where_it_is_usual(gate: Gate | None, said: bool) -> None:
    file = FileSummary("items.csv", read=1, lines=2, has_final_line_end=False)

    assert remarks(file, gate=gate) == (["last_line_without_end"] if said else [])


def test_a_file_that_is_held_as_cut_short_has_no_remark_about_it() -> None:
    file = FileSummary("items.csv", read=1, lines=2, has_final_line_end=False, held_by=("cut_short",))

    assert remarks(file, gate=history(True, True, True, True)) == []


@pytest.mark.parametrize(("records", "said"), [(1_048_574, False), (1_048_575, True), (1_048_576, False)])
def test_as_many_records_as_excel_holds_are_said(records: int, said: bool) -> None:
    assert remarks(FileSummary("items.csv", read=records)) == (["row_limit"] if said else [])


def test_results_with_records_and_sums_of_0_are_said_unless_they_lack_refused_records() -> None:
    orders = ORDERS + b"c2,sent,o3,1\nc2,sent,o4,1\n"
    complete = observe(day(orders=orders)).summary
    incomplete = observe(day(orders=orders, items=ITEMS + b"o3,pen,1,x\n")).summary

    assert [remark["message"] for remark in complete["remarks"]] == [
        "1 customer has records, but 0 as total_amount_spent, so records may be missing"
    ]
    assert incomplete["remarks"] == []
    assert observe(day()).summary["remarks"] == []  # c2 has no orders
