"""Look at what waits in the output queue, or take it out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipeline.model.messages import number_text

from pipeline_cli.operations.queues import BATCH_ENTRIES, in_tens, put_back, waiting
from pipeline_cli.output import terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.summary import amount

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from pipeline_cli.deploy.target import Target

HIDDEN_SECONDS = 60
"""How long a received message stays hidden from others: longer than a look at the queue takes."""

LOOKED_AT = "looked-at"
"""The file in an environment's folder that says that the queue's messages take no further look."""

KEPT_RECEIVES = 2
"""Receives that looking leaves to the consumers before SQS sets a message aside."""

LONG_POLL_SECONDS = 1
"""A long poll asks all of the queue's servers: empty is then empty."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it came out of the queue; `receives` counts how often it has come out."""

    body: str
    receipt: str
    receives: int

    @property
    def fields(self) -> dict[str, Any]:
        """The body's fields, numbers exactly; a body that is no JSON object is its own message."""
        try:
            found = json.loads(self.body, parse_float=Decimal)
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {"type": "?", "message": self.body}


@dataclass(frozen=True, slots=True)
class Peek:
    """What a look at the queue showed; `waiting` is the queue's own (approximate) count of messages."""

    messages: Sequence[Received]
    waiting: int
    max_receives: int | None

    @property
    def exhausted(self) -> int:
        """How many messages have been received so often that no look may follow: the rest is for consumers."""
        if self.max_receives is None:
            return 0
        return sum(message.receives >= max(1, self.max_receives - KEPT_RECEIVES) for message in self.messages)


def receive(sqs: SQSClient, url: str, limit: int | None = None) -> Iterator[list[Received]]:
    """Receive until nothing more comes or `limit` is reached, up to 10 messages at a time.

    Whoever iterates deletes the messages, or lets them become visible again.
    """
    left = limit
    while left is None or left > 0:
        reply = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=BATCH_ENTRIES if left is None else min(BATCH_ENTRIES, left),
            VisibilityTimeout=HIDDEN_SECONDS,
            WaitTimeSeconds=LONG_POLL_SECONDS,
            AttributeNames=["ApproximateReceiveCount"],
        )
        found = [
            Received(message["Body"], message["ReceiptHandle"], int(message["Attributes"]["ApproximateReceiveCount"]))
            for message in reply.get("Messages", ())
        ]
        if not found:
            return
        left = None if left is None else left - len(found)
        yield found


def look(target: Target, limit: int | None = None, *, anyway: bool = False) -> Peek:
    """Look at the output queue as `peek` does, unless an earlier look used up what looking may.

    Each look is a receive, and after `maxReceiveCount` receives SQS moves a message to the dead-letter queue. The
    receive count is only known by receiving, so the look that comes near it leaves a marker file in the environment's
    folder, which stands until the queue was empty.

    Raises
    ------
    CommandError
        Messages have been received so often that another look could move them; `anyway` looks all the same.
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
    """Look at messages and leave them where they are; stop where one has been received too often already.

    While a message is looked at, a FIFO queue holds back what follows in its group, so of a group no more than its
    first 10 messages show. A look counts as a receive.
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
            seen += batch
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
    """Take messages out of the queue; each is deleted only after `take` has had it. Returns how many."""
    count = 0
    for batch in receive(sqs, url, limit):
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
    """Put a message into one line of markup for a person."""
    fields = message.fields
    customer = terminal.shown(fields.get("customer_reference") or "")
    if fields["type"] == "customer_message":
        orders = terminal.counted(fields["number_of_orders"], "order")
        total = amount(number_text(fields["total_amount_spent"]))
        return f"[green]customer[/]  {customer:<24} {orders:>12} {total:>16}"
    if fields["type"] == "customer_removed":
        return f"[yellow]removed[/]   {customer}"
    return f"[red]error[/]     {terminal.shown(fields.get('message'))}"
