"""Look at the messages in the output queue, or take them out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipeline.model.messages import number_text

from pipeline_cli.deployment.queues import HIDDEN_SECONDS, in_tens, put_back, receive, waiting
from pipeline_cli.output import terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.summary import amount

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from pipeline_cli.terraform.target import Target

LOOKED_AT = "looked-at"
"""The marker file in an environment's folder: the queue's messages may not be looked at again."""

KEPT_RECEIVES = 2
"""Receives that looking leaves to the consumers before SQS moves a message to the dead-letter queue."""


@dataclass(frozen=True, slots=True)
class Received:
    """A received message; `receives` counts how often it has been received."""

    body: str
    receipt: str
    receives: int

    @property
    def fields(self) -> dict[str, Any]:
        """The body's fields, with decimals; a body that is not a JSON object is returned as the field `message`."""
        try:
            found = json.loads(self.body, parse_float=Decimal)
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {"type": "?", "message": self.body}


@dataclass(frozen=True, slots=True)
class Peek:
    """The result of a look at the queue; `waiting` is the queue's own (approximate) count of messages."""

    messages: Sequence[Received]
    waiting: int
    max_receives: int | None

    @property
    def exhausted(self) -> int:
        """How many messages have been received so often that the remaining receives are kept for consumers."""
        if self.max_receives is None:
            return 0
        return sum(message.receives >= max(1, self.max_receives - KEPT_RECEIVES) for message in self.messages)


def _received(messages: Iterable[MessageTypeDef]) -> list[Received]:
    return [
        Received(message["Body"], message["ReceiptHandle"], int(message["Attributes"]["ApproximateReceiveCount"]))
        for message in messages
    ]


def look(target: Target, limit: int | None = None, *, anyway: bool = False) -> Peek:
    """Look at the output queue as `peek` does, unless earlier looks used up the receives that looking may use.

    Each look counts as a receive, and after `maxReceiveCount` receives SQS moves a message to the dead-letter queue.
    A message's count is known only after receiving it, so the look that comes near the limit writes a marker file into
    the environment's folder. The marker is valid until the queue is empty.

    Raises
    ------
    CommandError
        Another look could move messages to the dead-letter queue; with `anyway` it is made nevertheless.
    """
    sqs, url, marker = target.client("sqs"), target.output("output_queue_url"), target.folder / LOOKED_AT
    made = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["CreatedTimestamp"])["Attributes"]["CreatedTimestamp"]
    if marker.exists() and (marker.read_text() != made or not waiting(sqs, url).total):
        marker.unlink()
    if marker.exists() and not anyway:
        raise CommandError(
            "Messages of the queue have been received so often that another look could move them to its dead-letter "
            "queue, so none is received.",
            "Let the consumers take them; --anyway looks all the same.",
        )
    found = peek(sqs, url, limit)
    if found.exhausted:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(made)
    return found


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


def line(message: Received) -> str:
    """Format a message as one line of markup."""
    fields = message.fields
    customer = terminal.shown(fields.get("customer_reference") or "")
    if fields["type"] == "customer_message":
        orders = terminal.counted(fields["number_of_orders"], "order")
        total = amount(number_text(fields["total_amount_spent"]))
        return f"[green]customer[/]  {customer:<24} {orders:>12} {total:>16}"
    if fields["type"] == "customer_removed":
        return f"[yellow]removed[/]   {customer}"
    return f"[red]error[/]     {terminal.shown(fields.get('message'))}"
