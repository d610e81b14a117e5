"""SQS queues: count messages, and make received messages visible again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


BATCH_ENTRIES = 10
"""The most messages that one receive or batch call takes (SQS API reference)."""


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
    counts = sqs.get_queue_attributes(
        QueueUrl=url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ],
    )["Attributes"]
    return Waiting(
        int(counts["ApproximateNumberOfMessages"]),
        int(counts.get("ApproximateNumberOfMessagesNotVisible", 0)),
        int(counts.get("ApproximateNumberOfMessagesDelayed", 0)),
    )


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
