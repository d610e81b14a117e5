"""The state machine: start runs by name, and query how they ended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from pipeline.aws.clients import client, error_code

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


_BROKEN: tuple[Literal["FAILED", "TIMED_OUT", "ABORTED"], ...] = ("FAILED", "TIMED_OUT", "ABORTED")


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Whether a run is running, and when it ended, in UTC.

    A run that neither is running nor has ended is unknown: Step Functions deletes runs 90 days after their end.
    """

    running: bool = False
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """How and why a run, or a child of its map, ended; `input` is its input as JSON."""

    status: str
    error: str | None
    cause: str | None
    input: str


class Workflow:
    """The state machine that runs batches."""

    def __init__(self, arn: str, stepfunctions: SFNClient | None = None) -> None:
        self.arn = arn
        self._stepfunctions: SFNClient = stepfunctions or client("stepfunctions")

    def start(self, name: str, payload: Mapping[str, Any]) -> bool:
        """Start a run; return False if the name was used in the last 90 days."""
        try:
            self._stepfunctions.start_execution(
                stateMachineArn=self.arn,
                name=name,
                # Sorted, so that the same payload is the same text: StartExecution is idempotent for name and input.
                input=json.dumps(payload, separators=(",", ":"), sort_keys=True),
            )
        except ClientError as error:
            if error_code(error) == "ExecutionAlreadyExists":
                return False
            raise
        return True

    def status(self, name: str) -> RunStatus:
        """Return whether a run is running.

        DescribeExecution is eventually consistent (Step Functions API reference), so a run that was just started may
        be unknown for a moment.
        """
        try:
            run = self._stepfunctions.describe_execution(executionArn=self.execution_arn(name))
        except ClientError as error:
            if error_code(error) == "ExecutionDoesNotExist":
                return RunStatus()
            raise
        if run["status"] in ("RUNNING", "PENDING_REDRIVE"):
            return RunStatus(running=True)
        return RunStatus(ended_at=run["stopDate"].astimezone(UTC))

    def broken_runs(self, since: datetime, before: datetime) -> Iterator[str]:
        """Yield the names of the runs that failed, timed out or were aborted in a period, the latest of each first."""
        pages = self._stepfunctions.get_paginator("list_executions")
        for status in _BROKEN:
            for page in pages.paginate(stateMachineArn=self.arn, statusFilter=status):
                for run in page["executions"]:
                    if since <= run["stopDate"] <= before:
                        yield run["name"]
                if page["executions"] and page["executions"][-1]["startDate"] < since:
                    break  # runs are listed by start, the latest first

    def failure(self, name: str) -> Failure:
        """Return how and why a run ended."""
        return self._failure(self.execution_arn(name))

    def failure_in_map(self, name: str) -> Failure | None:
        """Return why a child of a run's map failed (the latest one), or None if none failed."""
        for map_run in self._stepfunctions.list_map_runs(executionArn=self.execution_arn(name))["mapRuns"]:
            children = self._stepfunctions.list_executions(
                mapRunArn=map_run["mapRunArn"], statusFilter="FAILED", maxResults=1
            )["executions"]
            if children:
                return self._failure(children[0]["executionArn"])
        return None

    def _failure(self, arn: str) -> Failure:
        run = self._stepfunctions.describe_execution(executionArn=arn)
        return Failure(run["status"], run.get("error"), run.get("cause"), run.get("input", "{}"))

    def execution_arn(self, name: str) -> str:
        """Return the ARN of a run by its name."""
        return execution_arn(self.arn, name)


def execution_arn(machine_arn: str, name: str) -> str:
    """Return the ARN of a run of a state machine by its name."""
    return f"{machine_arn.replace(':stateMachine:', ':execution:')}:{name}"
