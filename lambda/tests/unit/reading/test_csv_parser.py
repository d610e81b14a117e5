"""The bytes of a file and its header: blocks, limits, line ends, and the grammar of a record."""

from __future__ import annotations

import csv
import gzip
import io
import pickle
from pathlib import Path

import pytest
from batches import CUSTOMERS, ITEMS, assert_agrees_with_reference, day, observe
from pipeline.model import data_model
from pipeline.model.error_codes import ErrorCode
from pipeline.reading.decimal_marks import Votes
from pipeline.reading.dialect import BLOCK, DELIMITERS, MAX_LINE, RefusedFileError, read_profile
from pipeline.reading.grammar import Grammar
from pipeline.reading.header import read_header

CUSTOMER_HEADER, ITEM_HEADER = CUSTOMERS.splitlines(keepends=True)[0], ITEMS.splitlines(keepends=True)[0]


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_the_header_decides_the_delimiter_and_what_is_ignored(tmp_path: Path, delimiter: str) -> None:
    names = ["Note, with comma; etc", "total_price", " QUANTITY ", "item_name", "order_reference", "id"]
    with (tmp_path / "file.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerow(names)
    header = read_header(tmp_path / "file.csv", data_model.ITEMS)
    assert header.delimiter == delimiter
    assert header.ignored == ("note, with comma; etc",)
    assert header.positions == {"total_price": 2, "quantity": 3, "item_name": 4, "order_reference": 5, "id": 6}


def test_an_unpacked_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.csv.gz"
    path.write_bytes(gzip.compress(ITEM_HEADER + b"\n" * 3_000_000))
    with pytest.raises(RefusedFileError) as refused:
        read_profile(path, data_model.ITEMS, tmp_path, max_unpacked=BLOCK)
    assert refused.value.code == ErrorCode.FILE_TOO_LARGE
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2 * BLOCK


def test_a_carriage_return_at_the_end_of_a_block_is_one_line_end_with_what_follows() -> None:
    start = ITEM_HEADER + b"o1,pen,1,1\r\n"
    filler = b"o1," + b"x" * (BLOCK - len(start) - 8) + b",1,1"
    content = start + filler + b"\r\no1,pen,bad,1\r\n"
    assert content[BLOCK - 1 : BLOCK + 1] == b"\r\n"
    assert ("items", 4, "not_an_integer") in assert_agrees_with_reference(day(items=content)).codes()


@pytest.mark.slow
def test_a_character_split_across_two_blocks_is_valid() -> None:
    content = CUSTOMER_HEADER + b"".join(b"c%d,a,b,c\n" % number for number in range(70_000)) + b"c0,a,b,"
    content += b"y" * (BLOCK - len(content) - 1) + "é".encode() + b"\nc3,a,b,c\n"
    assert content[BLOCK - 1 : BLOCK + 1] == "é".encode()
    observed = assert_agrees_with_reference(day(customers=content))
    assert {code for *_, code in observed.codes()} == {"duplicate_reference"}


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_a_header_across_two_blocks_of_bytes_is_found(cut: int) -> None:
    content = ITEMS + b"o1," + b"z" * (BLOCK - cut - len(ITEMS) - 8) + b",1,1\n"
    assert len(content) == BLOCK - cut
    observed = observe(day(items=content + b"status,quantity,1,1\no1,pen,1,1\n"))
    assert observed.codes() == [("items", None, "second_header")]


def test_a_quoted_record_may_span_blocks_and_lines() -> None:
    text = b"\n".join([b"x" * 99] * 15_000)
    content = CUSTOMER_HEADER + b'c1,"' + text[:900_000] + b'",b,c\nc2,"' + text[:300_000] + b'",b,c\n,a,b,c\n'
    observed = assert_agrees_with_reference(day(customers=content))
    assert observed.codes() == [("customers", 2 + 9001 + 3001, "empty_reference")]
    assert list(observed.customers) == ["c1", "c2"]


@pytest.mark.parametrize(
    ("end", "is_ended"),
    [
        *((end, True) for end in (b"\n", b"\r", b"\n\n\n", b"\n  ", b'\n;""\t|', b"\n\x1a", b"\n\xef\xbb\xbf")),
        *((end, False) for end in (b"", b"\n\xc3", b"\n,,-", b"\n" + b"x" * 100_000)),
    ],
)
def test_a_last_line_that_is_not_blank_needs_its_line_end(tmp_path: Path, end: bytes, is_ended: bool) -> None:
    (tmp_path / "file.csv").write_bytes(ITEM_HEADER + b"o1,pen,1,1" + end)
    assert read_profile(tmp_path / "file.csv", data_model.ITEMS, tmp_path).has_final_line_end is is_ended


def test_a_line_without_line_end_is_not_kept_in_memory() -> None:
    error = observe(day(CUSTOMERS + b"x" * (MAX_LINE + 2 * BLOCK))).only_error()
    assert error["code"] == ErrorCode.LINE_TOO_LONG
    assert "line 4 " in error["message"]


@pytest.mark.slow
def test_line_numbers_and_sums_are_right_in_a_file_of_many_read_buffers() -> None:
    lines = [
        b"o%d,pen,1,%s\n" % (number % 2 + 1, b"bad" if number % 9973 == 0 else b"0.0001") for number in range(900_000)
    ]
    files = day(items=ITEM_HEADER + b"".join(lines))
    runs = [observe(files, threads=threads) for threads in (1, 2)]
    expected = [number + 2 for number in range(0, 900_000, 9973)]
    for observed in runs:
        assert [line for _, line, _ in observed.codes()] == expected
        assert observed.summary["total_amount"] == str((900_000 - len(expected)) / 10_000)
    assert runs[0].messages == runs[1].messages


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("record", ["", "a", '"a,b",c', '"a""b"', 'a"b', '"",', '"a\nb",c', " a , b "])
def test_the_grammar_splits_as_the_csv_module_does(delimiter: str, record: str) -> None:
    record = record.replace(",", delimiter)
    (expected,) = csv.reader(io.StringIO(record, newline=""), delimiter=delimiter, strict=True) if record else [[""]]
    assert Grammar(delimiter).split(record) == expected


@pytest.mark.parametrize("record", ['"a', '"a"b', ' "a"', '"a" ', '"a"b,"c"'])
def test_the_grammar_refuses_quotes_that_are_not_around_a_cell(record: str) -> None:
    assert Grammar(",").split(record) is None


def test_the_votes_of_two_parts_of_a_file_are_those_of_the_file() -> None:
    whole = Votes(2, "1,234", "1.250.000") + Votes(3, "0,999", None) + Votes()
    assert whole == Votes(5, "0,999", "1.250.000")


def test_the_reason_to_refuse_a_file_survives_the_way_to_another_process() -> None:
    error = RefusedFileError(ErrorCode.REPEATED_COLUMN, column="quantity")
    sent = pickle.loads(pickle.dumps(error))
    assert (sent.code, str(sent)) == (error.code, "the header names column quantity more than once")
