"""What Step Functions says of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pipeline.aws.workflow import RunStatus, Workflow

ENDED = datetime(2022, 2, 1, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("RUNNING", RunStatus(running=True)),
        ("PENDING_REDRIVE", RunStatus(running=True)),
        ("SUCCEEDED", RunStatus(ended_at=ENDED)),
        ("FAILED", RunStatus(ended_at=ENDED)),
        ("TIMED_OUT", RunStatus(ended_at=ENDED)),
        ("ABORTED", RunStatus(ended_at=ENDED)),
    ],
)
def test_a_run_is_running_until_its_writers_have_certainly_ended(status: str, expected: RunStatus) -> None:
    class StepFunctions:
        def describe_execution(self, **_: Any) -> dict[str, Any]:
            return {"status": status, "stopDate": ENDED}

    answering: Any = StepFunctions()
    assert Workflow("arn:aws:states:eu-west-1:1:stateMachine:m", answering).status("name") == expected
