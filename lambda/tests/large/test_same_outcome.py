"""Spark's output for a day is that of DuckDB alone, byte for byte."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from batches import BATCH, CUSTOMERS, ITEMS, ORDERS, day, file_name, items_with_long_records
from comparison import assert_same
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pipeline.joining.gate import FileFacts, Gate, days_before
from pipeline.model.batch_files import CONTROL
from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import RECORD_CODES
from pipeline.model.record_kinds import RecordKind

sys.path.append(str(Path(__file__).parents[1] / "property"))
from test_transform_properties import batches

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

DATA = Path(__file__).parents[1] / "data"
Example = tuple[dict[RecordKind, bytes], dict[RecordKind, str]]


def example(*folders: str) -> Example:
    """A day of the examples, contents and names: the good one, with the files of defects in place of its own."""
    contents, names = {}, {}
    for kind in MODEL.kinds:
        found = [path for folder in (*folders, "good") for path in sorted((DATA / folder).glob(f"{kind}_{BATCH}.csv*"))]
        contents[kind], names[kind] = found[0].read_bytes(), found[0].name
    return contents, names


def examples() -> Iterator[str]:
    """All defects in as few days as possible: a day has one of each kind of file, either refused files or none."""
    defects = sorted((DATA / "defects").iterdir())
    for of_records in (True, False):
        left = [path for path in defects if (path.name in RECORD_CODES) is of_records]
        while left:
            together: dict[str, Path] = {}
            for path in left:
                kinds = {file.name.partition("_")[0] for file in path.iterdir()}
                if not kinds & together.keys():
                    together |= dict.fromkeys(kinds, path)
            left = [path for path in left if path not in together.values()]
            yield " ".join(sorted({path.name for path in together.values()}))


def crlf(content: bytes) -> bytes:
    return content.replace(b"\n", b"\r\n")


BOM = b"\xef\xbb\xbf"
SEMICOLONS = ITEMS.split(b"\n")[0].replace(b",", b";")
DAYS = {
    "only headers": {kind: content.split(b"\n")[0] for kind, content in day().items()},
    "other line ends": day(
        BOM + crlf(CUSTOMERS), ORDERS.replace(b"\n", b"\r"), crlf(ITEMS + b"o9,x,1,1\no1,x,1\no1,x,1,1,00\n" * 20)
    ),
    "other bytes": day(
        CUSTOMERS + b"c3,\xff,b,c\nc4,a,b,c\n",
        gzip.compress(b"\n \n\n" * 30 + ORDERS + b"c3,x,o3,1\nc4,x,o4,2\n", mtime=0),
        ITEMS + b'o1,"two\nlines",1,1\no7,"and\nmore\n",1,2\no1,x,y,3\n' * 30,
    ),
    "quotes": day(
        items=b'"order_reference","item_name","quantity","total_price"\n'
        + b'"o1","a ""b""",1,"2.50"\n"o2",c,"x",1\no1, "x",1,1\no1,"y" ,1,1\no1,z"\\",1,1\no1,x,1,"2\n' * 40
    ),
    "decimal comma": day(items=(ITEMS.replace(b",", b";") + b"o1;a;1;1,25\no2;a;1;2.5\no2;a;1;2,55555\n" * 20)),
    "grouping in one of many splits": day(items=ITEMS + b"o1,x,1,1.234\n" * 40 + b"o1,x,1,1.250.000\n"),
    "votes in one of many splits": day(items=SEMICOLONS + b"\no1;x;1;1,234" * 40 + b"\no1;x;1;12,50\n"),
    "a header again in one of many splits": day(items=ITEMS + b"o1,x,1,1\n" * 40 + ITEMS + b"o1,y,1,1\n"),
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
    "parents that are not clean": day(
        "customer_reference,first_name,last_name,status\né,a,b,c\n日本,a,b,c\n~,a,b,c\n\U0001f600,a,b,c\n\uffff,a,b,c\nc1,a,b,c\n"
        'a\\b,a,b,c\n"a""b",a,b,c\nA,a,b,c\na,a,b,c\n007,a,b,c\n7,a,b,c'.encode(),
        ORDERS
        + b" c1 ,sent,o3,1\n,sent,o4,1\n"
        + b"c" * 1025
        + b",sent,o5,1\nc1\xc2\xa0,sent,o6,1\n"
        + "É,a,o11,1\ne\u0301,a,o12,1\nA\u200b,a,O13,soon\n日本\u00ad,a,o14,1\n".encode(),
        ITEMS + b"o13,x,1,1\n o1,x,1,1\n,x,1,2\no3,x,1,4\no4,x,1,8\no5,x,1,16\no6,x,1,32\n\n\n",
    ),
    "nothing fits": day(CUSTOMERS.split(b"\n")[0] + b"\n,a,b,c\nc1,a" * 30, items=ITEMS + b"o1,a,b,c\n" * 9),
}
DAYS_OF_THE_JOB = ("other bytes", "decimal comma", "nothing fits")
"""Days that test_job compares."""
EXAMPLES = int(os.environ.get("SPARK_EXAMPLES", "3"))
"""Days of any kind; each takes some seconds."""


def test_a_generated_day_as_on_a_cluster(as_on_a_cluster: SparkSession) -> None:
    """First, as a Java that has planned many days takes many times as long to compile the code of this one."""
    assert_same(as_on_a_cluster, generated(random.Random(7), 150, 0.1), 20_000, chunk_records=100)


@pytest.mark.parametrize("defects", list(examples()))
def test_every_example_day(spark: SparkSession, defects: str) -> None:
    contents, names = example(*(f"defects/{name}" for name in defects.split()))

    assert_same(spark, contents, split_bytes=100, names=names)


@pytest.mark.parametrize("name", [name for name in DAYS if name not in DAYS_OF_THE_JOB])
def test_days_of_every_dialect_and_defect(spark: SparkSession, name: str) -> None:
    assert_same(spark, DAYS[name], split_bytes=300)


def test_lines_after_too_long_records_keep_their_numbers_in_every_split(spark: SparkSession) -> None:
    assert_same(spark, day(items=items_with_long_records()), split_bytes=300_000)


def test_a_correction_removes_customers_and_stale_errors(spark: SparkSession) -> None:
    found = assert_same(
        spark,
        day(items=ITEMS + b"o9,a,1,1\n"),
        delivered_before=[f"gone-{number}" for number in range(11)] + ["c1", "c2"],
        errors_before=["error#items#0000000004#unknown_order", "error#items#0000000009#unknown_order"],
        chunk_records=2,
    )

    assert sum(b'"removed"' in line for line in found.puts) == 11


def test_the_senders_control_totals_are_compared(spark: SparkSession) -> None:
    rows = [
        f"{file_name(kind)},{len(content.splitlines()) - 1},,{hashlib.sha256(content).hexdigest()}\n"
        for kind, content in day().items()
    ]
    control = "".join(["file,records,amount,sha256\n", *rows]).encode()

    found = assert_same(spark, {**day(), CONTROL: control}, names={CONTROL: f"control_{BATCH}.csv"})

    assert found.state == "READY"


def test_a_day_is_held_for_the_same_reasons(spark: SparkSession) -> None:
    usual = {batch: dict.fromkeys(MODEL.kinds, FileFacts(1000, True)) for batch in days_before(BATCH)}
    files = day(CUSTOMERS + b"c1,x,y\n" * 30, ORDERS.splitlines(keepends=True)[0], ITEMS[:-2])
    gone = [f"gone-{number}" for number in range(30)]

    found = assert_same(spark, files, split_bytes=40, delivered_before=gone, gate=Gate(history=usual))

    assert found.state == "HELD"
    codes = {"too_many_refused", "no_records", "cut_short", "day_too_small", "too_many_removed"}
    assert codes <= {json.loads(message)["code"] for message in found.messages}


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=EXAMPLES <= 100,
    phases=(Phase.generate,),
)
@given(batches, st.integers(20, 400), st.integers(1, 9))
def test_any_mix_of_defects_and_any_damage(
    spark: SparkSession, batch: dict[RecordKind, bytes], split_bytes: int, chunk_records: int
) -> None:
    assert_same(spark, batch, split_bytes, chunk_records=chunk_records, max_error_messages=5)


def generated(numbers: random.Random, customers: int, defects: float) -> dict[RecordKind, bytes]:
    """A day in which a share of the records has some defect."""

    def cell(good: str, *bad: str) -> str:
        wrong = bad or ("", "x", "1,5", "1.23456", '"x"y')
        return numbers.choice(wrong) if numbers.random() < defects / 4 else good

    def own(prefix: str, number: int) -> str:
        return cell(f"{prefix}{number}", f"{prefix}{numbers.randrange(number + 1)}")

    def parent(prefix: str, count: int) -> str:
        return cell(f"{prefix}{numbers.randrange(count)}", "", "?", f" {prefix}1 ")

    orders, items = customers * 2, customers * 5
    return day(
        CUSTOMERS.split(b"\n")[0]
        + "".join(f"\n{own('c', number)},a,b,{cell('new')}" for number in range(customers)).encode(),
        ORDERS.split(b"\n")[0]
        + "".join(
            f"\n{parent('c', customers)},sent,{own('o', number)},{cell('1643646722')}" for number in range(orders)
        ).encode(),
        ITEMS.split(b"\n")[0]
        + "".join(
            f"\n{parent('o', orders)},pen,{cell('1')},{cell(f'{number % 97}.{number % 89:02}')}"
            for number in range(items)
        ).encode(),
    )
