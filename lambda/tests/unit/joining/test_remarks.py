"""Remarks: what looks as if records were missing is said, and changes nothing else."""

from __future__ import annotations

import pytest
from batches import ITEMS, ORDERS, day, observe
from pipeline.joining.gate import FileFacts, Gate, days_before
from pipeline.joining.remarks import find_remarks
from pipeline.joining.summary import FileSummary
from pipeline.model import data_model

DAY = "20220131"
CUT = FileSummary("items.csv", read=1, lines=2, has_final_line_end=False)


def remarks(file: FileSummary, *line_ends: bool) -> list[str]:
    """The remarks about a file of items, where the last ones before it, the latest first, ended so."""
    days = zip(days_before(DAY), line_ends, strict=False)
    gate = Gate(history={batch: {"items": FileFacts(1, has_end)} for batch, has_end in days})
    return [remark.code for remark in find_remarks(DAY, {data_model.ITEMS: file}, 0, gate)]


def test_a_last_line_without_end_is_said_and_the_day_is_delivered() -> None:
    observed = observe(day(items=ITEMS[:-2]), max_refused_percent=20)

    assert (observed.state, observed.errors) == ("READY", [])
    assert observed.summary["remarks"] == [
        {
            "code": "last_line_without_end",
            "file": "items_20220131.csv",
            "message": "the last line, 3, has no line end, so the file may be cut short",
        }
    ]
    assert [remark.code for remark in find_remarks(DAY, {data_model.ITEMS: CUT}, 0, None)] == ["last_line_without_end"]


@pytest.mark.parametrize("ends", [(), (False,) * 3, (False, False, False, True)])
def test_it_is_said_unless_the_last_four_files_were_so(ends: tuple[bool, ...]) -> None:
    assert remarks(CUT, *ends) == ["last_line_without_end"]
    assert remarks(CUT, False, False, False, False, *ends) == []


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
