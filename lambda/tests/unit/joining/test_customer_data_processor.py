"""The join: totals, refusals across files, chunks, corrections and the reconciliation."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from batches import BATCH, CUSTOMERS, ITEMS, ORDERS, assert_agrees_with_reference, day, observe, read, run
from pipeline.errors import ReconciliationError
from pipeline.joining.customer_data_processor import Outcome, Previous, messages
from pipeline.joining.duckdb_engine import DuckDBEngine
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.items import error_sort_key
from pipeline.reading.sql import literal


def requests(outcome: Outcome) -> list[list[dict[str, Any]]]:
    """The write requests of each chunk."""
    return [[json.loads(line) for line in chunk.path.read_text().splitlines()] for chunk in outcome.chunks]


def references(directory: Path, *customers: str) -> Path:
    """Write the list of customers that an earlier version delivered."""
    path = directory / f"{'-'.join(customers)}.parquet"
    values = ", ".join(f"('{customer}')" for customer in customers)
    duckdb.sql(f"COPY (FROM (VALUES {values}) AS t(customer_reference)) TO {literal(str(path))} (FORMAT parquet)")
    return path


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


def test_sums_are_exact_where_floats_are_not() -> None:
    cents = b"".join(b"o1,pen,1,0.1\n" for _ in range(1000)) + b"o2,pen,1,99999999999999.9999\n" * 1000
    observed = assert_agrees_with_reference(
        day(items=ITEMS.splitlines(keepends=True)[0] + cents + b"o2,x,-1,-0.0001\n")
    )
    assert observed.customers["c1"] == (2, Decimal("100000000000000099.8999"))
    assert observed.messages[0]["total_amount_spent"] == Decimal("100000000000000099.8999")


def test_dependents_of_a_refused_record_are_refused_too() -> None:
    observed = assert_agrees_with_reference(
        day(
            b"id,customer_reference,first_name,last_name,status\n1,c1,a,b,c\n1,c2,a,b,c\n3,c1,a,b,c\n",
            ORDERS + b"c2,sent,o3,1\nc3,sent,o4,1\n",
            ITEMS + b"o3,pen,1,1\no4,pen,1,2\no5,pen,1,3\n",
        )
    )
    assert [(kind, code) for kind, _, code in observed.codes()] == [
        ("customers", "duplicate_id"),
        ("customers", "duplicate_reference"),
        ("items", "refused_order"),
        ("items", "refused_order"),
        ("items", "unknown_order"),
        ("orders", "refused_customer"),
        ("orders", "unknown_customer"),
    ]
    assert observed.customers == {"c1": (2, Decimal("87.5"))}


@pytest.mark.parametrize(
    ("given", "named", "shown"),
    [
        ("x9,7", "X9", "its line 4 has 'x9', which differs only in capitals"),
        ("caf\u00e9,7", "cafe\u0301", "its line 4 has 'caf\u00e9', which"),
        ("o\u200b7,7", "o7", r"its line 4 has 'o\u200b7', which"),
        ("x9,soon", "X9", "its line 4 has 'x9', which"),
    ],
)
def test_a_reference_that_is_unknown_but_similar_to_a_known_one_is_pointed_out(
    given: str, named: str, shown: str
) -> None:
    orders, items = ORDERS + f"c1,sent,{given}\n".encode(), ITEMS + f"{named},pen,1,1\n".encode()
    error = assert_agrees_with_reference(day(orders=orders, items=items)).errors[0]
    assert error["code"] == "unknown_order"
    assert f"; {shown}" in error["message"]


def test_a_reference_given_with_different_parents_refuses_all_its_records_and_their_children() -> None:
    observed = assert_agrees_with_reference(day(orders=ORDERS + b"c2,sent,o1,7\nc2,sent,o2,soon\n"))
    assert observed.codes() == [
        ("items", 2, "refused_order"),
        ("orders", 2, "conflicting_reference"),
        ("orders", 4, "conflicting_reference"),
        ("orders", 5, "not_a_timestamp"),
    ]
    assert observed.customers == {"c1": (1, Decimal(75)), "c2": (0, Decimal(0))}
    assert observed.incomplete == {"c1": 2, "c2": 3}


@pytest.mark.parametrize(
    ("rows", "codes"),
    [
        ("1,A 2,A 2,B", {3: "duplicate_reference"}),
        ("1,A 2,A 2,B 3,B 3,C 3,D", {3: "duplicate_reference", 5: "duplicate_reference", 7: "duplicate_id"}),
        ("1,A 1,B 2,B", {3: "duplicate_id"}),
    ],
)
def test_an_id_that_only_a_refused_record_gave_is_free(rows: str, codes: dict[int, str]) -> None:
    lines = "".join(f"{row},a,b,x\n" for row in rows.split())
    customers = f"id,customer_reference,first_name,last_name,status\n{lines}".encode()
    observed = assert_agrees_with_reference(day(customers=customers))
    assert {line: code for kind, line, code in observed.codes() if kind == "customers"} == codes


def test_a_record_is_a_duplicate_only_of_an_accepted_one() -> None:
    observed = assert_agrees_with_reference(
        day(
            orders=ORDERS.splitlines()[0]
            + b"\nc9,sent,o1,1\nc1,sent,o1,soon\nc2,sent,o1,3\nc2,sent,o1,4\nc1,sent,o2,1\n"
        )
    )
    assert observed.codes() == [
        ("orders", 2, "unknown_customer"),
        ("orders", 3, "not_a_timestamp"),
        ("orders", 5, "duplicate_reference"),
    ]
    assert observed.customers == {"c1": (1, Decimal(75)), "c2": (1, Decimal("12.5"))}


@pytest.mark.parametrize(
    ("ids", "codes"),
    [
        (["1", "2", "2"], [4]),
        (["a", "b", "a"], [4]),
        (["1", "01", "1", "-1"], [4]),
        (["9" * 30, "x", "9" * 30], [4]),
        (["5", "6", "\u00a05"], [4]),
        (["5 ", " ", "5\t"], [4]),
        (["1.5", "1.5"], [3]),
        (["7", "07", "-7", "", ""], []),
    ],
)
def test_row_ids_of_any_form_must_not_repeat(ids: list[str], codes: list[int]) -> None:
    rows = [f"{row_id},o1,pen,1,1" for row_id in ids]
    items = "\n".join(["id,order_reference,item_name,quantity,total_price", *rows]).encode()
    observed = assert_agrees_with_reference(day(items=items))
    assert observed.codes() == [("items", line, "duplicate_id") for line in codes]
    assert observed.customers["c1"] == (2, Decimal(len(ids) - len(codes)))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x\ny\tz\x01" + "é" * 100, r"x\ny\tz\x01" + "é" * 73 + "…"),
        ("{column} {hint} '; DROP TABLE x", "{column} {hint} '; DROP TABLE x"),
    ],
)
def test_sentences_shorten_values_and_escape_control_characters(value: str, shown: str) -> None:
    observed = observe(day(items=ITEMS + f'o1,pen,"{value}",1\n'.encode()))
    assert observed.only_error()["message"] == (
        f"items_20220131.csv line 4: quantity '{shown}' is not a whole number (such as 3)"
    )


def test_chunks_have_the_set_size_and_contain_every_record(tmp_path: Path) -> None:
    customers = CUSTOMERS.splitlines()[0] + b"".join(b"\nc%d,a,b,c" % number for number in range(25))
    outcome = run(day(customers=customers, items=ITEMS + b"o9,x,1,1\n" * 3), tmp_path, chunk_records=10)
    assert [chunk.records for chunk in outcome.chunks] == [10, 10, 8]
    assert [chunk.path.name for chunk in outcome.chunks] == ["00000.jsonl", "00001.jsonl", "00002.jsonl"]
    assert len(read(outcome).errors) == 3


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
    outcome = run(day(items=items), directory, Previous(references=[references(directory, "c9")]))
    assert [line for _, line, _ in read(outcome).codes()] == [4, 6]
    assert outcome.summary.removed == 1


def test_a_correction_removes_what_it_no_longer_contains(tmp_path: Path) -> None:
    stale, standing = error_sort_key("orders", 3, "not_a_timestamp"), error_sort_key("items", 4, "unknown_order")
    lists = [references(tmp_path, "c1", "c8", "c9"), references(tmp_path, "c2", "c7", "c9")]
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


def test_a_refused_batch_has_an_error_for_each_refused_file_and_removes_no_customer(tmp_path: Path) -> None:
    previous = Previous(frozenset({"error#items#0000000004#unknown_order"}), [references(tmp_path, "c9")])
    outcome = run(day(customers=b"", items=ITEMS + b'"'), tmp_path, previous)
    observed = read(outcome)
    assert (outcome.state, observed.codes()) == (
        "REFUSED",
        [("customers", None, "empty_file"), ("items", None, "unclosed_quote")],
    )
    assert [list(request) for request in requests(outcome)[0]] == [["PutRequest"], ["PutRequest"], ["DeleteRequest"]]
    assert outcome.references is None
    assert outcome.rejects == {}
    assert observed.summary["files"]["items"]["file_error"] == "unclosed_quote"
    assert observed.summary["files"]["orders"]["delimiter"] == ","


def test_files_that_only_reading_their_records_refuses_are_all_reported() -> None:
    orders = ORDERS + b'c1,"x",o7,1\n' * 1000 + b'c1,"x,o7,1\n'
    items = ITEMS + b'o1,"pen",1,1\n' * 1000 + b'o1,"pen,1,1\n'
    observed = assert_agrees_with_reference(day(orders=orders, items=items))
    assert observed.codes() == [("items", None, "unclosed_quote"), ("orders", None, "unclosed_quote")]
    orders = ORDERS + b'c1,"x",o7,1\n' * 1000
    observed = assert_agrees_with_reference(day(orders=orders, items=items))
    assert observed.codes() == [("items", None, "unclosed_quote")]
    observed = assert_agrees_with_reference(day(b"", orders, items))
    assert observed.codes() == [("customers", None, "empty_file"), ("items", None, "unclosed_quote")]


def test_an_engine_that_reads_all_files_first_judges_none_if_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DuckDBEngine, "reads_all_first", True)
    monkeypatch.setattr(DuckDBEngine, "judge", lambda _, file: pytest.fail(f"{file.name} was judged"))
    assert run(day(items=b"id\n"), tmp_path).state == "REFUSED"


def test_refused_records_are_kept_as_they_were_read() -> None:
    lines = ['o1,"say ""hi""\n\nthere",x,1', " o9 ,pen , 1,1", "o1;pen;1;1"]
    observed = observe(day(items=ITEMS + "\n".join(lines).encode()))
    assert [(row["line"], row["code"], row["record"]) for row in observed.rejects[data_model.ITEMS]] == [
        ("4", "not_an_integer", lines[0]),
        ("7", "unknown_order", lines[1]),
        ("8", "wrong_cell_count", lines[2]),
    ]


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
