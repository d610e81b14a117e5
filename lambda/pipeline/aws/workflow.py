"""The state machine: starting a run under a name of its own, and asking whether a run has ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline.aws.clients import client, error_code

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


class Workflow:
    """The state machine that runs batches."""

    def __init__(self, arn: str, stepfunctions: SFNClient | None = None) -> None:
        self.arn = arn
        self._stepfunctions: SFNClient = stepfunctions or client("stepfunctions")

    def start(self, name: str, payload: Mapping[str, Any]) -> bool:
        """Start a run; False where one of that name was started before (names stay taken for 90 days)."""
        try:
            self._stepfunctions.start_execution(
                stateMachineArn=self.arn,
                name=name,
                # Sorted, so that the same payload is the same text: with it, the start of a run that runs is repeated.
                input=json.dumps(payload, separators=(",", ":"), sort_keys=True),
            )
        except ClientError as error:
            if error_code(error) == "ExecutionAlreadyExists":
                return False
            raise
        return True

    def stopped_at(self, name: str) -> datetime | None:
        """Tell when a run ended, in UTC; None while it runs. A run that is unknown ended long ago."""
        try:
            run = self._stepfunctions.describe_execution(executionArn=self._execution_arn(name))
        except ClientError as error:
            if error_code(error) == "ExecutionDoesNotExist":
                return datetime.fromtimestamp(0, UTC)
            raise
        if run["status"] in ("RUNNING", "PENDING_REDRIVE"):
            return None
        return run["stopDate"].astimezone(UTC)

    def _execution_arn(self, name: str) -> str:
        return f"{self.arn.replace(':stateMachine:', ':execution:')}:{name}"
