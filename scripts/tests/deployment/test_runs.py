"""What is read about a run from Step Functions: its stages in order, and how many chunks are delivered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pipeline_cli.deployment.runs import Chunks, Runs, Stage
from pipeline_cli.terraform.target import Target


class StepFunctions:
    """A Step Functions client with the history of one run."""

    def __init__(self, events: list[dict[str, Any]], runs: list[dict[str, Any]] | None = None, code: str = "") -> None:
        self.events, self.runs, self.code = events, runs or [], code

    def get_paginator(self, _: str) -> StepFunctions:
        return self

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        self._fail()
        half = len(self.events) // 2
        yield {"events": self.events[:half]}
        yield {"events": self.events[half:]}

    def list_map_runs(self, **_: Any) -> dict[str, Any]:
        self._fail()
        return {"mapRuns": self.runs}

    def describe_map_run(self, **arguments: Any) -> dict[str, Any]:
        (run,) = [run for run in self.runs if run["mapRunArn"] == arguments["mapRunArn"]]
        return {"itemCounts": run["counts"]}

    def _fail(self) -> None:
        if self.code:
            raise ClientError({"Error": {"Code": self.code}}, "GetExecutionHistory")


START = datetime(2022, 2, 1, 6, 0, tzinfo=UTC)


def event(second: float, kind: str, name: str = "") -> dict[str, Any]:
    side = "stateEnteredEventDetails" if kind.endswith("Entered") else "stateExitedEventDetails"
    return {"timestamp": START + timedelta(seconds=second), "type": kind, **({side: {"name": name}} if name else {})}


def runs_of(*events: dict[str, Any], code: str = "") -> Runs:
    return runs_with(StepFunctions(list(events), code=code))


def runs_with(client: StepFunctions) -> Runs:
    class Deployed(Target):
        def client(self, service: str) -> Any:
            return client

    return Runs(
        Deployed("local", "eu-west-1", None, {"state_machine_arn": "arn:aws:states:eu-west-1:1:stateMachine:b"})
    )


def test_stages_are_read_from_the_history_with_their_failures() -> None:
    runs = runs_of(
        event(0, "ExecutionStarted"),
        event(0, "PassStateEntered", "Begin"),
        event(0, "PassStateExited", "Begin"),
        event(1, "TaskStateEntered", "Transform"),
        event(2, "TaskFailed"),
        event(4, "TaskSucceeded"),
        event(5, "TaskStateExited", "Transform"),
        event(5, "MapStateEntered", "Deliver"),
        event(7, "MapRunFailed"),
        event(8, "TaskStateEntered", "RunFailed"),
        event(9, "TaskStateExited", "RunFailed"),
        event(9, "ExecutionFailed"),
    )
    assert runs.stages("x", START) == [
        Stage("Transform", 1, 4, failures=1),
        Stage("Deliver", 5, 3, failures=1),
        Stage("RunFailed", 8, 1),
    ]


def test_the_current_stage_has_no_end_and_a_stopped_one_ends_with_its_run() -> None:
    begun = event(0, "ExecutionStarted"), event(1, "TaskStateEntered", "Transform")
    assert runs_of(*begun).stages("x", START + timedelta(seconds=3)) == [Stage("Transform", 1, 2, over=False)]
    assert runs_of(*begun, event(5, "ExecutionAborted")).stages("x", START) == [Stage("Transform", 1, 4)]


def test_an_expired_run_has_no_stages_and_other_errors_are_raised() -> None:
    assert runs_of(code="ExecutionDoesNotExist").stages("x", START) == []
    assert runs_of(code="ExecutionDoesNotExist").chunks("x") is None
    for ask in (lambda runs: runs.stages("x", START), lambda runs: runs.chunks("x")):
        with pytest.raises(ClientError):
            ask(runs_of(code="ThrottlingException"))


def test_the_newest_map_run_counts_the_chunks() -> None:
    runs = [
        {"mapRunArn": "old", "startDate": START, "counts": {"succeeded": 1, "total": 9}},
        {"mapRunArn": "new", "startDate": START + timedelta(seconds=1), "counts": {"succeeded": 4, "total": 9}},
    ]
    assert runs_with(StepFunctions([], runs)).chunks("x") == Chunks(4, 9)
    assert runs_of().chunks("x") is None


def test_all_waits_for_an_older_run_are_one_stage() -> None:
    waits = [
        [
            event(second, "TaskStateEntered", "Transform"),
            event(second + 1, "TaskStateExited", "Transform"),
            event(second + 1, "WaitStateEntered", "WaitForOlderRun"),
            event(second + 9, "WaitStateExited", "WaitForOlderRun"),
        ]
        for second in (1, 10, 19)
    ]
    begun = event(0, "ExecutionStarted"), *(step for wait in waits for step in wait)
    assert runs_of(*begun[:-1]).stages("run", START + timedelta(seconds=25)) == [
        Stage("WaitForOlderRun", 1, 24, over=False)
    ]
    ended = event(28, "TaskStateEntered", "Transform"), event(30, "TaskStateExited", "Transform")
    assert runs_of(*begun, *ended).stages("run", START) == [Stage("WaitForOlderRun", 1, 27), Stage("Transform", 28, 2)]
