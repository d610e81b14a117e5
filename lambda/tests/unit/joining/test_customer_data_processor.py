"""The join: totals, refusals across files, chunks, corrections and the reconciliation."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from batches import BATCH, CUSTOMERS, ITEMS, day, delivered, observe, read, run
from pipeline.errors import ReconciliationError
from pipeline.joining.customer_data_processor import Outcome, Previous, messages
from pipeline.joining.duckdb_engine import DuckDBEngine
from pipeline.model.data_model import MODEL
from pipeline.model.items import error_sort_key


def requests(outcome: Outcome) -> list[list[dict[str, Any]]]:
    """The write requests of each chunk."""
    return [[json.loads(line) for line in chunk.path.read_text().splitlines()] for chunk in outcome.chunks]


def test_a_good_day_gives_each_customer_s_orders_and_amount(tmp_path: Path) -> None:
    outcome = run(day(), tmp_path)
    assert requests(outcome) == [
        [
            {
                "PutRequest": {
                    "Item": {
                        "pk": {"S": f"customer#{reference}"},
                        "sk": {"S": "batch#20220131"},
                        "customer_reference": {"S": reference},
                        "number_of_orders": {"N": orders},
                        "total_amount_spent": {"N": amount},
                    }
                }
            }
            for reference, orders, amount in (("c1", "2", "87.5"), ("c2", "0", "0"))
        ]
    ]
    assert list(messages(outcome)) == [
        '{"type":"customer_message","customer_reference":"c1","number_of_orders":2,"total_amount_spent":87.5}',
        '{"type":"customer_message","customer_reference":"c2","number_of_orders":0,"total_amount_spent":0}',
    ]
    assert duckdb.sql(f"FROM '{outcome.references}' ORDER BY 1").fetchall() == [("c1",), ("c2",)]
    assert outcome.rejects == {}


def test_the_summary_has_the_dialect_and_both_sides_of_the_reconciliation() -> None:
    summary = observe(day(items=ITEMS + b"o9,pen,1,3.00\no1,pen,x,0.50\no1,pen,1,free\n")).summary
    assert summary["files"]["items"] == {
        "file": "items_20220131.csv",
        "delimiter": ",",
        "decimal_mark": ".",
        "ignored_columns": [],
        "read": 5,
        "counted": 2,
        "refused": 3,
        "refused_by_code": {"not_an_amount": 1, "not_an_integer": 1, "unknown_order": 1},
        "lines": 6,
        "header_lines": 1,
        "blank_lines": 0,
        "further_lines": 0,
        "messages": 3,
        "file_error": None,
        "has_final_line_end": True,
        "held_by": [],
        "matches_control": False,
    }
    assert (summary["customers"], summary["orders"], summary["items"], summary["errors"]) == (2, 2, 2, 3)
    assert summary["reconciliation"] == {
        "scanned_amount": "91",
        "delivered_amount": "87.5",
        "refused_amount": "3.5",
        "refused_without_amount": 1,
    }
    assert summary["total_amount"] == "87.5"
    json.dumps(summary)


def test_the_summary_stays_small_however_many_columns_a_file_has() -> None:
    wide = "\n".join(line + ",x" * 5000 for line in ITEMS.decode().splitlines()).replace("x", "y" * 200, 1)
    ignored = observe(day(items=wide.encode())).summary["files"]["items"]["ignored_columns"]
    assert ignored == ["y" * 80, *["x"] * 19, "… and 4980 more"]


def test_the_same_bytes_give_the_same_chunks(tmp_path: Path) -> None:
    customers = CUSTOMERS.splitlines()[0] + b"".join(b"\nc%d,a,b,c" % (number % 400) for number in range(500))
    contents = []
    for threads in (1, 2):
        directory = tmp_path / f"with {threads} thread's"
        directory.mkdir()
        outcome = run(day(customers=customers), directory, threads=threads, chunk_records=100)
        contents.append([chunk.path.read_bytes() for chunk in outcome.chunks])
    assert contents[0] == contents[1]


@pytest.mark.parametrize("name", ["it's", "a*b?[c]", "ä 日 {x}", "%20\n#1"])
def test_directories_may_have_any_name(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    (tmp_path / "aXbYc").mkdir()
    items = ITEMS + b'o1,"two\nlines",1,x\no1,pen,1,y\n'
    outcome = run(day(items=items), directory, Previous(references=[delivered(tmp_path, "c9")]))
    assert [line for _, line, _ in read(outcome).codes()] == [4, 6]
    assert outcome.summary.removed == 1


def test_a_correction_removes_what_it_no_longer_contains(tmp_path: Path) -> None:
    stale, standing = error_sort_key("orders", 3, "not_a_timestamp"), error_sort_key("items", 4, "unknown_order")
    lists = [delivered(tmp_path, "c1", "c8", "c9"), delivered(tmp_path, "c2", "c7", "c9")]
    outcome = run(
        day(items=ITEMS + b"o9,x,1,1\n"), tmp_path, Previous(frozenset({stale, standing}), lists), chunk_records=5
    )
    first, *removals = requests(outcome)
    assert [list(request) for request in first] == [["PutRequest"]] * 3
    announced = []
    for chunk in removals:
        items = [request["PutRequest"]["Item"] for request in chunk if "PutRequest" in request]
        announced += [(item["pk"]["S"], item["removed"]) for item in items]
        assert all("PutRequest" in request for request in chunk[: len(items)])
        deleted = [request["DeleteRequest"]["Key"]["pk"] for request in chunk[len(items) :]]
        assert deleted[: len(items)] == [item["pk"] for item in items]
    assert announced == [(f"customer#{reference}", {"BOOL": True}) for reference in ("c7", "c8", "c9")]
    keys = [request["DeleteRequest"]["Key"] for chunk in removals for request in chunk if "DeleteRequest" in request]
    assert [key["sk"]["S"] for key in keys if key["pk"]["S"] == f"batch#{BATCH}"] == [stale]
    assert outcome.summary.removed == 3
    assert '"type":"customer_removed"' not in "".join(messages(outcome))


def test_nothing_is_written_outside_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    run(day(customers=CUSTOMERS + "\nc\x01é,a,b,c".encode()), tmp_path)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("relation", "defect", "sentence"),
    [
        (
            "results",
            "UPDATE results SET orders_records = orders_records - 1 WHERE orders_records > 0",
            "orders_20220131.csv: 2 records were read",
        ),
        (
            "results",
            "UPDATE results SET total_amount_spent = total_amount_spent + 0.0001",
            "amounts read sum up to 87.5000",
        ),
        ("results", "DELETE FROM results WHERE reference = 'c2'", "customers_20220131.csv: 2 records were read, but 1"),
        (
            "items_valid",
            "UPDATE items_totals SET records = records - 1",
            "items_20220131.csv has 2 lines after its header",
        ),
    ],
)
def test_a_run_fails_where_the_control_totals_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relation: str, defect: str, sentence: str
) -> None:
    def with_a_defect(engine: DuckDBEngine, name: str, sql: str) -> None:
        create(engine, name, sql)
        if name == relation:
            engine.rows(defect)

    create = DuckDBEngine.table
    monkeypatch.setattr(DuckDBEngine, "table", with_a_defect)
    with pytest.raises(ReconciliationError, match=sentence):
        run(day(), tmp_path)


@pytest.mark.parametrize("keep_files", [True, False])
def test_files_are_deleted_after_reading_unless_they_are_kept(tmp_path: Path, keep_files: bool) -> None:
    items = gzip.compress(ITEMS + b'o1,"pen\nred",1,1.00\nO1,similar,1,1\n')
    outcome = run(day(items=items), tmp_path, keep_files=keep_files)
    assert outcome.state == "READY"
    assert "its line 2 has 'o1'" in outcome.examples[0]["examples"][0]["message"]
    left = {path.name for path in tmp_path.rglob("*.csv")} - {"items_rejects.csv"}
    assert left == ({f"{kind}_{BATCH}.csv" for kind in MODEL.kinds} if keep_files else set())


def test_the_first_twenty_errors_of_each_code_are_examples_even_without_a_message(tmp_path: Path) -> None:
    bad = b"o1,pen,1,x\n" * 25 + b"o9,pen,1,1\n"
    outcome = run(day(items=ITEMS + bad), tmp_path, max_error_messages=3)

    counts = {group["code"]: (group["count"], len(group["examples"])) for group in outcome.examples}
    assert counts == {"not_an_amount": (25, 20), "unknown_order": (1, 1), "too_many_errors": (1, 1)}
    assert [example["line"] for example in outcome.examples[0]["examples"]] == list(range(4, 24))
    assert outcome.examples[0]["examples"][0]["message"].startswith("items_20220131.csv line 4: total_price 'x'")
