"""Redrive and replay: what puts right what went wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ParamValidationError
from pipeline import ledger
from pipeline.aws.workflow import Workflow
from pipeline.ledger import BatchState
from pipeline.model.data_model import MODEL
from pipeline_cli.verbs.redrive import redrive
from pipeline_cli.verbs.replay import replay

from scripts.tests.support import Run, Stack
from scripts.tests.verbs.test_upload import DAY, run_batch


def test_messages_go_back_to_their_source_with_their_attributes(stack: Stack) -> None:
    sqs = stack.client("sqs")
    for number in range(12):
        sqs.send_message(
            QueueUrl=stack.url("ingest_dead_letter"),
            MessageBody=str(number),
            MessageAttributes={"cause": {"DataType": "String", "StringValue": "x"}},
        )

    result = redrive(sqs, stack.url("ingest_dead_letter"), stack.url("ingest"))

    assert (result.moved, result.left) == (12, 0)
    assert stack.waiting("ingest") == 12
    message = sqs.receive_message(QueueUrl=stack.url("ingest"), MessageAttributeNames=["All"])["Messages"][0]
    assert message["MessageAttributes"]["cause"]["StringValue"] == "x"
    assert redrive(sqs, stack.url("ingest_dead_letter"), stack.url("ingest")).moved == 0


def test_a_fifo_message_is_not_dropped_as_a_repetition_of_itself(stack: Stack) -> None:
    body = {"type": "customer_message"}
    stack.send(body, group="c", queue="output")
    sqs = stack.client("sqs")
    (message,) = sqs.receive_message(QueueUrl=stack.url("output"))["Messages"]
    sqs.delete_message(QueueUrl=stack.url("output"), ReceiptHandle=message["ReceiptHandle"])
    stack.send(body, group="c", queue="output_dead_letter")

    redrive(sqs, stack.url("output_dead_letter"), stack.url("output"))

    (again,) = sqs.receive_message(QueueUrl=stack.url("output"), AttributeNames=["MessageGroupId"])["Messages"]
    assert json.loads(again["Body"]) == body
    assert again["Attributes"]["MessageGroupId"] == "c"


def test_empty_dead_letter_queues_are_all_right_and_stream_failures_are_named(stack: Stack, run: Run) -> None:
    result = run("redrive", "--json")
    assert result.exit_code == 0
    assert [queue["moved"] for queue in json.loads(result.stdout)["queues"]] == [0, 0]
    stack.send({"DDBStreamBatchInfo": {}}, queue="publish_dead_letter")
    result = run("redrive")
    assert result.exit_code == 1
    assert "1 message in publish-dead-letter can't be sent" in result.stderr
    assert "written neither by Lambda, which names records of the table's stream, nor by publish" in result.stderr
    assert stack.waiting("publish_dead_letter") == 1


def test_dead_letters_that_others_have_received_are_hidden_not_expired(stack: Stack, run: Run) -> None:
    stack.send({"DDBStreamBatchInfo": {}}, queue="publish_dead_letter")
    stack.client("sqs").receive_message(QueueUrl=stack.url("publish_dead_letter"), VisibilityTimeout=30)
    result = run("redrive")
    assert result.exit_code == 1
    assert (
        "1 message in publish-dead-letter hidden, as another client has received it: run again in 60 s" in result.stderr
    )
    assert "expired" not in result.stderr


def test_a_message_that_cannot_be_sent_does_not_keep_the_others(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        stack.send({"number": number}, queue="ingest_dead_letter")
    sqs = stack.client("sqs")
    send = sqs.send_message

    def refuse(**request: Any) -> Any:
        if '"number": 1' in request["MessageBody"]:
            raise ParamValidationError(report="too long")
        return send(**request)

    monkeypatch.setattr(sqs, "send_message", refuse)

    result = redrive(sqs, stack.url("ingest_dead_letter"), stack.url("ingest"))

    assert (result.moved, result.left) == (2, 1)
    assert "too long" in result.failed[0]
    assert stack.visible("ingest_dead_letter") == 1, "what stays is put back at once"


def complete(stack: Stack) -> Workflow:
    for kind in MODEL.kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")
    return Workflow(stack.target.output("state_machine_arn"), stack.client("stepfunctions"))


def runs(stack: Stack) -> list[str]:
    machine = stack.target.output("state_machine_arn")
    found = stack.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    return sorted(execution["name"] for execution in found)


@pytest.mark.parametrize("state", [BatchState.COMPLETED, BatchState.FAILED])
def test_a_finished_batch_runs_again_as_another_attempt(stack: Stack, state: BatchState) -> None:
    workflow = complete(stack)
    entry = run_batch(stack, state)
    again, started = replay(stack.target, DAY)
    assert started
    assert again.state is BatchState.QUEUED
    assert again.execution == f"{entry.execution}-2"
    assert runs(stack) == [f"{entry.execution}-2"]
    payload = stack.client("stepfunctions").describe_execution(
        executionArn=workflow.execution_arn(str(again.execution))
    )["input"]
    assert set(json.loads(payload)["files"]) == set(MODEL.kinds)


def test_a_run_in_progress_is_not_restarted_but_an_aborted_one_is(stack: Stack) -> None:
    workflow = complete(stack)
    run_batch(stack)
    first, _ = replay(stack.target, DAY)
    stack.table.update_ledger(DAY, lambda entry: ledger.begin(entry, str(first.execution), datetime.now(UTC)))
    at_work, started = replay(stack.target, DAY)
    assert (at_work.execution, started) == (first.execution, False)

    stack.client("stepfunctions").stop_execution(executionArn=workflow.execution_arn(str(first.execution)))
    again, started = replay(stack.target, DAY)
    assert started
    assert again.execution != first.execution
    assert again.holder == first.execution, "the new run itself takes the batch over, once writers have stopped"


@pytest.mark.parametrize(("kinds", "reason"), [([], "knows no such batch"), (["orders"], "lacks customers and items")])
def test_a_batch_that_never_was_complete_cannot_run(stack: Stack, run: Run, kinds: list[str], reason: str) -> None:
    for kind in kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")
        stack.table.update_ledger(DAY, lambda entry: ledger.observe(entry, stack.bucket.find_set(DAY)))
    result = run("replay", DAY)
    assert result.exit_code == 1
    assert reason in result.stderr
    assert runs(stack) == []


def test_the_command_tells_the_run_and_where_to_look(stack: Stack, run: Run) -> None:
    complete(stack)
    entry = run_batch(stack)
    result = run("replay", DAY, "--no-wait", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "batch": DAY,
        "execution": f"{entry.execution}-2",
        "started": True,
        "state": "QUEUED",
    }
    assert run("replay", "2022").exit_code == 2
