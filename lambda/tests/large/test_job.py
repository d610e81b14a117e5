"""The job leaves in the bucket what the function leaves: the same keys and bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from deployed import Deployed, deployed
from test_same_outcome import DAYS, example, generated

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def account(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with deployed(spark, tmp_path_factory.mktemp("emulator")) as found:
        yield found


@pytest.fixture
def aws(account: Deployed) -> Deployed:
    account.clear()
    return account


DAYS_OF_THE_JOB = {
    "a good day": example(""),
    "gzip": (DAYS["gzip"], {kind: f"{kind}_20220131.csv.gz" for kind in DAYS["gzip"]}),
    "a day with defects": (generated(random.Random(5), 60, 0.2), {}),
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
    assert outcome["outcome"] == reply
    assert outcome["results"] is any(key.startswith("delivered/") for key in expected)
