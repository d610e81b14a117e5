"""`pipeline messages`: show the messages that wait in the output queue, or take them out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline_cli.deployment.queues import HIDDEN_SECONDS, in_tens, put_back, receive
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.summary import message_line
from pipeline_cli.terraform import target as targets

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

LOOK_MESSAGES = 100
KEPT_RECEIVES = 2
"""A message that has so few receives left before SQS moves it to the dead-letter queue ends a look."""


@dataclass(frozen=True, slots=True)
class Received:
    """A received message; `receives` counts how often it has been received."""

    body: str
    receipt: str
    receives: int


@dataclass(frozen=True, slots=True)
class Peek:
    """The result of a look at the queue; `waiting` is the queue's own (approximate) count of messages."""

    messages: Sequence[Received]
    waiting: int
    max_receives: int | None

    @property
    def exhausted(self) -> int:
        """How many messages have nearly reached the queue's limit of receives."""
        if self.max_receives is None:
            return 0
        return sum(message.receives >= max(1, self.max_receives - KEPT_RECEIVES) for message in self.messages)


def command(
    drain_it: Annotated[bool, typer.Option("--drain", help="Print each message, then delete it.")] = False,
    limit: Annotated[
        int | None,
        typer.Option("--max", min=1, metavar="N", help="Stop after N messages. \\[default: 100, with --drain all]"),
    ] = None,
    yes: options.Yes = False,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Show the messages in the output queue and leave them there, or --drain the queue. With --json: one body per line.

    Looking hides the messages from consumers for a moment and counts as a receive; the command warns where further
    looks could move messages to the dead-letter queue. It shows only the first 10 messages of a message group, as a
    FIFO queue holds back the rest; --drain shows all. --drain takes the messages away from the consumers, so it asks
    for the environment's name first, except on local.

    Example: pipeline messages --drain --json > messages.jsonl

    Exit codes: 0 shown, 1 some messages could not be put back or deleted, or the answer was no.
    """
    target = targets.chosen(env)
    sqs, url = target.client("sqs"), target.output("output_queue_url")
    out, note = terminal.out(), terminal.err()

    def show(message: Received) -> None:
        if as_json:
            terminal.print_line(message.body)
        else:
            out.print(message_line(message.body), soft_wrap=True)

    if drain_it:
        if not (yes or target.is_local):
            terminal.confirm(target.name, f"This takes messages from the consumers of {target.description}.")
        note.print(f"{terminal.counted(drain(sqs, url, show, limit), 'message')} taken out of the queue.")
        return
    seen = peek(sqs, url, limit or LOOK_MESSAGES)
    for message in seen.messages:
        show(message)
    more = max(0, seen.waiting - len(seen.messages))
    rest = f"; {more:,} more wait, --drain shows all" if more else ""
    note.print(f"{terminal.counted(len(seen.messages), 'message')} shown and left in the queue{rest}.")
    if seen.exhausted:
        note.print(
            f"[yellow]{terminal.counted(seen.exhausted, 'message')} came out of the queue nearly {seen.max_receives} "
            "times. Do not look again: after that many receives SQS moves a message to the dead-letter queue, from "
            "where only redrive brings it back.[/]",
            soft_wrap=True,
        )


def peek(sqs: SQSClient, url: str, limit: int | None = None) -> Peek:
    """Receive messages and make them visible again; stop at one that has been received too often already.

    While a message is received, a FIFO queue holds back the later ones of its group, so only the first 10 messages of a
    group are shown. A look counts as a receive.
    """
    attributes = sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages", "RedrivePolicy"]
    )["Attributes"]
    policy = json.loads(attributes.get("RedrivePolicy", "{}"))
    max_receives = int(policy["maxReceiveCount"]) if "maxReceiveCount" in policy else None
    found = Peek([], int(attributes["ApproximateNumberOfMessages"]), max_receives)
    seen: list[Received] = []
    try:
        for batch in receive(sqs, url, limit):
            seen += _received(batch)
            found = replace(found, messages=seen)
            if found.exhausted:
                break
    finally:
        failed = put_back(sqs, url, [message.receipt for message in seen])
    if failed:
        raise CommandError(
            f"{terminal.counted(failed, 'message')} could not be put back; they come back by themselves in "
            f"{terminal.duration(HIDDEN_SECONDS)}."
        )
    return found


def drain(sqs: SQSClient, url: str, take: Callable[[Received], None], limit: int | None = None) -> int:
    """Take messages out of the queue: pass each to `take`, then delete it. Return how many there were."""
    count = 0
    for batch in map(_received, receive(sqs, url, limit)):
        for message in batch:
            take(message)
        receipts = [message.receipt for message in batch]
        if failed := in_tens(receipts, lambda entries: sqs.delete_message_batch(QueueUrl=url, Entries=entries)):
            raise CommandError(
                f"{terminal.counted(failed, 'message')} were shown but could not be deleted; they will come again."
            )
        count += len(batch)
    return count


def _received(messages: Iterable[MessageTypeDef]) -> list[Received]:
    return [
        Received(message["Body"], message["ReceiptHandle"], int(message["Attributes"]["ApproximateReceiveCount"]))
        for message in messages
    ]
