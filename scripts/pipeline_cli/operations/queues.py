"""Queues: how many messages one holds, and putting back what was only looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


BATCH_ENTRIES = 10
"""Messages that one receive or batch call takes (SQS API reference)."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The queue's own, approximate counts: to be had now, received by somebody but not deleted yet, or delayed."""

    visible: int
    hidden: int
    delayed: int

    @property
    def total(self) -> int:
        """All messages that the queue holds."""
        return self.visible + self.hidden + self.delayed


def waiting(sqs: SQSClient, url: str) -> Waiting:
    """Ask a queue how many messages it holds."""
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
    """Give receipts to a batch action of SQS, 10 a call; return how many it refused.

    SQS answers 200 also where some entries failed (SQS API reference, batch actions).
    """
    failed = 0
    for start in range(0, len(receipts), BATCH_ENTRIES):
        group = receipts[start : start + BATCH_ENTRIES]
        reply = call([{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(group)])
        failed += len(reply.get("Failed", ()))
    return failed


def put_back(sqs: SQSClient, url: str, receipts: Sequence[str]) -> int:
    """Make messages visible again at once; return for how many that failed, which then come back by themselves."""
    return in_tens(
        receipts,
        lambda entries: sqs.change_message_visibility_batch(
            QueueUrl=url, Entries=[entry | {"VisibilityTimeout": 0} for entry in entries]
        ),
    )


def name(url: str) -> str:
    """Return a queue's name from its URL."""
    return url.rsplit("/", 1)[-1]
