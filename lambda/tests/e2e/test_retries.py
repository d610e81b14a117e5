"""A run that waits, one that is stopped, and one whose chunk fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from e2e.privileges import Privileges
from e2e.stack import Stack, eventually
from e2e.test_day import files_of
from pipeline.ledger import BatchState, Ledger
from pipeline_cli.deployment.runs import Runs

pytestmark = pytest.mark.e2e


def failures(stack: Stack, execution: str) -> list[str]:
    """The names of the errors of a run's tasks, in order."""
    pages = stack.stepfunctions.get_paginator("get_execution_history").paginate(
        executionArn=stack.workflow.execution_arn(execution)
    )
    events = [event for page in pages for event in page["events"]]
    details = ("taskFailedEventDetails", "lambdaFunctionFailedEventDetails")
    return [event[name]["error"] for event in events for name in details if name in event]


def waiting_or_in_flight(stack: Stack) -> int:
    """Count the events that intake has not processed."""
    counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    url = stack.target.output("ingest_queue_url")
    found = stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(counts))["Attributes"]
    return sum(int(found[name]) for name in counts)


def block(stack: Stack, day: str, seconds: int) -> None:
    """Block a batch, as a failed run does while one of its writers may still be running."""
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    stack.table.update_ledger(day, lambda _: Ledger(day, blocked_until=until.isoformat(timespec="milliseconds")))


def test_a_run_waits_for_the_writers_of_a_failed_one_and_nothing_fails(stack: Stack, day: str) -> None:
    block(stack, day, seconds=5)
    stack.upload(files_of(day))

    ended = stack.ended(day)
    execution = str(ended.execution)
    assert (ended.state, failures(stack, execution)) == (BatchState.COMPLETED, [])
    stages = Runs(stack.target).stages(execution, datetime.now(UTC))
    assert stages[0].name == "WaitForOlderRun"


def test_run_that_is_stopped_closes_its_ledger_entry_all_the_same(stack: Stack, day: str) -> None:
    block(stack, day, seconds=3600)
    stack.upload(files_of(day))
    eventually(lambda: "RUNNING" in stack.executions(day).values(), "the run's start")
    # An event of the set after the stop would start the ledger's current run again.
    eventually(lambda: not waiting_or_in_flight(stack), "the last event's arrival")
    (execution,) = stack.executions(day)

    stack.stepfunctions.stop_execution(
        executionArn=stack.workflow.execution_arn(execution), error="Operator", cause="a test"
    )

    ended = stack.ended(day)
    assert (ended.state, ended.execution) == (BatchState.FAILED, execution)
    assert str(ended.cause).startswith("States.ABORTED: ")
    (message,) = stack.messages(day)
    assert message["code"] == "run_failed"


@contextmanager
def without_setting(stack: Stack, part: str, setting: str) -> Iterator[None]:
    """Remove a setting of a function within the block."""
    lambdas, name = stack.target.client("lambda"), stack.target.output("function_names")[part]
    settings = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    rest = {key: value for key, value in settings.items() if key != setting}
    lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": rest})
    try:
        yield
    finally:
        lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": settings})


def test_a_failed_chunk_gives_the_ledger_its_own_error(stack: Stack, day: str) -> None:
    # Unlike AWS, the local AWS does not accept a map run as the resource of ListExecutions, so the policy allows any.
    listing = {"Effect": "Allow", "Action": "states:ListExecutions", "Resource": "*"}
    with (
        without_setting(stack, "deliver", "TABLE_NAME"),
        Privileges(stack).changed("finalize", "work", lambda old: {**old, "Statement": [*old["Statement"], listing]}),
    ):
        stack.upload(files_of(day))
        ended = stack.ended(day)

    assert ended.state is BatchState.FAILED
    assert str(ended.cause).startswith(
        "SettingsError: settings are missing or malformed: TABLE_NAME is not set (chunk work/"
    )
