"""Reading a file: its bytes, its header and its records, with the usual traps of CSV."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from batches import CUSTOMERS, ITEMS, ORDERS, assert_agrees_with_reference, day, observe
from pipeline.model import data_model
from pipeline.model.error_codes import ErrorCode
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.csv_parser import read_file
from pipeline.reading.dialect import BLOCK, DELIMITERS, MAX_LINE, RefusedFileError, read_profile
from pipeline.reading.grammar import Grammar
from pipeline.reading.normalize import MAX_RECORD
from pipeline.reading.sql import literal, open_database, quoted

CUSTOMER_HEADER, ITEM_HEADER = CUSTOMERS.splitlines(keepends=True)[0], ITEMS.splitlines(keepends=True)[0]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_database(tmp_path, memory_mb=200, threads=2) as connection:
        yield connection


def understand(connection: duckdb.DuckDBPyConnection, directory: Path, content: bytes, kind: RecordKind) -> CsvFile:
    path = directory / "file.csv"
    path.write_bytes(content)
    return read_file(connection, kind, f"{kind}_20220131.csv", read_profile(path, kind, directory), directory)


def test_a_typical_european_file_is_read_correctly() -> None:
    # BOM, semicolons, CRLF, decimal comma, a trailing blank, no final newline, an order reference typed twice.
    observed = assert_agrees_with_reference(
        day(
            b"\xef\xbb\xbfCustomer_Reference;First_Name;Last_Name;Status\r\nc1 ;Zo\xc3\xab;M;active",
            b"\xef\xbb\xbfcustomer_reference;order_status;order_reference;order_timestamp\r\n"
            b"c1;sent;o1;1643646722\r\nc1;sent;o1 ;1643646723",
            b"\xef\xbb\xbforder_reference;item_name;quantity;total_price\r\no1;pen;1;12,50\r\no1 ;ink;2;75",
        )
    )
    assert [message for message in observed.messages if message["type"] == "customer_message"] == [
        {"type": "customer_message", "customer_reference": "c1", "number_of_orders": 1, "total_amount_spent": 87.5}
    ]
    assert observed.codes() == [("orders", 3, "duplicate_reference")]
    assert observed.summary["files"]["items"]["decimal_mark"] == ","
    assert observed.summary["files"]["items"]["delimiter"] == ";"


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_the_header_decides_the_delimiter_and_what_is_ignored(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, delimiter: str
) -> None:
    names = ["Note, with comma; etc", "total_price", " QUANTITY ", "item_name", "order_reference", "id"]
    header = io.StringIO()
    csv.writer(header, delimiter=delimiter).writerow(names)
    file = understand(connection, tmp_path, header.getvalue().encode(), data_model.ITEMS)
    assert file.header.delimiter == delimiter
    assert file.header.ignored == ("note, with comma; etc",)
    assert file.header.positions == {"total_price": 2, "quantity": 3, "item_name": 4, "order_reference": 5, "id": 6}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", ErrorCode.EMPTY_FILE),
        (b"\n \n\n", ErrorCode.EMPTY_FILE),
        (b"\xef\xbb\xbf", ErrorCode.EMPTY_FILE),
        (gzip.compress(b"", mtime=0), ErrorCode.EMPTY_FILE),
        (CUSTOMERS.decode().encode("utf-16-le"), ErrorCode.UTF16_FILE),
        (CUSTOMERS.decode().encode("utf-16-be"), ErrorCode.UTF16_FILE),
        (CUSTOMERS + b"\0", ErrorCode.BINARY_FILE),
        (CUSTOMERS + bytes(range(1, 9)) + bytes(range(11, 13)) + bytes(range(14, 32)), ErrorCode.BINARY_FILE),
        (b"PK\x03\x04\x14\0\x06\0", ErrorCode.BINARY_FILE),
        (b"\r\n <html>", ErrorCode.HTML_FILE),
        (b"<?xml version='1.0'?>", ErrorCode.HTML_FILE),
        (b'"' + CUSTOMERS, ErrorCode.MISSING_COLUMN),
        (b"c1,Ada,Lovelace,active\n", ErrorCode.MISSING_COLUMN),
        (CUSTOMERS.replace(b",", b":"), ErrorCode.MISSING_COLUMN),
        (b"id,ID," + CUSTOMERS, ErrorCode.REPEATED_COLUMN),
        (gzip.compress(CUSTOMERS, mtime=0)[:-1], ErrorCode.DAMAGED_GZIP),
        (gzip.compress(CUSTOMERS, mtime=0) + b"trailing", ErrorCode.DAMAGED_GZIP),
        (
            gzip.compress(CUSTOMERS, mtime=0)[:20] + b"\xff\xff\xff" + gzip.compress(CUSTOMERS, mtime=0)[23:],
            ErrorCode.DAMAGED_GZIP,
        ),
    ],
)
def test_a_file_that_is_not_csv_is_refused_as_a_whole(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, content: bytes, code: ErrorCode
) -> None:
    with pytest.raises(RefusedFileError) as refused:
        understand(connection, tmp_path, content, data_model.CUSTOMERS)
    assert refused.value.code == code


def test_an_unpacked_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.csv.gz"
    path.write_bytes(gzip.compress(ITEM_HEADER + b"\n" * 3_000_000))
    with pytest.raises(RefusedFileError) as refused:
        read_profile(path, data_model.ITEMS, tmp_path, max_unpacked=BLOCK)
    assert refused.value.code == ErrorCode.FILE_TOO_LARGE
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2 * BLOCK


def test_a_header_without_records_is_an_empty_file() -> None:
    observed = assert_agrees_with_reference(day(CUSTOMER_HEADER.rstrip(b"\n"), ORDERS.splitlines()[0], ITEM_HEADER))
    assert (observed.state, observed.messages) == ("READY", [])


def test_gzip_with_several_members_and_any_name_is_read() -> None:
    packed = gzip.compress(CUSTOMERS, mtime=0) + gzip.compress(b"c3,Grace,Hopper,active\n")
    assert list(assert_agrees_with_reference(day(customers=packed)).customers) == ["c1", "c2", "c3"]


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


def test_a_quoted_record_may_span_blocks_and_lines() -> None:
    text = b"\n".join([b"x" * 99] * 15_000)
    content = CUSTOMER_HEADER + b'c1,"' + text[:900_000] + b'",b,c\nc2,"' + text[:300_000] + b'",b,c\n,a,b,c\n'
    observed = assert_agrees_with_reference(day(customers=content))
    assert observed.codes() == [("customers", 2 + 9001 + 3001, "empty_reference")]
    assert list(observed.customers) == ["c1", "c2"]


@pytest.mark.parametrize("character", ["x", "é", "日", "𝄞"])
def test_a_quoted_record_that_is_too_long_is_refused_and_cut_between_characters(character: str) -> None:
    text = f"{character * 1000}\n" * (MAX_RECORD // 1000 + 2)
    content = CUSTOMERS + f'c3,"{text}",b,c\nc4,a,b,c\n,a,b,c\n'.encode()
    observed = assert_agrees_with_reference(day(customers=content))
    last = content.count(b"\n")
    assert observed.codes() == [("customers", 4, "record_too_long"), ("customers", last, "empty_reference")]
    assert list(observed.customers) == ["c1", "c2", "c4"]


@pytest.mark.parametrize(
    ("end", "is_ended"),
    [
        *(
            (end, True)
            for end in (b"\n", b"\r\n", b"\r", b"\n\n\n", b"\n  ", b"\n,", b'\n;""\t|', b"\n\x1a", b"\n\xef\xbb\xbf")
        ),
        *((end, False) for end in (b"", b"\n\xc3", b"\n,,-", b"\n" + b"x" * 100_000)),
    ],
)
def test_a_last_line_that_is_not_blank_needs_its_line_end(tmp_path: Path, end: bytes, is_ended: bool) -> None:
    (tmp_path / "file.csv").write_bytes(ITEM_HEADER + b"o1,pen,1,1" + end)
    assert read_profile(tmp_path / "file.csv", data_model.ITEMS, tmp_path).has_final_line_end is is_ended


def test_a_line_without_line_end_is_not_kept_in_memory(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with pytest.raises(RefusedFileError) as refused:
        understand(connection, tmp_path, CUSTOMERS + b"x" * (MAX_LINE + 2 * BLOCK), data_model.CUSTOMERS)
    assert refused.value.code == ErrorCode.LINE_TOO_LONG
    assert "line 4 " in str(refused.value)


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
@pytest.mark.parametrize(
    "record", ["", "a", '"a"', "a,b", '"a,b",c', '"a""b"', 'a"b', '"",', ",,", '"a\nb",c', " a , b "]
)
def test_the_grammar_splits_as_the_csv_module_does(delimiter: str, record: str) -> None:
    record = record.replace(",", delimiter)
    (expected,) = csv.reader(io.StringIO(record, newline=""), delimiter=delimiter, strict=True) if record else [[""]]
    assert Grammar(delimiter).split(record) == expected


@pytest.mark.parametrize("record", ['"a', '"a"b', ' "a"', '"a" ', '"a"b"', 'x,"a', '"a"b,"c"'])
def test_the_grammar_refuses_quotes_that_are_not_around_a_cell(record: str) -> None:
    assert Grammar(",").split(record) is None


def test_sql_is_written_with_its_quotes_doubled() -> None:
    assert (literal("it's"), quoted('a"b')) == ("'it''s'", '"a""b"')
