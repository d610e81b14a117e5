"""Large days: transform hands them over to the job, and takes its result."""

from __future__ import annotations

import json

from pipeline.ledger import SourceObject
from pipeline.model.data_model import Kind
from pipeline.stages.large_day import LargeDayOutcome, LargeDayRequest
from pipeline.stages.run import Run

RUN = Run(
    "20220131",
    "0123456789abcdef",
    "20220131-0123456789abcdef",
    {
        kind: SourceObject(f"incoming/{kind}_20220131.csv", "etag", 7, "2022-02-01T06:00:00+00:00", "v1")
        for kind in Kind
    },
)


def test_a_request_is_read_as_it_was_written() -> None:
    request = LargeDayRequest(
        run=RUN,
        delivered={"v0": "delivered/20220131/v0.parquet"},
        previous_errors=frozenset({"error#items#0000000002#unknown_order"}),
        max_refused_percent=None,
        max_error_messages=1000,
        chunk_records=5000,
    )
    assert LargeDayRequest.from_dict(json.loads(json.dumps(request.as_dict()))) == request


def test_an_outcome_is_read_as_it_was_written() -> None:
    outcome = LargeDayOutcome(execution=RUN.execution, outcome={"state": "READY"}, results=True, seconds=1.5)
    assert LargeDayOutcome.from_dict(json.loads(json.dumps(outcome.as_dict()))) == outcome
