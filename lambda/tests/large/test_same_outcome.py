"""Spark's output for a day is that of DuckDB alone, byte for byte."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from batches import BATCH, CUSTOMERS, ITEMS, ORDERS, day, file_name, items_with_long_records
from comparison import assert_same
from pipeline.joining.gate import FileFacts, Gate, days_before
from pipeline.model import data_model
from pipeline.model.batch_files import CONTROL
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DATA = Path(__file__).parents[1] / "data"
DEFECTS = sorted(path.name for path in (DATA / "defects").iterdir())


def example(name: str) -> tuple[dict[RecordKind, bytes], dict[RecordKind, str]]:
    """A day of the examples: the good one, with the files of a defect in place of its own."""
    contents, names = {}, {}
    for kind in MODEL.kinds:
        folder = DATA / "defects" / name if name else DATA / "good"
        found = sorted(folder.glob(f"{kind}_{BATCH}.csv*")) or [DATA / "good" / file_name(kind)]
        contents[kind], names[kind] = found[0].read_bytes(), found[0].name
    return contents, names


DAYS = {
    "clean": day(),
    "only headers": {kind: content.split(b"\n")[0] for kind, content in day().items()},
    "blank lines before the header": day(items=b"\n \n\n" * 30 + ITEMS),
    "crlf": {kind: content.replace(b"\n", b"\r\n") for kind, content in day().items()},
    "crlf with wrong records": day(items=(ITEMS + b"o9,x,1,1\no1,x,1\no1,x,1,1,00\n" * 20).replace(b"\n", b"\r\n")),
    "cr only": {kind: content.replace(b"\n", b"\r") for kind, content in day().items()},
    "byte order mark": {kind: b"\xef\xbb\xbf" + content for kind, content in day().items()},
    "gzip": {kind: gzip.compress(content, mtime=0) for kind, content in day().items()},
    "all cells quoted": day(
        items=b'"order_reference","item_name","quantity","total_price"\n'
        + b'"o1","a ""b""",1,"2.50"\n"o2",c,"x",1\n' * 40
    ),
    "line ends in cells": day(items=ITEMS + b'o1,"two\nlines",1,1\no7,"and\nmore\n",1,2\no1,x,y,3\n' * 30),
    "not utf-8": day(customers=CUSTOMERS + b"c3,\xff,b,c\nc4,a,b,c\n", orders=ORDERS + b"c3,x,o3,1\nc4,x,o4,2\n"),
    "decimal comma": day(items=(ITEMS.replace(b",", b";") + b"o1;a;1;1,25\no2;a;1;2.5\no2;a;1;2,55555\n" * 20)),
    "grouping in one of many splits": day(items=ITEMS + b"o1,x,1,1.234\n" * 40 + b"o1,x,1,1.250.000\n"),
    "votes in one of many splits": day(
        items=ITEMS.split(b"\n")[0].replace(b",", b";") + b"\no1;x;1;1,234" * 40 + b"\no1;x;1;12,50\n"
    ),
    "a header again in one of many splits": day(items=ITEMS + b"o1,x,1,1\n" * 40 + ITEMS + b"o1,y,1,1\n"),
    "the content again": day(items=ITEMS + ITEMS),
    "the header of another kind": day(customers=CUSTOMERS + b"c3,a,b,c\n" * 20 + ORDERS),
    "repeated references": day(
        CUSTOMERS + b"c1,again,a,b\n" * 40 + b"c3,a,b,c\nc3,a,b,c\n",
        ORDERS + b"c9,sent,o1,5\nc2,sent,o1,5\n" * 20 + b"c3,x,o3,3\nc9,x,o3,3\nc1,x,o3,4\n",
        ITEMS + b"o3,x,1,1\no3,x,1,2\n" * 20,
    ),
    "repeated row ids": day(
        b"id,customer_reference,first_name,last_name,status\n1,c1,a,b,c\n2,c2,a,b,c\n2,c3,a,b,c\n,c4,a,b,c\n,c5,a,b,c\n",
        b"id,customer_reference,order_status,order_reference,order_timestamp\nx,c1,a,o1,1\nx,c2,a,o2,1\n3,c3,a,o3,1\n",
        b"id,order_reference,item_name,quantity,total_price\n"
        + b"7,o1,a,1,1.5\n7,o1,b,1,2.5\n8,o9,c,1,1\n8,o1,d,1,4\n18446744073709551615,o1,e,1,8\n" * 20
        + b"\xc2\xa07,o1,f,1,16\n",
    ),
    "row ids that are no numbers": day(
        items=b"id,order_reference,item_name,quantity,total_price\n"
        + b"".join(b"i-%d,o%d,a,1,1.5\n" % (number % 37, number % 3) for number in range(60))
    ),
    "blanks before quotes": day(items=ITEMS + b'o1, "x",1,1\no1,"y" ,1,1\no1,z"\\",1,1\no1,x,1,"2\n' * 3),
    "a partner's files": day(  # blanks at the ends, no line end at the end, an order reference typed twice
        b"\xef\xbb\xbfCustomer_Reference;First_Name;Last_Name;Status\r\nc1 ;Zo\xc3\xab;M;active",
        b"\xef\xbb\xbfcustomer_reference;order_status;order_reference;order_timestamp\r\n"
        b"c1;sent;o1;1643646722\r\nc1;sent;o1 ;1643646723",
        b"\xef\xbb\xbforder_reference;item_name;quantity;total_price\r\no1;pen;1;12,50\r\no1 ;ink;2;75",
    ),
    "parents that are not clean": day(
        orders=ORDERS + b" c1 ,sent,o3,1\n,sent,o4,1\n" + b"c" * 1025 + b",sent,o5,1\nc1\xc2\xa0,sent,o6,1\n",
        items=ITEMS + b" o1,x,1,1\n,x,1,2\no3,x,1,4\no4,x,1,8\no5,x,1,16\no6,x,1,32\n\n\n",
    ),
    "nothing fits": day(
        b"customer_reference,first_name,last_name,status\n" + b",a,b,c\nc1,a\n" * 30,
        ORDERS * 1,
        ITEMS + b"o1,a,b,c\n" * 9,
    ),
    "an empty file": day(orders=b""),
    "odd references": day(
        "customer_reference,first_name,last_name,status\né,a,b,c\n日本,a,b,c\n~,a,b,c\n\U0001f600,a,b,c\n\uffff,a,b,c\n"
        'a\\b,a,b,c\n"a""b",a,b,c\nA,a,b,c\na,a,b,c\n007,a,b,c\n7,a,b,c\n'.encode(),
        ORDERS + "É,a,o1,1\ne\u0301,a,o2,1\nA\u200b,a,O3,soon\n日本\u00ad,a,o4,1\n".encode(),
        ITEMS + b"o3,x,1,1\n",
    ),
}


@pytest.mark.parametrize("name", ["clean", "repeated references", "line ends in cells"])
def test_a_few_days(spark: SparkSession, name: str) -> None:
    assert_same(spark, DAYS[name], split_bytes=300)


@pytest.mark.spark
def test_a_generated_day_as_on_a_cluster(as_on_a_cluster: SparkSession) -> None:
    """First, as a Java that has planned many days takes many times as long to compile the code of this one."""
    day = generated(random.Random(7), 150, 0.3)
    assert_same(as_on_a_cluster, day, 20_000, 1, chunk_records=100, max_error_messages=20)


@pytest.mark.spark
@pytest.mark.parametrize("name", ["", *DEFECTS])
def test_every_example_day(spark: SparkSession, name: str) -> None:
    contents, names = example(name)

    assert_same(spark, contents, split_bytes=100, names=names)


@pytest.mark.spark
@pytest.mark.parametrize("name", sorted(DAYS.keys() - {"clean", "repeated references", "line ends in cells"}))
def test_days_of_every_dialect_and_defect(spark: SparkSession, name: str) -> None:
    assert_same(spark, DAYS[name], split_bytes=300)


@pytest.mark.spark
def test_lines_after_too_long_records_keep_their_numbers_in_every_split(spark: SparkSession) -> None:
    assert_same(spark, day(items=items_with_long_records()), split_bytes=300_000)


@pytest.mark.parametrize("chunk_records", [pytest.param(2, marks=pytest.mark.spark), 3])
def test_a_correction_removes_customers_and_stale_errors(spark: SparkSession, chunk_records: int) -> None:
    found = assert_same(
        spark,
        day(items=ITEMS + b"o9,a,1,1\n"),
        delivered_before=[f"gone-{number}" for number in range(11)] + ["c1", "c2"],
        errors_before=["error#items#0000000004#unknown_order", "error#items#0000000009#unknown_order"],
        chunk_records=chunk_records,
    )

    assert sum(b'"removed"' in line for line in found.puts) == 11


@pytest.mark.spark
@pytest.mark.parametrize("changed", [b"", b"\n"])
def test_the_senders_control_totals_are_compared(spark: SparkSession, changed: bytes) -> None:
    files = day()
    rows = [
        f"{file_name(kind)},{len(content.splitlines()) - 1},,{hashlib.sha256(content).hexdigest()}\n"
        for kind, content in files.items()
    ]
    control = "".join(["file,records,amount,sha256\n", *rows]).encode()
    files[data_model.ITEMS] += changed

    found = assert_same(spark, {**files, CONTROL: control}, names={CONTROL: f"control_{BATCH}.csv"})

    assert found.state == ("REFUSED" if changed else "READY")


@pytest.mark.spark
@pytest.mark.parametrize(
    ("mark", "state", "total"), [("comma", "READY", "22.212"), ("point", "READY", "0"), ("auto", "REFUSED", "0")]
)
def test_the_decimal_mark_is_the_set_one_in_every_split(spark: SparkSession, mark: str, state: str, total: str) -> None:
    items = b"order_reference;item_name;quantity;total_price\n" + b"o1;x;1;1,234\n" * 18

    found = assert_same(spark, day(items=items), split_bytes=60, decimal_mark=mark)

    assert (found.state, found.summary["total_amount"]) == (state, total)


USUAL = {batch: dict.fromkeys(MODEL.kinds, FileFacts(1000, True)) for batch in days_before(BATCH)}


@pytest.mark.spark
@pytest.mark.parametrize(
    ("files", "codes"),
    [
        (day(items=ITEMS.splitlines(keepends=True)[0]), {"no_records", "too_many_removed"}),
        (day(items=ITEMS[:-2]), {"cut_short", "day_too_small"}),
        (day(items=ITEMS + b"o1,x,1,y\n" * 30), {"too_many_refused", "day_too_small"}),
    ],
    ids=["no records", "cut short", "refused"],
)
def test_a_day_is_held_for_the_same_reasons(
    spark: SparkSession, files: dict[RecordKind, bytes], codes: set[str]
) -> None:
    delivered = [f"gone-{number}" for number in range(30)]

    found = assert_same(spark, files, split_bytes=40, delivered_before=delivered, gate=Gate(history=USUAL))

    assert found.state == "HELD"
    assert codes <= {json.loads(message)["code"] for message in found.messages}


@pytest.mark.spark
@pytest.mark.parametrize("defects", [0.01, 0.3])
def test_generated_days_in_small_splits(spark: SparkSession, defects: float) -> None:
    assert_same(spark, generated(random.Random(7), 150, defects), 1000, 3, chunk_records=7, max_error_messages=20)


def generated(numbers: random.Random, customers: int, defects: float) -> dict[RecordKind, bytes]:
    """A day in which a share of the records has some defect."""

    def reference(prefix: str, count: int) -> str:
        return numbers.choice(["", "?", f" {prefix}1 "]) if wrong() else f"{prefix}{numbers.randrange(count)}"

    def wrong() -> bool:
        return numbers.random() < defects / 4

    def cell(good: str) -> str:
        return numbers.choice(["", "x", "1,5", "1.23456", '"x"y']) if wrong() else good

    def own(prefix: str, number: int) -> str:
        return f"{prefix}{numbers.randrange(number + 1) if wrong() else number}"

    lines = {
        data_model.CUSTOMERS: [f"{own('c', number)},a,b,{cell('new')}" for number in range(customers)],
        data_model.ORDERS: [
            f"{reference('c', customers)},sent,{own('o', number)},{cell('1643646722')}"
            for number in range(customers * 2)
        ],
        data_model.ITEMS: [
            f"{reference('o', customers * 2)},pen,{cell('1')},{cell(f'{number % 97}.{number % 89:02}')}"
            for number in range(customers * 5)
        ],
    }
    return {
        kind: content.split(b"\n")[0] + "".join(f"\n{line}" for line in lines[kind]).encode()
        for kind, content in day().items()
    }
