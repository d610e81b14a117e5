"""Control totals of the sender: a file that is not what they say is refused, and one that is needs no history."""

from __future__ import annotations

import gzip
import hashlib
from decimal import Decimal

import pytest
from batches import BATCH, CUSTOMERS, ITEMS, Observed, day, observe
from pipeline.joining.gate import FileFacts, days_before
from pipeline.model.batch_files import CONTROL
from pipeline.reading.control_file import ControlTotal, control_file
from unit.model.test_error_codes import documented, examples

HEADER = "file,records,amount,sha256\n"
USUAL = {
    name: {kind: FileFacts(1000, True) for kind in ("customers", "orders", "items")} for name in days_before(BATCH)
}


def control(items: str = "2,87.5,") -> bytes:
    lines = [f"customers_{BATCH}.csv,2,,", f"orders_{BATCH}.csv,2,,", f"items_{BATCH}.csv,{items}", ""]
    return (HEADER + "\n".join(lines)).encode()


def with_control(content: bytes | None = None, **files: bytes) -> Observed:
    return observe({**day(**files), CONTROL: control() if content is None else content}, history=USUAL)


def test_agreement_replaces_the_comparison_with_other_days() -> None:
    observed = with_control(items=ITEMS.rstrip(b"\n"))

    assert (observed.state, observed.errors, observed.summary["remarks"]) == ("READY", [], [])
    assert [file["matches_control"] for file in observed.summary["files"].values()] == [True, True, True]


def test_a_day_that_is_said_to_be_empty_is_delivered() -> None:
    header = ITEMS.splitlines(keepends=True)[0]

    assert with_control(control("0,0,"), items=header).state == "READY"
    assert with_control(HEADER.encode(), items=header).state == "HELD"


def test_a_file_that_the_control_file_does_not_name_is_compared_with_other_days() -> None:
    observed = with_control(f"{HEADER}items_{BATCH}.csv,2,87.50,\n".encode())

    assert {kind: file["held_by"] for kind, file in observed.summary["files"].items()} == {
        "customers": ["day_too_small"],
        "orders": ["day_too_small"],
        "items": [],
    }


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("3,87.5,", "the number of records is 2, but the control file says 3"),
        ("2,87.51,", "the sum of the amounts is 87.5, but the control file says 87.51"),
        (
            f"2,,{'0' * 64}",
            f"the SHA-256 of the file is {hashlib.sha256(ITEMS).hexdigest()}, but the control file says",
        ),
    ],
)
def test_a_file_that_differs_is_refused_with_both_numbers(items: str, message: str) -> None:
    observed = with_control(control(items))

    error = observed.only_error()
    assert (observed.state, error["kind"], error["code"]) == ("REFUSED", "items", "control_total_differs")
    assert message in error["message"]
    assert observed.summary["files"]["items"]["file_error"] == "control_total_differs"
    two = with_control(control(items), customers=CUSTOMERS + b"c3,a,b,c\n")
    assert [error["kind"] for error in two.errors] == ["customers", "items"]


def test_the_message_is_the_documented_one() -> None:
    for code, said in {"control_total_differs": "3,87.5,", "bad_control_file": "many,,"}.items():
        assert examples(with_control(control(said)), code) == [documented()[code]]


def test_the_digest_is_that_of_the_file_as_it_was_sent() -> None:
    packed = gzip.compress(ITEMS)
    stated = f"{HEADER}items_{BATCH}.csv.gz,2,87.50,{hashlib.sha256(packed).hexdigest().upper()}\n"

    assert observe({**day(items=packed), CONTROL: stated.encode()}).state == "READY"


def test_refused_records_count_as_records_and_with_their_amounts() -> None:
    items = ITEMS + b"o9,pen,1,2.50\n"

    assert with_control(control("3,90,"), items=items).state == "READY"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"items_{BATCH}.csv,2\nitem_{BATCH}.csv,2", "line 3, column file: 'item_20220131.csv' is none of the batch's"),
        ("items_20220201.csv,2", "line 2, column file: 'items_20220201.csv' is none of"),
        (
            f"items_{BATCH}.csv,2\n\nitems_{BATCH}.csv.gz,2",
            "line 4, column file: 'items_20220131.csv.gz' is named",
        ),
        (f"items_{BATCH}.csv", "line 2, column records: '' is not a whole number"),
        (f"items_{BATCH}.csv,-1", "line 2, column records: '-1' is not a whole number"),
        (f"items_{BATCH}.csv,2,1e5", "line 2, column amount: '1e5' is not a plain decimal"),
        (f"items_{BATCH}.csv,2,,abc", "line 2, column sha256: 'abc' is not a SHA-256"),
        ("a\u202eb,2", r"line 2, column file: 'a\u202eb' is none of"),
    ],
)
def test_a_fault_of_the_control_file_names_line_and_column_and_refuses_the_batch(content: str, message: str) -> None:
    observed = with_control((HEADER + content).encode())

    error = observed.only_error()
    assert (observed.state, error["file"], error["code"]) == ("REFUSED", "control_20220131.csv", "bad_control_file")
    assert message in error["message"]


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"\xef\xbb\xbf" + control().replace(b"\n", b"\r\n")),
        control().replace(b"87.5", b' "87.50" ').replace(b'" ', b'"').replace(b' "', b'"'),
        b"Records,FILE\n2,items_20220131.csv\n",
        control().replace(b",", b";").replace(b"87.5", b"87,5"),
    ],
    ids=["gzip, CRLF", "quotes", "other order", "decimal comma"],
)
def test_a_control_file_is_read_like_any_csv_file(content: bytes) -> None:
    files = {**day(), CONTROL: content}

    assert observe(files).summary["files"]["items"]["matches_control"]


def test_a_control_file_that_is_no_csv_text_is_refused_like_any_file() -> None:
    for content, code in {b"": "empty_file", gzip.compress(b"file,records\n" * 200_000): "file_too_large"}.items():
        assert with_control(content).only_error()["code"] == code


def test_a_control_file_has_a_line_for_each_file() -> None:
    totals = {"a.csv": ControlTotal(7, Decimal("1.50"), "0" * 64), "b.csv": ControlTotal(0)}
    assert control_file(totals) == f"file,records,amount,sha256\na.csv,7,1.5,{'0' * 64}\nb.csv,0,,\n"
