"""`pipeline messages`: show the messages that wait in the output queue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline_cli.deployment import queues
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.summary import message_line
from pipeline_cli.terraform import target as targets

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

SHOWN = 100
KEPT_RECEIVES = 2
"""A message that has so few receives left before SQS moves it to the dead-letter queue ends a look."""


def command(env: options.Env = "", as_json: options.Json = False) -> None:
    """Show up to 100 messages in the output queue and leave them there. With --json: one body per line.

    Looking hides the messages from consumers for a moment and counts as a receive; the command warns before further
    looks would move messages to the dead-letter queue. A FIFO queue shows only the first 10 messages of a message
    group.

    Example: pipeline messages --json > messages.jsonl

    Exit codes: 0 shown, 1 some messages could not be put back.
    """
    target = targets.chosen(env)
    sqs, url = target.client("sqs"), target.output("output_queue_url")
    waiting = queues.waiting(sqs, url)
    messages, exhausted = peek(sqs, url, SHOWN)
    for message in messages:
        if as_json:
            terminal.print_line(message["Body"])
        else:
            terminal.out().print(message_line(message["Body"]), soft_wrap=True)
    note, more = terminal.err(), max(0, waiting - len(messages))
    rest = f"; {more:,} more wait" if more else ""
    note.print(f"{terminal.counted(len(messages), 'message')} shown and left in the queue{rest}.")
    if exhausted:
        note.print(
            "[yellow]Do not look again: with each look consumers lose one of the receives after which SQS moves a "
            "message to the dead-letter queue, and some messages have few left.[/]",
            soft_wrap=True,
        )


def peek(sqs: SQSClient, url: str, limit: int) -> tuple[list[MessageTypeDef], bool]:
    """Receive messages and make them visible again; stop at one that has few receives left.

    Return the messages, and whether one has few receives left.
    """
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"]).get("Attributes", {})
    limit_of_queue = json.loads(attributes.get("RedrivePolicy", "{}")).get("maxReceiveCount")
    most = max(1, int(limit_of_queue) - KEPT_RECEIVES) if limit_of_queue else float("inf")
    seen: list[MessageTypeDef] = []
    exhausted = False
    try:
        for received in queues.receive(sqs, url, limit):
            seen += received
            if exhausted := any(int(one["Attributes"]["ApproximateReceiveCount"]) >= most for one in received):
                break
    finally:
        failed = queues.put_back(sqs, url, seen)
    if failed:
        raise CommandError(
            f"{terminal.counted(failed, 'message')} could not be put back; they come back by themselves in "
            f"{terminal.duration(queues.HIDDEN_SECONDS)}."
        )
    return seen, exhausted
