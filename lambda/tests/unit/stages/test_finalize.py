"""finalize: closes each run in the ledger, however it ended, a failed one with its cause and an error message."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pipeline.aws.workflow import Failure, Workflow
from pipeline.errors import EventError
from pipeline.handlers import finalize
from pipeline.ledger import BatchState, Ledger
from pipeline.stages import failures
from support import Cloud, Context, load_event

RUN = f"20220131-{'a' * 16}"
NEWER = f"20220131-{'b' * 16}"
FILE = "items_20220131.csv"
READY = {"state": "READY", "summary": {"total": "12.50"}}
REFUSED = {"state": "REFUSED", "summary": {"files": {"items": {"file": FILE, "file_error": "empty_file"}}}}
HELD = {"state": "HELD", "summary": {"state": "HELD", "files": {"items": {"file": FILE, "too_many_refused": True}}}}


def error(name: str, cause: str) -> dict[str, Any]:
    return {"error": {"Error": name, "Cause": cause}}


BROKEN = error("ReconciliationError", json.dumps({"errorMessage": "3 read, 2 counted", "errorType": "X"}))


def notice(**detail: Any) -> dict[str, Any]:
    """EventBridge's notice that Step Functions ended the run, as it comes when a run took too long."""
    event = load_event("execution_timed_out")
    event["detail"] |= {"name": RUN, **detail}
    return event


def end(**how: Any) -> dict[str, Any]:
    """The state machine's input about the end of the run."""
    return {"batch": "20220131", "version": "v1", "execution": RUN, **how}


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


@dataclass(frozen=True)
class End:
    """How a run can end, and what the ledger says then."""

    event: Mapping[str, Any]
    state: BatchState
    cause: str | None
    has_failed: bool = True
    """Whether an error message is sent, and the next run waits for the writers of this one."""


GLUE = json.dumps({"JobName": "large-days", "JobRunState": "FAILED", "ErrorMessage": "SourceChangedError: gone"})
ENDS = {
    "delivered": End(end(outcome=READY), BatchState.COMPLETED, None, has_failed=False),
    "refused": End(end(outcome=REFUSED), BatchState.FAILED, f"{FILE}: empty_file", has_failed=False),
    "held": End(end(outcome=HELD), BatchState.HELD, f"{FILE}: too_many_refused", has_failed=False),
    "failed": End(end(outcome=READY, **BROKEN), BatchState.FAILED, "ReconciliationError: 3 read, 2 counted"),
    "a cause in words": End(end(**error("A", "took too long")), BatchState.FAILED, "A: took too long"),
    "a cause that is no object": End(end(**error("A", "[1]")), BatchState.FAILED, "A: [1]"),
    "a Glue job failed": End(end(**error("A", GLUE)), BatchState.FAILED, "A: SourceChangedError: gone"),
    "timed out": End(notice(), BatchState.FAILED, "States.TIMED_OUT: it took longer than a run may"),
    "stopped": End(notice(status="ABORTED"), BatchState.FAILED, "States.ABORTED: it was stopped"),
    "stopped with a cause": End(
        notice(status="ABORTED", error="Operator", cause="wrong files"), BatchState.FAILED, "Operator: wrong files"
    ),
}
every_end = pytest.mark.parametrize("how", ENDS.values(), ids=ENDS)


@every_end
def test_a_run_is_closed_with_its_state_and_cause_however_it_ended(
    running: Cloud, context: Context, how: End, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finalize.handler(how.event, context) == {"state": how.state.value}

    entry = running.entry()
    assert (entry.state, entry.holder, entry.cause) == (how.state, None, how.cause)
    assert entry.delivered == (("v1",) if how.state is BatchState.COMPLETED else ("v0", "v1"))
    assert entry.summary == how.event.get("outcome", {}).get("summary", {})
    assert (entry.blocked_until or "") > str(entry.finished_at) if how.has_failed else entry.blocked_until is None
    sent = running.items().get(("batch#20220131", "error#batch#0000000000#run_failed"))
    assert (str(how.cause) in sent["message"]["S"] and RUN in sent["message"]["S"]) if sent else not how.has_failed
    printed = capsys.readouterr().out
    assert f'"Batches{how.state.title()}":[1.0]' in printed
    assert '"BatchDuration"' in printed


@every_end
def test_the_same_end_again_changes_nothing_and_completes_an_interrupted_first_try(
    running: Cloud, context: Context, how: End
) -> None:
    finalize.handler(how.event, context)
    before = running.items()
    for pk, sk in before:
        if sk.endswith("run_failed"):
            running.dynamodb.delete_item(TableName=running.table.name, Key={"pk": {"S": pk}, "sk": {"S": sk}})
    finalize.handler(how.event, context)
    assert running.items() == before


@pytest.mark.parametrize("how", ["delivered", "held", "refused", "failed"])
def test_a_notice_about_a_run_that_closed_itself_changes_and_counts_nothing(
    running: Cloud, context: Context, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    finalize.handler(ENDS[how].event, context)
    before = running.items()
    capsys.readouterr()
    assert finalize.handler(notice(status="FAILED", error="BatchFailed"), context) == {"state": "CLOSED"}
    assert running.items() == before
    assert "BatchesFailed" not in capsys.readouterr().out


@pytest.mark.parametrize("how", ["delivered", "held"])
def test_a_completed_or_held_batch_stays_so_if_something_fails_afterwards(
    running: Cloud, context: Context, how: str
) -> None:
    closed = finalize.handler(ENDS[how].event, context)
    before = running.items()
    assert finalize.handler(end(**error("States.Timeout", "")), context) == closed
    assert running.items() == before


@pytest.mark.parametrize("event", [end(**error("SupersededError", "{}")), notice(status="ABORTED")])
def test_a_superseded_run_is_removed_as_holder_and_leaves_the_newer_ones_state(
    running: Cloud, context: Context, event: dict[str, Any]
) -> None:
    queued = replace(running.entry(), state=BatchState.QUEUED, version="v2", execution=NEWER)
    running.table.update_ledger("20220131", lambda _: queued)
    assert finalize.handler(event, context) == {"state": "SUPERSEDED"}
    entry = running.entry()
    assert (entry.state, entry.execution, entry.holder) == (BatchState.QUEUED, NEWER, None)
    assert entry.history[-1]["state"] == "SUPERSEDED"
    assert not any("run_failed" in sk for _, sk in running.items())


def test_a_notice_about_a_purged_batch_leaves_no_entry_behind(cloud: Cloud, context: Context) -> None:
    assert finalize.handler(notice(), context) == {"state": "CLOSED"}
    assert cloud.items() == {}


@pytest.mark.parametrize("content", [None, "{", "{}", "[]"])
def test_a_notice_without_a_batch_is_refused(running: Cloud, context: Context, content: str | None) -> None:
    with pytest.raises(EventError, match="without its name, status or input"):
        finalize.handler(notice(input=content), context)


Stop = Callable[..., Cloud]


@pytest.fixture
def stopped(running: Cloud) -> Stop:
    """A stopped run whose end nobody was told of, with these changes of the ledger entry."""

    def stop(**changes: Any) -> Cloud:
        running.workflow.start(RUN, {"batch": "20220131"})
        running.stop(RUN, error="Operator", cause="wrong files")
        changed = replace(running.entry(), **changes)
        running.table.update_ledger("20220131", lambda _: changed)
        return running

    return stop


def check(cloud: Cloud, after: timedelta = timedelta(hours=1)) -> list[str]:
    now, grace = datetime.now(UTC) + after, timedelta(minutes=1)
    return failures.close_ended_runs(cloud.table, cloud.bucket, cloud.workflow, now, grace)


def test_a_run_whose_end_event_was_lost_is_closed_once_with_its_cause_and_an_error(stopped: Stop) -> None:
    cloud = stopped()
    assert check(cloud, timedelta(0)) == [], "the event may still be on its way"
    assert check(cloud) == [RUN]

    entry, before = cloud.entry(), cloud.items()
    assert (entry.state, entry.holder) == (BatchState.FAILED, None)
    assert str(entry.cause).startswith(("Operator: wrong files", "States.ABORTED: it was stopped"))
    assert ("batch#20220131", "error#batch#0000000000#run_failed") in before

    assert check(cloud) == []
    assert cloud.items() == before


def test_a_run_that_cannot_be_closed_does_not_keep_the_others_open(
    stopped: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = stopped()
    runs = Workflow.broken_runs
    monkeypatch.setattr(Workflow, "broken_runs", lambda *period: iter(["20220130-of-a-newer-release", *runs(*period)]))
    cloud.table.put({"pk": "batch#20220130", "sk": "ledger", "batch": "20220130", "state": "PAUSED"})

    with pytest.raises(ExceptionGroup, match="1 runs could not be closed") as raised:
        check(cloud)

    assert "20220130 was written by a newer release" in str(raised.value.exceptions[0])
    assert cloud.entry().state is BatchState.FAILED


def test_a_closed_entry_stays_as_it_is_and_a_superseded_holder_is_removed(stopped: Stop) -> None:
    cloud = stopped(state=BatchState.COMPLETED, holder=None)
    assert check(cloud) == []
    assert cloud.entry().state is BatchState.COMPLETED

    queued = replace(cloud.entry(), state=BatchState.QUEUED, execution=NEWER, holder=RUN)
    cloud.table.update_ledger("20220131", lambda _: queued)
    assert check(cloud) == [RUN]
    assert (cloud.entry().state, cloud.entry().execution, cloud.entry().holder) == (BatchState.QUEUED, NEWER, None)


def test_runs_of_purged_batches_and_with_other_names_are_ignored(cloud: Cloud) -> None:
    for name in (RUN, "by-hand", "20220231-x"):
        cloud.workflow.start(name, {})
        cloud.stop(name)

    assert check(cloud) == []
    assert cloud.items() == {}


def test_the_scheduled_event_runs_the_check_and_closed_runs_are_counted(
    stopped: Stop, context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped()
    monkeypatch.setattr(failures, "GRACE", timedelta(0))

    assert finalize.handler(load_event("scheduled"), context) == {"closed": [RUN]}
    assert '"RunsClosedLate"' in capsys.readouterr().out


def test_runs_that_timed_out_were_aborted_or_failed_within_the_period_are_looked_for() -> None:
    now, day = datetime.now(UTC), timedelta(days=1)

    def paginate(statusFilter: str, **_: Any) -> Any:  # noqa: N803 (the SDK's name)
        ages = {"TIMED_OUT": 1, "ABORTED": 2, "FAILED": 20}
        runs = [{"name": statusFilter, "startDate": now - 30 * day, "stopDate": now - ages[statusFilter] * day}]
        return [{"executions": runs}, {"executions": [{"name": "older", "stopDate": now - day}]}]

    class StepFunctions:
        def get_paginator(self, _: str) -> Any:
            return type("Paginator", (), {"paginate": staticmethod(paginate)})

    asked: Any = StepFunctions()
    assert list(Workflow("arn", asked).broken_runs(now - 15 * day, now)) == ["TIMED_OUT", "ABORTED"]


@dataclass
class MapRuns:
    """Step Functions after a map with these failed children, the latest first."""

    children: list[dict[str, Any]]

    def list_map_runs(self, executionArn: str) -> dict[str, Any]:  # noqa: N803 (the SDK's name)
        return {"mapRuns": [{"executionArn": executionArn, "mapRunArn": "map-run"}]}

    def list_executions(self, **_: Any) -> dict[str, Any]:
        return {"executions": [{"executionArn": str(number)} for number in range(len(self.children))]}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803
        return {"status": "FAILED", **self.children[int(executionArn)]}


MAP_FAILED = error("States.ExceedToleratedFailureThreshold", "The specified tolerated failure threshold…")
CHILD = {
    "error": "ThrottledError",
    "cause": json.dumps({"errorMessage": "3 of 25 writes were not accepted in time", "errorType": "ThrottledError"}),
    "input": json.dumps({"chunk": {"key": "work/20220131/v1/chunks/00003.jsonl"}}),
}
EXPLAINED = error(
    "ThrottledError", "3 of 25 writes were not accepted in time (chunk work/20220131/v1/chunks/00003.jsonl)"
)
OTHER = error("States.Timeout", "")


@pytest.mark.parametrize(
    ("children", "failed", "explained"),
    [([CHILD], MAP_FAILED, EXPLAINED), ([], MAP_FAILED, MAP_FAILED), ([CHILD], OTHER, OTHER), ([CHILD], {}, {})],
)
def test_the_chunk_that_failed_gives_the_run_its_cause(
    children: list[dict[str, Any]], failed: dict[str, Any], explained: dict[str, Any]
) -> None:
    client: Any = MapRuns(children)
    workflow = Workflow("arn:aws:states:eu-west-1:123456789012:stateMachine:batch", client)
    assert failures.with_chunk_error(end(**failed), workflow) == end(**explained)


def test_a_failure_has_status_error_cause_and_input(stopped: Stop) -> None:
    failure = stopped().workflow.failure(RUN)
    assert replace(failure, error=None, cause=None) == Failure("ABORTED", None, None, '{"batch":"20220131"}')
