"""What is read from Step Functions: runs whose end event was lost, and the error of the chunk that failed a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pipeline.aws.workflow import Failure, Workflow
from pipeline.handlers import finalize
from pipeline.ledger import BatchState, Ledger
from pipeline.stages import failures
from support import Cloud, Context, load_event

VERSION = "0123456789abcdef"
RUN = f"20220131-{VERSION}"
NOW = datetime.now(UTC)
QUIET = timedelta(minutes=1)

Start = Callable[..., Cloud]


@pytest.fixture
def stopped(cloud: Cloud) -> Start:
    """A stopped run, with the given ledger entry."""

    def start(**entry: Any) -> Cloud:
        cloud.workflow.start(RUN, {"batch": "20220131"})
        arn = cloud.workflow.arn.replace(":stateMachine:", ":execution:")
        cloud.stepfunctions.stop_execution(executionArn=f"{arn}:{RUN}", error="Operator", cause="wrong files")
        known = {"state": BatchState.RUNNING, "version": VERSION, "execution": RUN, "holder": RUN}
        cloud.table.update_ledger("20220131", lambda _: Ledger("20220131", **(known | entry)))
        return cloud

    return start


def check(cloud: Cloud, after: timedelta = timedelta(hours=1)) -> list[str]:
    return failures.close_ended_runs(cloud.table, cloud.bucket, cloud.workflow, datetime.now(UTC) + after, QUIET)


def entry_of(cloud: Cloud) -> Ledger:
    entry = cloud.table.get_ledger("20220131")
    assert entry is not None
    return entry


def test_a_run_whose_end_event_was_lost_is_failed_with_its_cause_and_an_error(stopped: Start) -> None:
    cloud = stopped()

    assert check(cloud) == [RUN]

    entry = entry_of(cloud)
    assert (entry.state, entry.holder) == (BatchState.FAILED, None)
    assert str(entry.cause).startswith(("Operator: wrong files", "States.ABORTED: it was stopped"))
    assert ("batch#20220131", "error#batch#0000000000#run_failed") in cloud.items()


def test_a_run_that_cannot_be_closed_does_not_keep_the_others_open(
    stopped: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = stopped()
    runs = Workflow.broken_runs
    monkeypatch.setattr(Workflow, "broken_runs", lambda *period: iter(["20220130-of-a-newer-release", *runs(*period)]))
    cloud.table.put({"pk": "batch#20220130", "sk": "ledger", "batch": "20220130", "state": "PAUSED"})

    with pytest.raises(ExceptionGroup, match="1 runs could not be closed") as raised:
        check(cloud)

    assert "20220130 was written by a newer release" in str(raised.value.exceptions[0])
    assert entry_of(cloud).state is BatchState.FAILED


def test_checking_again_changes_nothing(stopped: Start) -> None:
    cloud = stopped()
    check(cloud)
    before = cloud.items()

    assert check(cloud) == []
    assert cloud.items() == before


def test_an_event_that_may_still_be_on_its_way_is_waited_for(stopped: Start) -> None:
    cloud = stopped()

    assert check(cloud, timedelta(0)) == []
    assert entry_of(cloud).state is BatchState.RUNNING


@pytest.mark.parametrize("state", [BatchState.COMPLETED, BatchState.FAILED])
def test_a_closed_entry_stays_as_it_is(stopped: Start, state: BatchState) -> None:
    cloud = stopped(state=state, holder=None)

    assert check(cloud) == []
    assert entry_of(cloud).state is state


def test_a_superseded_run_that_still_holds_the_batch_is_removed_as_holder(stopped: Start) -> None:
    newer = f"20220131-{'f' * 16}"
    cloud = stopped(state=BatchState.QUEUED, execution=newer)

    assert check(cloud) == [RUN]

    entry = entry_of(cloud)
    assert (entry.state, entry.execution, entry.holder) == (BatchState.QUEUED, newer, None)


def test_runs_of_purged_batches_and_with_other_names_are_ignored(cloud: Cloud) -> None:
    for name in (RUN, "by-hand", "20220231-x"):
        cloud.workflow.start(name, {})
        arn = cloud.workflow.arn.replace(":stateMachine:", ":execution:")
        cloud.stepfunctions.stop_execution(executionArn=f"{arn}:{name}")

    assert check(cloud) == []
    assert cloud.items() == {}


def test_the_scheduled_event_runs_the_check_and_closed_runs_are_counted(
    stopped: Start, context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped()
    monkeypatch.setattr(failures, "GRACE", timedelta(0))

    assert finalize.handler(load_event("scheduled"), context) == {"closed": [RUN]}
    assert '"RunsClosedLate"' in capsys.readouterr().out


@dataclass
class MapRuns:
    """Step Functions after a map with these failed children, the latest first."""

    children: list[dict[str, Any]]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def list_map_runs(self, executionArn: str) -> dict[str, Any]:  # noqa: N803 (the SDK's name)
        return {"mapRuns": [{"executionArn": executionArn, "mapRunArn": "map-run"}]}

    def list_executions(self, **how: Any) -> dict[str, Any]:
        self.asked.append(how)
        return {"executions": [{"executionArn": str(n)} for n in range(len(self.children))][: how["maxResults"]]}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803
        return {"status": "FAILED", **self.children[int(executionArn)]}


MAP_FAILED = {"Error": "States.ExceedToleratedFailureThreshold", "Cause": "The specified tolerated failure threshold…"}


def explained(*children: dict[str, Any], **event: Any) -> Any:
    client: Any = MapRuns(list(children))
    workflow = Workflow("arn:aws:states:eu-west-1:123456789012:stateMachine:batch", client)
    return failures.with_chunk_error({"batch": "20220131", "execution": RUN, **event}, workflow)


def test_the_chunk_that_failed_gives_the_run_its_cause() -> None:
    child = {
        "error": "ThrottledError",
        "cause": json.dumps(
            {"errorMessage": "3 of 25 writes were not accepted in time", "errorType": "ThrottledError"}
        ),
        "input": json.dumps({"chunk": {"key": "work/20220131/v1/chunks/00003.jsonl"}}),
    }
    assert explained(child, error=MAP_FAILED)["error"] == {
        "Error": "ThrottledError",
        "Cause": "3 of 25 writes were not accepted in time (chunk work/20220131/v1/chunks/00003.jsonl)",
    }


def test_a_map_without_a_failed_child_keeps_its_own_error() -> None:
    assert explained(error=MAP_FAILED)["error"] == MAP_FAILED


@pytest.mark.parametrize("event", [{"outcome": {}}, {"error": {"Error": "States.Timeout", "Cause": ""}}])
def test_other_errors_are_not_explained(event: dict[str, Any]) -> None:
    child = {"error": "ThrottledError", "cause": "", "input": "{}"}
    assert explained(child, **event) == {"batch": "20220131", "execution": RUN, **event}


def test_only_runs_that_stopped_within_the_time_are_examined(cloud: Cloud, stopped: Start) -> None:
    stopped()
    assert list(cloud.workflow.broken_runs(NOW - timedelta(days=1), NOW + timedelta(days=1))) == [RUN]
    assert list(cloud.workflow.broken_runs(NOW - timedelta(days=2), NOW - timedelta(days=1))) == []
    assert list(cloud.workflow.broken_runs(NOW + timedelta(days=1), NOW + timedelta(days=2))) == []


def test_a_failure_has_status_error_cause_and_input(cloud: Cloud, stopped: Start) -> None:
    stopped()
    failure = cloud.workflow.failure(RUN)
    assert replace(failure, error=None, cause=None) == Failure("ABORTED", None, None, '{"batch":"20220131"}')
