"""The gate: a day with too many refused records is held; its errors are sent, its results are not."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from batches import CUSTOMERS, ITEMS, ORDERS, Observed, day, observe, read, run
from hypothesis import given
from hypothesis import strategies as st
from pipeline.joining.customer_data_processor import Previous
from pipeline.joining.gate import TOLERATED_RECORDS, holds
from pipeline.model import data_model
from unit.model.test_error_codes import documented

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
    assert holds(read, refused, percent) is held


@given(read=st.integers(1, 10_000), refused=st.integers(0, 10_000), percent=st.integers(0, 99))
def test_a_higher_limit_never_holds_more(read: int, refused: int, percent: int) -> None:
    refused = min(refused, read)

    assert holds(read, refused, percent) or not holds(read, refused, percent + 1)


def held_day(**options: object) -> Observed:
    return observe(day(items=ITEMS + MANY_BAD), max_refused_percent=20, **options)


def test_a_held_day_has_its_errors_and_one_for_the_file_and_no_results() -> None:
    observed = held_day()

    assert observed.state == "HELD"
    assert observed.customers == {}
    assert [code for *_, code in observed.codes()] == ["too_many_refused"] + ["not_an_amount"] * 23
    assert observed.errors[0]["message"] == documented()["too_many_refused"]
    assert observed.errors[0]["line"] is None
    assert [file["too_many_refused"] for file in observed.summary["files"].values()] == [False, False, True]
    assert len(observed.rejects[data_model.ITEMS]) == 23


def test_the_summary_of_a_held_day_shows_what_a_release_would_deliver() -> None:
    held = held_day().summary
    released = observe(day(items=ITEMS + MANY_BAD)).summary

    for name in ("customers", "orders", "items", "total_amount", "incomplete_customers", "reconciliation"):
        assert held[name] == released[name]
    assert held["total_amount"] == "87.5"


def test_a_released_day_has_its_results_and_no_error_about_the_file() -> None:
    observed = observe(day(items=ITEMS + MANY_BAD), max_refused_percent=None)

    assert observed.state == "READY"
    assert set(observed.customers) == {"c1", "c2"}
    assert {code for *_, code in observed.codes()} == {"not_an_amount"}


def test_every_file_that_has_too_many_is_named() -> None:
    files = day(
        customers=CUSTOMERS.splitlines(keepends=True)[0] + b",a,b,c\n",
        orders=ORDERS.splitlines(keepends=True)[0] + b"c1,sent,o1,1\n",
    )
    observed = observe(files, max_refused_percent=100)

    assert [error["file"] for error in observed.errors if error["code"] == "too_many_refused"] == [
        "customers_20220131.csv",
        "items_20220131.csv",
        "orders_20220131.csv",
    ]


def test_a_file_without_records_does_not_hold_its_batch() -> None:
    header = ITEMS.splitlines(keepends=True)[0]

    assert observe(day(items=header), max_refused_percent=0).state == "READY"


def test_a_held_day_removes_no_customer_and_writes_no_list_of_customers(tmp_path: Path) -> None:
    delivered = tmp_path / "delivered.parquet"
    duckdb.sql("SELECT 'c9' AS customer_reference").write_parquet(str(delivered))
    previous = Previous(frozenset({"error#items#0000000009#unknown_order"}), [delivered])

    outcome = run(day(items=ITEMS + MANY_BAD), tmp_path, previous, max_refused_percent=20)

    lines = "".join(chunk.path.read_text() for chunk in outcome.chunks)
    assert "customer#" not in lines
    assert lines.count("DeleteRequest") == 1
    assert outcome.references is None
    assert read(outcome).summary["removed_customers"] == 0
