"""The job stores the same keys and bytes in the bucket as the function."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from batches import BATCH, CUSTOMERS, ITEMS, day
from deployed import Deployed
from test_same_outcome import DAYS, example, generated

pytestmark = pytest.mark.spark


DAYS_OF_THE_JOB = {
    "a good day": example(""),
    "gzip": (DAYS["gzip"], {kind: f"{kind}_20220131.csv.gz" for kind in DAYS["gzip"]}),
    "a day with defects": (generated(random.Random(5), 60, 0.1), {}),
    "a day that is held": (DAYS["crlf with wrong records"], {}),
    "a refused file": example("second_header"),
}


@pytest.mark.parametrize("name", DAYS_OF_THE_JOB)
def test_the_job_stores_what_the_function_stores(aws: Deployed, name: str) -> None:
    run = aws.upload(*DAYS_OF_THE_JOB[name])
    reply, expected = aws.by_function(run)

    aws.by_job(aws.request(run))

    assert aws.objects() == expected
    outcome = aws.outcome(run)
    assert {**outcome["outcome"], "chunks": reply["chunks"]} == reply


def test_the_job_takes_the_decimal_mark_from_the_settings(aws: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "settings", replace(aws.settings, decimal_mark="comma"))
    run = aws.upload(day(items=b"order_reference;item_name;quantity;total_price\no1;x;1;1,234\n"))
    reply, expected = aws.by_function(run)

    aws.by_job(aws.request(run))

    assert aws.objects() == expected
    assert reply["summary"]["total_amount"] == "1.234"


def test_a_correction_removes_what_earlier_versions_delivered(aws: Deployed) -> None:
    first = aws.upload(day(CUSTOMERS + b"".join(b"gone-%d,a,b,c\n" % number for number in range(17))))
    aws.by_job(aws.request(first))
    stale = {"pk": f"batch#{BATCH}", "sk": "error#items#0000000099#unknown_order"}
    aws.table.put(stale)
    versions = (first.version,)
    run = aws.upload(day(items=ITEMS + b"o9,a,1,1\n"), delivered=versions)
    reply, expected = aws.by_function(run)
    before = aws.objects()

    aws.by_job(aws.request(run, versions))

    assert aws.objects() == before | expected
    assert {**aws.outcome(run)["outcome"], "chunks": reply["chunks"]} == reply
    assert reply["summary"]["removed_customers"] == 17
    aws.dynamodb.delete_item(TableName=aws.table.name, Key={name: {"S": text} for name, text in stale.items()})
