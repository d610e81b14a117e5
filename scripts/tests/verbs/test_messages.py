from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.summary import message_fields, message_line
from pipeline_cli.verbs.messages import Received, drain, peek

from scripts.tests.support import Run, Stack

CUSTOMER = {
    "type": "customer_message",
    "customer_reference": "ade3-11ed",
    "number_of_orders": 2,
    "total_amount_spent": 87.5,
}
ERROR = {"type": "error_message", "message": "items_20220131.csv line 17: [bold]quantity 'x' is wrong", "code": "c"}


def body(**changes: Any) -> str:
    return json.dumps({**CUSTOMER, **changes})


def test_a_look_leaves_every_message_in_the_queue(stack: Stack) -> None:
    for number in range(25):
        stack.send({**CUSTOMER, "number_of_orders": number}, group=f"g{number}")
    sqs, url = stack.client("sqs"), stack.url("output")

    first, second = peek(sqs, url), peek(sqs, url)

    assert sorted(message_fields(m.body)["number_of_orders"] for m in first.messages) == list(range(25))
    assert {m.body for m in second.messages} == {m.body for m in first.messages}
    assert first.waiting == 25
    assert {m.receives for m in second.messages} == {2}


def test_a_look_stops_at_the_number_asked_for(stack: Stack) -> None:
    for number in range(25):
        stack.send(CUSTOMER, group=f"g{number}")
    assert len(peek(stack.client("sqs"), stack.url("output"), limit=12).messages) == 12


def test_a_drain_takes_everything_out_in_the_order_of_each_group(stack: Stack) -> None:
    for number in range(30):
        stack.send({**ERROR, "line": number}, group="errors")
    taken: list[Received] = []

    count = drain(stack.client("sqs"), stack.url("output"), taken.append)

    assert count == 30
    assert [message_fields(message.body)["line"] for message in taken] == list(range(30))
    assert stack.waiting("output") == 0


def test_a_message_that_was_not_taken_is_not_deleted(stack: Stack) -> None:
    stack.send(CUSTOMER)

    def fail(_: Received) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        drain(stack.client("sqs"), stack.url("output"), fail)
    assert stack.waiting("output") == 1


def test_a_delete_that_is_refused_is_reported(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.send(CUSTOMER)
    sqs = stack.client("sqs")
    monkeypatch.setattr(sqs, "delete_message_batch", lambda **_: {"Failed": [{"Id": "0"}]})
    with pytest.raises(CommandError, match="could not be deleted"):
        drain(sqs, stack.url("output"), lambda _: None)


def test_messages_near_the_dead_letter_queue_are_counted(stack: Stack) -> None:
    sqs, url = stack.client("sqs"), stack.url("output")
    dead = sqs.get_queue_attributes(QueueUrl=stack.url("output_dead_letter"), AttributeNames=["QueueArn"])
    policy = {"deadLetterTargetArn": dead["Attributes"]["QueueArn"], "maxReceiveCount": 4}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(policy)})
    stack.send(CUSTOMER)
    assert peek(sqs, url).exhausted == 0
    assert peek(sqs, url).exhausted == 1


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (body(), ["customer", "ade3-11ed", "2 orders", " 87.5"]),
        (body(number_of_orders=1).replace("87.5", "12345678901234.1234"), ["1 order ", "12,345,678,901,234.1234"]),
        (json.dumps({"type": "customer_removed", "customer_reference": "a[b]c"}), ["removed", r"a\[b]c"]),
        (json.dumps(ERROR), ["error", r"\[bold]quantity 'x' is wrong"]),
        ("no json", ["no json"]),
        ("[1]", [r"[1]"]),
    ],
)
def test_a_message_reads_well_on_one_line(text: str, parts: list[str]) -> None:
    shown = message_line(text)
    for part in parts:
        assert part in shown


def test_the_command_prints_bodies_as_json_lines(stack: Stack, run: Run) -> None:
    stack.send(CUSTOMER, group="a")
    stack.send(ERROR, group="b")

    result = run("messages", "--drain", "--json")

    assert result.exit_code == 0
    assert [json.loads(row) for row in result.stdout.splitlines()] == [CUSTOMER, ERROR]
    assert "Target: the local AWS" in result.stderr
    assert "2 messages taken out of the queue." in result.stderr
    assert stack.waiting("output") == 0


def test_the_command_says_when_more_messages_wait_than_a_look_shows(stack: Stack, run: Callable[..., Any]) -> None:
    for number in range(13):
        stack.send({**ERROR, "line": number}, group="errors")
    result = run("messages")
    assert result.exit_code == 0
    assert "[bold]quantity 'x' is wrong" in result.stdout
    assert "13 messages shown" in result.stderr or "more wait, --drain shows all" in result.stderr
    assert stack.waiting("output") == 13


@pytest.mark.parametrize(("answers", "code"), [("staging\n", 0), ("yes\n", 1), ("", 1)])
def test_a_drain_on_another_target_needs_the_environments_name(
    stack: Stack, run: Callable[..., Any], answers: str, code: int
) -> None:
    stack.send(CUSTOMER)
    result = run("messages", "--drain", "--env", "staging", answers=answers)
    assert result.exit_code == code
    assert (stack.waiting("output") == 0) is (code == 0)
    assert run("messages", "--drain", "--yes", "--env", "staging").exit_code == 0
    assert stack.waiting("output") == 0
