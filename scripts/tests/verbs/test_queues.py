"""Messages, dead letters and redrive: looking moves nothing, and nothing is lost on the way back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ParamValidationError
from pipeline import ledger
from pipeline.model.data_model import MODEL
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.summary import message_line
from pipeline_cli.verbs import messages
from pipeline_cli.verbs.redrive import redrive

from scripts.tests.support import Run, Stack
from scripts.tests.verbs.test_upload import DAY, run_batch

CUSTOMER = {
    "type": "customer_message",
    "customer_reference": "ade3-11ed",
    "number_of_orders": 2,
    "total_amount_spent": 87.5,
}
ERROR = {"type": "error_message", "message": "items_20220131.csv line 17: [bold]quantity 'x' is wrong", "code": "c"}


def test_a_look_leaves_every_message_in_the_queue(stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(25):
        stack.send({**CUSTOMER, "number_of_orders": number}, group=f"g{number}")

    for result in (run("messages", "--json"), run("messages", "--json")):
        assert sorted(json.loads(line)["number_of_orders"] for line in result.stdout.splitlines()) == list(range(25))
        assert "25 messages shown and left in the queue." in result.stderr
    monkeypatch.setattr(messages, "SHOWN", 12)
    assert "12 messages shown and left in the queue; 13 more wait." in run("messages").stderr
    assert stack.visible("output") == 25


def test_messages_that_sqs_did_not_put_back_are_reported(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.send(CUSTOMER)
    sqs = stack.client("sqs")
    monkeypatch.setattr(sqs, "change_message_visibility_batch", lambda **_: {"Failed": [{"Id": "0"}]})
    with pytest.raises(CommandError, match="1 message could not be put back"):
        messages.peek(sqs, stack.url("output"), 10)


def test_a_look_warns_before_a_message_reaches_the_queues_limit_of_receives(stack: Stack, run: Run) -> None:
    stack.limit_receives(5)
    stack.send(CUSTOMER)

    results = [run("messages") for _ in range(4)]

    assert ["Do not look again" in " ".join(result.stderr.split()) for result in results] == [False, False, True, True]
    assert all("ade3-11ed" in result.stdout for result in results)
    assert (stack.visible("output"), stack.waiting("output_dead_letter")) == (1, 0)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (json.dumps(CUSTOMER), ["customer", "ade3-11ed", "2 orders", " 87.5"]),
        (json.dumps(CUSTOMER).replace("87.5", "12345678901234.1234"), ["12,345,678,901,234.1234"]),
        (json.dumps({"type": "customer_removed", "customer_reference": "a[b]c"}), ["removed", r"a\[b]c"]),
        (json.dumps(ERROR), ["error", r"\[bold]quantity 'x' is wrong"]),
        ("no json", ["no json"]),
    ],
)
def test_a_message_reads_well_on_one_line(text: str, parts: list[str]) -> None:
    shown = message_line(text)
    for part in parts:
        assert part in shown


# --- dead letters --------------------------------------------------------------------------------------------------

NOTICE = {
    "requestContext": {"condition": "RetryAttemptsExhausted", "approximateInvokeCount": 100},
    "DDBStreamBatchInfo": {},
}
"""What Lambda writes about changes that publish could not send; here it names none."""


def test_each_dead_letter_is_shown_with_its_cause_and_stays_until_one_is_deleted_after_a_yes(
    stack: Stack, run: Run
) -> None:
    assert "The dead-letter queues are empty." in run("redrive", "--list").stderr
    cause = {"code": "InvalidMessageContents", "message": "a character that is not allowed"}
    stack.send({"Records": ["[bold]event"]}, queue="ingest_dead_letter")
    stack.send(NOTICE, queue="publish_dead_letter")
    stack.send({"cause": cause, "record": {"Keys": {}, "SequenceNumber": "7"}}, queue="publish_dead_letter")

    result = run("redrive", "--list")

    assert result.exit_code == 0
    for words in (
        "intake failed on this event",
        "publish could not send these changes; RetryAttemptsExhausted after 100 tries",
        "SQS refused its message: InvalidMessageContents a character that is not allowed",
    ):
        assert words in result.stdout
    known = json.loads(run("redrive", "--list", "--json").stdout)
    (message,) = (one for one in known if one["queue"] == "ingest-dead-letter")
    assert run("redrive", "--delete", message["id"], answers="n\n").exit_code == 1
    assert run("redrive", "--delete", "nothing").exit_code == 1
    assert stack.visible("ingest_dead_letter") == 1
    deleted = run("redrive", "--delete", message["id"][:8], answers="y\n")
    assert '{"Records": ["[bold]event"]}' in deleted.stdout
    assert (stack.visible("ingest_dead_letter"), stack.visible("publish_dead_letter")) == (0, 2)


# --- redrive; lambda/tests/faults/test_republish.py has what is sent for publish's dead letters ---------------------


def test_messages_go_back_with_their_attributes_and_one_that_cannot_be_sent_does_not_keep_the_others(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqs, dead = stack.client("sqs"), stack.url("ingest_dead_letter")
    attributes = {"cause": {"DataType": "String", "StringValue": "x"}}
    for number in range(12):
        sqs.send_message(QueueUrl=dead, MessageBody=str(number), MessageAttributes=attributes)
    send = sqs.send_message

    def refuse(**request: Any) -> Any:
        if request["MessageBody"] == "1":
            raise ParamValidationError(report="too long")
        return send(**request)

    monkeypatch.setattr(sqs, "send_message", refuse)

    result = redrive(sqs, dead, stack.url("ingest"))

    assert (result.moved, result.left, stack.waiting("ingest")) == (11, 1, 11)
    assert "too long" in result.failed[0]
    assert stack.visible("ingest_dead_letter") == 1, "what stays is put back at once"
    message = sqs.receive_message(QueueUrl=stack.url("ingest"), MessageAttributeNames=["All"])["Messages"][0]
    assert message["MessageAttributes"]["cause"]["StringValue"] == "x"


def test_a_fifo_message_is_not_dropped_as_a_repetition_of_itself(stack: Stack, run: Run) -> None:
    sqs = stack.client("sqs")
    stack.send(CUSTOMER, group="c")
    sqs.purge_queue(QueueUrl=stack.url("output"))
    stack.send(CUSTOMER, group="c", queue="output_dead_letter")

    assert run("redrive").exit_code == 0

    (again,) = sqs.receive_message(QueueUrl=stack.url("output"), AttributeNames=["MessageGroupId"])["Messages"]
    assert (json.loads(again["Body"]), again["Attributes"]["MessageGroupId"]) == (CUSTOMER, "c")


@pytest.mark.parametrize(
    ("hidden", "said"),
    [
        (False, "1 message in publish-dead-letter can't be sent"),
        (True, "1 message in publish-dead-letter hidden, as another client has received it: run again in 60 s."),
    ],
)
def test_what_is_left_is_named_with_its_reason(stack: Stack, run: Run, hidden: bool, said: str) -> None:
    stack.send(NOTICE, queue="publish_dead_letter")
    if hidden:
        stack.client("sqs").receive_message(QueueUrl=stack.url("publish_dead_letter"), VisibilityTimeout=30)
    result = run("redrive")
    assert (result.exit_code, said in result.stderr, "expired" in result.stderr) == (1, True, False)
    assert stack.waiting("publish_dead_letter") == 1


def test_a_day_whose_run_is_under_way_or_that_never_was_is_not_sent_again(stack: Stack, run: Run) -> None:
    assert "no set of files of it was complete" in run("redrive", DAY).stderr
    for kind in MODEL.kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")
    run_batch(stack)
    stack.table.update_ledger(DAY, lambda entry: ledger.replay(entry, datetime.now(UTC)))
    result = run("redrive", DAY)
    assert (result.exit_code, "under way" in result.stderr) == (1, True)
