"""finalize: closes each run in the ledger, a failed one with its cause and an error message."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pipeline.errors import EventError
from pipeline.handlers import finalize
from pipeline.ledger import BatchState, Ledger
from support import Cloud, Context, load_event

RUN = "20220131-v1"
READY = {"state": "READY", "summary": {"total": "12.50"}}
REFUSED = {
    "state": "REFUSED",
    "summary": {"files": {"items": {"file": "items_20220131.csv", "file_error": "empty_file"}}},
}
HELD = {
    "state": "HELD",
    "summary": {"state": "HELD", "files": {"items": {"file": "items_20220131.csv", "too_many_refused": True}}},
}
BROKEN = {"Error": "ReconciliationError", "Cause": json.dumps({"errorMessage": "3 read, 2 counted", "errorType": "X"})}


@pytest.fixture
def running(cloud: Cloud) -> Cloud:
    """A batch whose run is in progress."""
    entry = Ledger(
        "20220131",
        state=BatchState.RUNNING,
        version="v1",
        execution=RUN,
        holder=RUN,
        delivered=("v0", "v1"),
        chunks=1,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    cloud.table.update_ledger("20220131", lambda _: entry)
    return cloud


def entry_of(cloud: Cloud) -> Ledger:
    entry = cloud.table.get_ledger("20220131")
    assert entry is not None
    return entry


def close(context: Context, execution: str = RUN, **how: Any) -> dict[str, str]:
    return finalize.handler({"batch": "20220131", "version": "v1", "execution": execution, **how}, context)


def test_a_run_that_delivered_everything_is_completed_with_its_counts(running: Cloud, context: Context) -> None:
    assert close(context, outcome=READY) == {"state": "COMPLETED"}
    entry = entry_of(running)
    assert (entry.state, entry.holder, entry.delivered) == (BatchState.COMPLETED, None, ("v1",))
    assert entry.summary == {"total": "12.50"}
    assert entry.finished_at is not None


def test_after_a_refused_set_the_next_one_need_not_wait(running: Cloud, context: Context) -> None:
    assert close(context, outcome=REFUSED) == {"state": "FAILED"}
    entry = entry_of(running)
    assert (entry.state, entry.cause, entry.blocked_until) == (
        BatchState.FAILED,
        "items_20220131.csv: empty_file",
        None,
    )


def test_a_failed_run_has_its_cause_and_an_error_and_the_next_one_waits(running: Cloud, context: Context) -> None:
    assert close(context, outcome=READY, error=BROKEN) == {"state": "FAILED"}
    entry = entry_of(running)
    assert entry.cause == "ReconciliationError: 3 read, 2 counted"
    assert entry.blocked_until is not None
    assert entry.blocked_until > str(entry.finished_at)
    error = running.items()["batch#20220131", "error#batch#0000000000#run_failed"]
    assert "3 read, 2 counted" in error["message"]["S"]
    assert RUN in error["message"]["S"]


@pytest.mark.parametrize("cause", ["took too long", "[1]"])
def test_a_cause_that_is_no_json_object_is_kept_unchanged(running: Cloud, context: Context, cause: str) -> None:
    close(context, error={"Error": "States.Timeout", "Cause": cause})
    assert entry_of(running).cause == f"States.Timeout: {cause}"


@pytest.mark.parametrize("how", [{"outcome": READY}, {"outcome": HELD}, {"outcome": REFUSED}, {"error": BROKEN}])
def test_closing_a_run_again_changes_nothing(running: Cloud, context: Context, how: dict[str, Any]) -> None:
    close(context, **how)
    before = running.items()
    close(context, **how)
    assert running.items() == before


def test_a_superseded_run_is_removed_as_holder_and_leaves_the_newer_ones_state(
    running: Cloud, context: Context
) -> None:
    newer = "20220131-v2"
    running.table.update_ledger(
        "20220131", lambda e: replace(e, state=BatchState.QUEUED, version="v2", execution=newer)
    )
    assert close(context, error={"Error": "SupersededError", "Cause": "{}"}) == {"state": "SUPERSEDED"}
    entry = entry_of(running)
    assert (entry.state, entry.execution, entry.holder) == (BatchState.QUEUED, newer, None)
    assert entry.history[-1]["state"] == "SUPERSEDED"
    assert not any("run_failed" in sk for _, sk in running.items())


def test_the_metrics_show_how_the_run_ended(
    running: Cloud, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    close(context, outcome=READY)
    blobs = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "CloudWatchMetrics" in line]
    metrics = {name: value for blob in blobs for name, value in blob.items()}
    assert metrics["BatchesCompleted"] == [1.0]
    assert "BatchDuration" in metrics


def notice(**detail: Any) -> dict[str, Any]:
    """EventBridge's notice that Step Functions ended the run, as it comes when a run took too long."""
    event = load_event("execution_timed_out")
    event["detail"] |= detail
    return event


@pytest.mark.parametrize(
    ("detail", "cause"),
    [
        ({}, "States.TIMED_OUT: it took longer than a run may"),
        ({"status": "ABORTED"}, "States.ABORTED: it was stopped"),
        ({"status": "ABORTED", "error": "Operator", "cause": "wrong files"}, "Operator: wrong files"),
        (
            {"status": "FAILED", "error": "LedgerNotClosed", "cause": '{"errorMessage": "throttled"}'},
            "LedgerNotClosed: throttled",
        ),
    ],
)
def test_a_run_that_step_functions_ended_is_failed_with_an_error_and_the_next_one_waits(
    running: Cloud, context: Context, detail: dict[str, Any], cause: str
) -> None:
    assert finalize.handler(notice(**detail), context) == {"state": "FAILED"}
    entry = entry_of(running)
    assert (entry.state, entry.holder, entry.cause) == (BatchState.FAILED, None, cause)
    assert entry.blocked_until is not None
    assert cause in running.items()["batch#20220131", "error#batch#0000000000#run_failed"]["message"]["S"]


def test_the_same_notice_again_changes_nothing_and_completes_an_interrupted_first_try(
    running: Cloud, context: Context
) -> None:
    finalize.handler(notice(), context)
    before = running.items()
    error = {"pk": {"S": "batch#20220131"}, "sk": {"S": "error#batch#0000000000#run_failed"}}
    running.dynamodb.delete_item(TableName=running.table.name, Key=error)
    finalize.handler(notice(), context)
    assert running.items() == before


@pytest.mark.parametrize("how", [{"outcome": READY}, {"outcome": HELD}, {"outcome": REFUSED}, {"error": BROKEN}])
def test_a_notice_about_a_run_that_closed_itself_changes_and_counts_nothing(
    running: Cloud, context: Context, how: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    close(context, **how)
    before = running.items()
    capsys.readouterr()
    assert finalize.handler(notice(status="FAILED", error="BatchFailed"), context) == {"state": "CLOSED"}
    assert running.items() == before
    assert "BatchesFailed" not in capsys.readouterr().out


def test_a_notice_about_a_superseded_run_leaves_the_newer_ones_state(running: Cloud, context: Context) -> None:
    newer = "20220131-v2"
    running.table.update_ledger(
        "20220131", lambda e: replace(e, state=BatchState.QUEUED, version="v2", execution=newer)
    )
    assert finalize.handler(notice(status="ABORTED"), context) == {"state": "SUPERSEDED"}
    entry = entry_of(running)
    assert (entry.state, entry.execution, entry.holder) == (BatchState.QUEUED, newer, None)
    assert not any("run_failed" in sk for _, sk in running.items())


def test_a_notice_about_a_purged_batch_leaves_no_entry_behind(cloud: Cloud, context: Context) -> None:
    assert finalize.handler(notice(), context) == {"state": "CLOSED"}
    assert cloud.items() == {}


@pytest.mark.parametrize("detail", [{"input": None}, {"input": "{"}, {"input": "{}"}, {"input": "[]"}])
def test_a_notice_without_a_batch_is_refused(running: Cloud, context: Context, detail: dict[str, Any]) -> None:
    with pytest.raises(EventError, match="without its name, status or input"):
        finalize.handler(notice(**detail), context)


def test_a_completed_batch_stays_completed_if_something_fails_afterwards(running: Cloud, context: Context) -> None:
    close(context, outcome=READY)
    before = running.items()
    assert close(context, error={"Error": "States.Timeout", "Cause": ""}) == {"state": "COMPLETED"}
    assert running.items() == before


def test_a_set_with_too_many_refused_records_is_held_and_counted(
    running: Cloud, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert close(context, outcome=HELD) == {"state": "HELD"}
    entry = entry_of(running)
    assert (entry.state, entry.holder, entry.delivered) == (BatchState.HELD, None, ("v0", "v1"))
    assert (entry.cause, entry.blocked_until) == ("items_20220131.csv: too_many_refused", None)
    assert '"BatchesHeld":[1.0]' in capsys.readouterr().out


def test_a_held_batch_stays_held_if_something_fails_afterwards(running: Cloud, context: Context) -> None:
    close(context, outcome=HELD)
    before = running.items()
    assert close(context, error={"Error": "States.Timeout", "Cause": ""}) == {"state": "HELD"}
    assert running.items() == before


def test_a_failed_glue_job_names_its_own_error(running: Cloud, context: Context) -> None:
    cause = json.dumps({"JobName": "large-days", "JobRunState": "FAILED", "ErrorMessage": "SourceChangedError: gone"})
    assert close(context, error={"Error": "States.TaskFailed", "Cause": cause}) == {"state": "FAILED"}
    assert entry_of(running).cause == "States.TaskFailed: SourceChangedError: gone"
