"""Large days: transform requests the job for them, and loads its result."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pipeline import ledger
from pipeline.errors import LargeDayOutcomeError, MemoryLimitError
from pipeline.handlers import intake, transform
from pipeline.joining.gate import Gate
from pipeline.ledger import BatchState
from pipeline.stages.large_day import OUTCOME, REQUEST, LargeDayRequest, job_facts
from pipeline.stages.run import Run
from support import Cloud, Context, queued, s3_event
from unit.stages.test_transform import DAY, ITEMS, start

JOB_RUN = {"Id": "jr_1", "ExecutionTime": 90, "NumberOfWorkers": 10, "WorkerType": "G.2X", "JobRunState": "SUCCEEDED"}


@pytest.fixture
def large(environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Large days are switched on, from one byte."""
    environment.setenv("LARGE_DAYS", "true")
    environment.setenv("LARGE_DAY_BYTES", "1")
    return environment


def submitted(cloud: Cloud, context: Context, files: dict[str, bytes] = DAY) -> dict[str, Any]:
    """Let transform request the job for a day, and return the state machine's input."""
    event = start(cloud, context, files)
    assert transform.handler(event, context) == {"next": "TOO_LARGE"}
    return event


def request_of(cloud: Cloud, event: dict[str, Any]) -> LargeDayRequest:
    return LargeDayRequest.from_dict(cloud.bucket.get_json(Run.from_event(event).work_key(REQUEST)))


def do_the_job(cloud: Cloud, context: Context, large: pytest.MonkeyPatch, event: dict[str, Any]) -> dict[str, Any]:
    """Store what the job stores: the function's own result, as the contract says that they are equal."""
    with large.context() as only_here:
        only_here.setenv("LARGE_DAYS", "false")
        reply: dict[str, Any] = transform.handler(event, context)
    cloud.table.update_ledger("20220131", lambda entry: ledger.submit_job(entry, event["execution"]))
    outcome = {"execution": event["execution"], "outcome": reply}
    cloud.bucket.put_json(Run.from_event(event).work_key(OUTCOME), outcome)
    return reply


def load_result(event: dict[str, Any], context: Context) -> dict[str, Any]:
    return transform.handler({**event, "job_run": JOB_RUN}, context)


def test_a_day_from_the_threshold_on_is_submitted_before_it_is_downloaded(
    cloud: Cloud, context: Context, large: pytest.MonkeyPatch
) -> None:
    large.setattr(cloud.bucket.__class__, "download_all", None)
    large.setenv("DECIMAL_MARK", "comma")
    event = submitted(cloud, context)

    request = request_of(cloud, event)
    assert request.run == Run.from_event(event)
    assert (request.gate, request.max_error_messages, request.chunk_records) == (Gate(20, 50, 10), 1000, 5000)
    assert request.decimal_mark == "comma"
    assert (cloud.entry().holder, cloud.entry().large_day) == (event["execution"], {})


def test_a_day_below_the_threshold_is_not(cloud: Cloud, context: Context, large: pytest.MonkeyPatch) -> None:
    large.setenv("LARGE_DAY_BYTES", str(sum(map(len, DAY.values())) + 1))
    event = start(cloud, context, DAY)
    assert transform.handler(event, context)["state"] == "READY"
    assert cloud.entry().large_day is None


def test_a_day_that_does_not_fit_on_the_disk_is_submitted_without_a_threshold(
    cloud: Cloud, context: Context, large: pytest.MonkeyPatch
) -> None:
    large.setenv("LARGE_DAY_BYTES", "0")
    large.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    packed = {"items_20220131.csv.gz": gzip.compress(ITEMS + b"5,o-1,Pen,1,1.00\n" * 100)}
    event = submitted(cloud, context, {name: DAY[name] for name in DAY if "items" not in name} | packed)
    assert request_of(cloud, event).run == Run.from_event(event)


def test_a_day_that_killed_the_function_is_not_read_again(
    cloud: Cloud, context: Context, large: pytest.MonkeyPatch
) -> None:
    large.setenv("LARGE_DAY_BYTES", "0")
    large.setattr(cloud.bucket.__class__, "download_all", None)
    event = start(cloud, context, DAY)
    assert transform.handler({**event, "too_large": True}, context) == {"next": "TOO_LARGE"}
    assert request_of(cloud, event).run == Run.from_event(event)


def test_a_day_whose_join_does_not_fit_into_memory_is_submitted(
    cloud: Cloud, context: Context, large: pytest.MonkeyPatch
) -> None:
    def run_out(*_: Any) -> None:
        raise MemoryLimitError("batch 20220131 needs more memory")

    large.setenv("LARGE_DAY_BYTES", "0")
    large.setattr("pipeline.joining.customer_data_processor.process", run_out)
    submitted(cloud, context)


def test_a_released_correction_tells_the_job_what_earlier_versions_left(
    cloud: Cloud, context: Context, large: pytest.MonkeyPatch
) -> None:
    large.setenv("LARGE_DAYS", "false")
    first = start(cloud, context, DAY)
    reply = transform.handler(first, context)
    for chunk in cloud.bucket.get_json(reply["manifest"]):
        for line in cloud.bucket.json_lines(chunk["key"]):
            cloud.dynamodb.put_item(TableName=cloud.table.name, Item=line["PutRequest"]["Item"])
    now = datetime.now(UTC)
    cloud.table.update_ledger(
        "20220131", lambda entry: ledger.finish(entry, first["execution"], BatchState.COMPLETED, now)
    )
    large.setenv("LARGE_DAYS", "true")
    corrected = submitted(cloud, context, {"items_20220131.csv": ITEMS + b"5,o-1,Cap,1,1.00\n"})
    cloud.table.update_ledger("20220131", lambda entry: ledger.replace(entry, released=corrected["version"]))
    assert transform.handler(corrected, context) == {"next": "TOO_LARGE"}

    request = request_of(cloud, corrected)

    assert request.gate is None, "a released version is not held by the job"
    assert request.delivered == {first["version"]: f"delivered/20220131/{first['version']}.parquet"}
    assert request.previous_errors == {
        "error#items#0000000004#unknown_order",
        "error#items#0000000005#not_an_integer",
    }


def test_the_jobs_result_goes_on_as_the_functions_own(
    cloud: Cloud, context: Context, large: pytest.MonkeyPatch
) -> None:
    event = submitted(cloud, context)
    reply = do_the_job(cloud, context, large, event)

    assert load_result(event, context) == reply
    entry = cloud.entry()
    assert (entry.chunks, entry.delivered) == (reply["chunks"], (event["version"],))
    assert entry.large_day == {"run": "jr_1", "seconds": 90, "dpu_seconds": 1800}


def test_a_job_that_left_no_result_fails_the_run(cloud: Cloud, context: Context, large: pytest.MonkeyPatch) -> None:
    event = submitted(cloud, context)
    with pytest.raises(LargeDayOutcomeError, match=r"outcome\.json is not there"):
        load_result(event, context)


def test_the_result_of_an_earlier_run_is_not_taken(cloud: Cloud, context: Context, large: pytest.MonkeyPatch) -> None:
    event = submitted(cloud, context)
    do_the_job(cloud, context, large, event)
    again = f"{event['execution']}-2"
    cloud.table.update_ledger("20220131", lambda entry: ledger.replace(entry, execution=again, holder=again))
    with pytest.raises(LargeDayOutcomeError, match=f"is the result of run {event['execution']}, not of {again}"):
        load_result({**event, "execution": again}, context)


def test_a_manifest_that_does_not_name_every_chunk_fails_the_run(
    cloud: Cloud, context: Context, large: pytest.MonkeyPatch
) -> None:
    event = submitted(cloud, context)
    reply = do_the_job(cloud, context, large, event)
    cloud.bucket.put_json(reply["manifest"], [])
    with pytest.raises(LargeDayOutcomeError, match="1 chunk files, but"):
        load_result(event, context)


def test_the_result_of_a_superseded_run_is_not_delivered(
    cloud: Cloud, context: Context, large: pytest.MonkeyPatch
) -> None:
    event = submitted(cloud, context)
    do_the_job(cloud, context, large, event)
    cloud.upload("items_20220131.csv", ITEMS + b"5,o-1,Cap,1,1.00\n")
    intake.handler(queued(s3_event("incoming/items_20220131.csv")), context)
    assert load_result(event, context)["state"] == "SUPERSEDED"


@pytest.mark.parametrize(
    ("job_run", "dpu_seconds"),
    [
        ({"ExecutionTime": 60, "NumberOfWorkers": 10, "WorkerType": "G.1X"}, 600),
        ({"ExecutionTime": 60, "NumberOfWorkers": 10, "WorkerType": "G.8X"}, 4800),
        ({"ExecutionTime": 60, "NumberOfWorkers": 10, "WorkerType": "G.1X", "DPUSeconds": 411.5}, 412),
        ({}, 0),
    ],
)
def test_dpu_seconds_are_glues_own_or_those_of_all_workers(job_run: dict[str, Any], dpu_seconds: int) -> None:
    assert job_facts(job_run)["dpu_seconds"] == dpu_seconds
