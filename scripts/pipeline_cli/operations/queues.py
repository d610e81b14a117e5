"""How many messages a queue holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


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


def name(url: str) -> str:
    """Return a queue's name from its URL."""
    return url.rsplit("/", 1)[-1]
