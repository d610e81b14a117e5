"""The job stores the same keys and bytes in the bucket as the function."""

from __future__ import annotations

import random
from typing import Any

import pytest
from batches import BATCH, CUSTOMERS, ITEMS, day
from deployed import Deployed
from pipeline.model import data_model
from test_same_outcome import DAYS, Example, example, generated

pytestmark = pytest.mark.spark


@pytest.mark.parametrize(
    ("files", "settings"),
    [
        ((DAYS["other bytes"], {data_model.ORDERS: f"orders_{BATCH}.csv.gz"}), {}),
        ((DAYS["decimal comma"], {}), {"decimal_mark": "comma"}),
        ((generated(random.Random(5), 60, 0.1), {}), {}),
        ((DAYS["nothing fits"], {}), {}),
        (example("defects/second_header"), {}),
    ],
    ids=["gzip", "a decimal mark that is set", "many defects", "held", "refused"],
)
def test_the_job_stores_what_the_function_stores(aws: Deployed, files: Example, settings: dict[str, Any]) -> None:
    run = aws.upload(*files)
    request, reply, expected = aws.by_function(run, **settings)

    aws.by_job(request)

    assert aws.objects() == expected
    assert aws.outcome(run) | {"chunks": reply["chunks"]} == reply


def test_a_correction_removes_what_earlier_versions_delivered(aws: Deployed) -> None:
    first = aws.upload(day(CUSTOMERS + b"".join(b"gone-%d,a,b,c\n" % number for number in range(17))))
    aws.by_job(aws.by_function(first)[0])
    aws.table.put({"pk": f"batch#{BATCH}", "sk": "error#items#0000000099#unknown_order"})
    run = aws.upload(day(items=ITEMS + b"o9,a,1,1\n"), delivered=(first.version,))
    request, reply, expected = aws.by_function(run)
    before = aws.objects()

    aws.by_job(request)

    assert aws.objects() == before | expected
    assert aws.outcome(run) | {"chunks": reply["chunks"]} == reply
    assert reply["summary"]["removed_customers"] == 17
