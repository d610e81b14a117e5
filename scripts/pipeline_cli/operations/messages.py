"""Look at what waits in the output queue, or take it out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipeline.model.messages import number_text

from pipeline_cli.output import terminal
from pipeline_cli.output.errors import CommandError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH_ENTRIES = 10
HIDDEN_SECONDS = 120
"""How long a received message stays hidden from others: longer than a look at the queue takes."""

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
    def worn(self) -> int:
        """How many messages have been received so often that the dead-letter queue is near."""
        limit = self.max_receives
        return 0 if limit is None else sum(message.receives >= limit - 1 for message in self.messages)


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


def peek(sqs: SQSClient, url: str, limit: int | None = None) -> Peek:
    """Look at messages and leave them where they are.

    While a message is looked at, a FIFO queue holds back what follows in its group, so of a group no more than its
    first 10 messages show. A look counts as a receive.
    """
    attributes = sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages", "RedrivePolicy"]
    )["Attributes"]
    policy = json.loads(attributes.get("RedrivePolicy", "{}"))
    max_receives = int(policy["maxReceiveCount"]) if "maxReceiveCount" in policy else None
    seen: list[Received] = []
    try:
        for batch in receive(sqs, url, limit):
            seen += batch
    finally:
        _in_tens(
            seen,
            lambda entries: sqs.change_message_visibility_batch(
                QueueUrl=url, Entries=[entry | {"VisibilityTimeout": 0} for entry in entries]
            ),
            f"could not be put back; they come back by themselves in {terminal.duration(HIDDEN_SECONDS)}",
        )
    return Peek(seen, int(attributes["ApproximateNumberOfMessages"]), max_receives)


def drain(sqs: SQSClient, url: str, take: Callable[[Received], None], limit: int | None = None) -> int:
    """Take messages out of the queue; each is deleted only after `take` has had it. Returns how many."""
    count = 0
    for batch in receive(sqs, url, limit):
        for message in batch:
            take(message)
        _in_tens(
            batch,
            lambda entries: sqs.delete_message_batch(QueueUrl=url, Entries=entries),
            "were shown but could not be deleted; they will come again",
        )
        count += len(batch)
    return count


def _in_tens(messages: Sequence[Received], call: Callable[[list[Any]], Any], otherwise: str) -> None:
    failed = 0
    for start in range(0, len(messages), BATCH_ENTRIES):
        entries = [
            {"Id": str(number), "ReceiptHandle": message.receipt}
            for number, message in enumerate(messages[start : start + BATCH_ENTRIES])
        ]
        # SQS answers 200 also where some entries failed (SQS API reference, batch actions).
        failed += len(call(entries).get("Failed", ()))
    if failed:
        raise CommandError(f"{terminal.counted(failed, 'message')} {otherwise}.")


def line(message: Received) -> str:
    """Put a message into one line of markup for a person."""
    fields = message.fields
    customer = terminal.shown(fields.get("customer_reference") or "")
    if fields["type"] == "customer_message":
        orders = terminal.counted(fields["number_of_orders"], "order")
        total = number_text(fields["total_amount_spent"])
        return f"[green]customer[/]  {customer:<24} {orders:>12} {total:>16}"
    if fields["type"] == "customer_removed":
        return f"[yellow]removed[/]   {customer}"
    return f"[red]error[/]     {terminal.shown(fields.get('message'))}"
