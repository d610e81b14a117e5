"""The state machine goes by the names of errors: it gives up at once, or waits, as each of them asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from e2e.stack import Stack
from e2e.test_day import files_of
from pipeline import ledger
from pipeline.data_model import Kind
from pipeline.handlers.intake import start_run
from pipeline.ledger import BatchState, Ledger, SourceObject

pytestmark = pytest.mark.e2e


def failures(stack: Stack, execution: str) -> list[str]:
    """The names of the errors of a run's tasks, in order."""
    arn = stack.workflow.arn.replace(":stateMachine:", ":execution:") + f":{execution}"
    pages = stack.stepfunctions.get_paginator("get_execution_history").paginate(executionArn=arn)
    events = [event for page in pages for event in page["events"]]
    details = ("taskFailedEventDetails", "lambdaFunctionFailedEventDetails")
    return [event[name]["error"] for event in events for name in details if name in event]


def test_permanent_error_ends_the_run_at_its_first_try(stack: Stack, day: str) -> None:
    now = datetime.now(UTC)
    gone = {kind: SourceObject(f"incoming/{kind}_{day}.csv", "0" * 32, 1, now.isoformat()) for kind in Kind}
    entry = stack.table.update_ledger(day, lambda entry: ledger.claim(entry, gone, now))

    start_run(stack.workflow, entry)

    ended = stack.ended(day)
    assert ended.state is BatchState.FAILED
    assert str(ended.cause).startswith("SourceChangedError: ")
    assert failures(stack, str(entry.execution)) == ["SourceChangedError"]
    (message,) = stack.messages(day)
    assert message["code"] == "run_failed"


def test_batch_that_is_busy_is_waited_for(stack: Stack, day: str) -> None:
    free_from = datetime.now(UTC) + timedelta(seconds=4)
    resting = Ledger(day, quiet_until=free_from.isoformat(timespec="seconds"))
    stack.table.update_ledger(day, lambda _: resting)

    stack.upload(files_of(day))

    ended = stack.ended(day)
    assert ended.state is BatchState.COMPLETED
    assert set(failures(stack, str(ended.execution))) == {"BatchBusyError"}
    assert datetime.fromisoformat(str(ended.started_at)) >= free_from.replace(microsecond=0)
