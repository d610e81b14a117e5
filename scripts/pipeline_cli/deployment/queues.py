"""SQS queues: count, receive, put back and delete messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

DEAD_LETTERS = {
    "ingest_dead_letter_queue_url": "intake failed on this event",
    "output_dead_letter_queue_url": "consumers received this message and did not delete it",
    "publish_dead_letter_queue_url": "publish could not send these changes",
}
"""Terraform output with the URL of a dead-letter queue → what a message in it means."""

BATCH_ENTRIES = 10
"""The most messages that one receive or batch call takes (SQS API reference)."""

HIDDEN_SECONDS = 60
"""Visibility timeout of a received message: longer than a look at the queue takes."""

LONG_POLL_SECONDS = 1
"""A long poll queries all servers of the queue, so that an empty answer means an empty queue."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The queue's own, approximate counts of messages: visible, hidden (received, not deleted yet) and delayed."""

    visible: int
    hidden: int
    delayed: int

    @property
    def total(self) -> int:
        """The number of all messages in the queue."""
        return self.visible + self.hidden + self.delayed


def waiting(sqs: SQSClient, url: str) -> Waiting:
    """Read how many messages a queue has."""
    names = ("", "NotVisible", "Delayed")
    counts: Any = sqs.get_queue_attributes(
        QueueUrl=url,
        AttributeNames=[f"ApproximateNumberOfMessages{name}" for name in names],  # type: ignore[misc]
    )["Attributes"]
    return Waiting(*(int(counts.get(f"ApproximateNumberOfMessages{name}", 0)) for name in names))


def receive(
    sqs: SQSClient, url: str, limit: int | None = None, hidden_seconds: int = HIDDEN_SECONDS
) -> Iterator[list[MessageTypeDef]]:
    """Yield up to 10 messages at a time until the queue is empty or `limit` is reached.

    The caller deletes the messages or lets them become visible again.
    """
    left = limit
    while left is None or left > 0:
        messages = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=BATCH_ENTRIES if left is None else min(BATCH_ENTRIES, left),
            VisibilityTimeout=hidden_seconds,
            WaitTimeSeconds=LONG_POLL_SECONDS,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            return
        left = None if left is None else left - len(messages)
        yield messages


def receive_each(sqs: SQSClient, url: str, hidden_seconds: int = HIDDEN_SECONDS) -> Iterator[MessageTypeDef]:
    """Yield each message of a queue once. The caller must delete it or make it visible again."""
    seen: set[str] = set()
    for messages in receive(sqs, url, hidden_seconds=hidden_seconds):
        fresh = [message for message in messages if message["MessageId"] not in seen]
        seen |= {message["MessageId"] for message in fresh}
        yield from fresh
        if not fresh:  # only messages that were received before: the whole queue has been read
            return


def in_tens(receipts: Sequence[str], call: Callable[[list[Any]], Any]) -> int:
    """Call a batch action of SQS with 10 receipt handles at a time; return how many entries failed.

    SQS answers 200 even if some entries failed (SQS API reference, batch actions).
    """
    failed = 0
    for start in range(0, len(receipts), BATCH_ENTRIES):
        group = receipts[start : start + BATCH_ENTRIES]
        reply = call([{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(group)])
        failed += len(reply.get("Failed", ()))
    return failed


def put_back(sqs: SQSClient, url: str, receipts: Sequence[str]) -> int:
    """Make messages visible again; return for how many this failed. Those become visible after their timeout."""
    return in_tens(
        receipts,
        lambda entries: sqs.change_message_visibility_batch(
            QueueUrl=url, Entries=[entry | {"VisibilityTimeout": 0} for entry in entries]
        ),
    )


def name(url: str) -> str:
    """Return a queue's name from its URL."""
    return url.rsplit("/", 1)[-1]
