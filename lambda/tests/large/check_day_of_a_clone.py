"""Runs in a clone with another model: Spark gives the results and marks of the day in `day.json`, as DuckDB does."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from comparison import assert_same
from pipeline.model.data_model import MODEL
from pipeline.model.items import IDENTITY, REFUSED_RECORDS, put_item
from pipeline.model.messages import RESULT_TYPE

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_spark_gives_the_right_messages_and_marks(spark: SparkSession) -> None:
    day = json.loads(Path("day.json").read_text())
    found = assert_same(spark, {MODEL.kind(kind): text.encode() for kind, text in day["files"].items()}, split_bytes=60)
    bodies = [json.loads(body, parse_float=Decimal) for body in found.messages]
    results = [body for body in bodies if body["type"] == RESULT_TYPE]
    assert json.loads(json.dumps(results, default=str)) == day["messages"]
    items = [item for request in found.puts if (item := put_item(request))]
    assert {item[IDENTITY]: item[REFUSED_RECORDS] for item in items if REFUSED_RECORDS in item} == day["incomplete"]
