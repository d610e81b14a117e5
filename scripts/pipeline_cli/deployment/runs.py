"""Runs in Step Functions: their stages with times, their delivered chunks, and the Spark job of a large day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from pipeline.aws.clients import error_code
from pipeline.aws.workflow import execution_arn
from pipeline.ledger import CLOSED, Ledger
from pipeline.model.batch_files import WORK_PREFIX
from pipeline.stages.large_day import PROGRESS

from pipeline_cli.output import terminal

if TYPE_CHECKING:
    from pipeline.aws.s3 import Bucket

    from pipeline_cli.terraform.target import Target

STAGES = {
    "WaitForOlderRun": "wait for an older run",
    "Transform": "read, validate, join",
    "TransformLargeDay": "read, validate, join in the Spark job",
    "CollectLargeDay": "take the result of the Spark job",
    "Deliver": "write into the table",
    "Finalize": "close the run",
    "RunFailed": "close after a failure",
}
"""The states of the state machine that are shown as stages, with what they do."""

NOT_KNOWN = {"ExecutionDoesNotExist", "ResourceNotFound", "AccessDeniedException", "InvalidAction", "UnknownOperation"}
"""Error codes if a run is not known: its history was deleted after 90 days, or may not be read."""

FAILURES = ("TaskFailed", "TaskTimedOut", "TaskStartFailed", "TaskSubmitFailed", "MapRunFailed")


@dataclass(frozen=True, slots=True)
class Stage:
    """One state of a run.

    `start` is in seconds after the start of the run, `seconds` is the duration so far, `failures` the failed attempts.
    """

    name: str
    start: float
    seconds: float
    failures: int = 0
    over: bool = True


@dataclass(frozen=True, slots=True)
class Chunks:
    """How many of a run's chunk files are delivered."""

    done: int
    total: int


class Runs:
    """The runs of a target's state machine whose history Step Functions still has."""

    def __init__(self, target: Target) -> None:
        self._machine_arn = target.output("state_machine_arn")
        self._stepfunctions = target.client("stepfunctions")

    def arn(self, execution: str) -> str:
        """Return the ARN of a run by its name."""
        return execution_arn(self._machine_arn, execution)

    def stages(self, execution: str, now: datetime) -> list[Stage]:
        """List the stages of a run in order; empty if its history is not available (any more)."""
        history, events = self._stepfunctions.get_paginator("get_execution_history"), list[Any]()
        with _unless_not_known():
            events += history.paginate(executionArn=self.arn(execution), includeExecutionData=False).search("events[]")
        return stages_of(events, now)

    def chunks(self, execution: str) -> Chunks | None:
        """Count the delivered chunks of a run; None if its Distributed Map has not begun or is not known."""
        found = None
        with _unless_not_known():
            runs = self._stepfunctions.list_map_runs(executionArn=self.arn(execution)).get("mapRuns")
            if runs:
                counts = self._stepfunctions.describe_map_run(mapRunArn=runs[0]["mapRunArn"])["itemCounts"]
                found = Chunks(counts["succeeded"], counts["total"])
        return found


@contextmanager
def _unless_not_known() -> Iterator[None]:
    """End the block if Step Functions does not know the run."""
    try:
        yield
    except ClientError as error:
        if error_code(error) not in NOT_KNOWN:
            raise


def stages_of(events: list[Any], now: datetime) -> list[Stage]:
    """Make stages from the events that enter and exit states; the last stage of a running run has no exit yet."""
    found: list[Stage] = []
    entered: tuple[str, datetime] | None = None
    failures = 0
    started = events[0]["timestamp"] if events else now

    def leave(moment: datetime, *, over: bool) -> None:
        if entered is not None:
            name, since = entered
            start, failed = (since - started).total_seconds(), failures
            while name == "WaitForOlderRun" and found and found[-1].name in ("Transform", name):
                # Transform only said to wait (again): all of it is one wait.
                before = found.pop()
                start, failed = before.start, before.failures + failed
            found.append(Stage(name, start, (moment - started).total_seconds() - start, failed, over))

    for event in events:
        moment, kind = event["timestamp"], event["type"]
        if kind in FAILURES:
            failures += 1
            continue
        name = _name(event)
        begins = name in STAGES and kind.endswith("StateEntered")
        ends = entered is not None and kind.endswith("StateExited") and name == entered[0]
        if begins or ends or (kind.startswith("Execution") and kind != "ExecutionStarted"):
            # A state that is left through Catch has no exit event: the next entry or the end of the run ends it.
            leave(moment, over=True)
            entered, failures = ((name, moment) if begins else None), 0
    leave(now, over=False)
    return found


def _name(event: Mapping[str, Any]) -> str:
    details = event.get("stateEnteredEventDetails") or event.get("stateExitedEventDetails") or {}
    return str(details.get("name", ""))


def step(bucket: Bucket, entry: Ledger | None) -> str | None:
    """Name the step of the Spark job of a run; None if no such job is under way."""
    if entry is None or entry.large_day is None or entry.large_day or entry.state in CLOSED:
        return None
    found = bucket.find_json(f"{WORK_PREFIX}{entry.batch}/{entry.version}/{PROGRESS}")
    if found is None or found["execution"] != entry.execution:
        return "not begun yet"
    return f"step {found['number']} of {found['of']}: {found['step']}"


def effort(entry: Ledger | None) -> str | None:
    """Say what the Spark job of a run took, in time and in what AWS charges for; None if there was none."""
    if entry is None or not entry.large_day:
        return None
    took, dpu_seconds = terminal.duration(int(entry.large_day["seconds"])), int(entry.large_day["dpu_seconds"])
    return f"The Spark job for large days took {took} and {dpu_seconds:,} DPU-seconds."
