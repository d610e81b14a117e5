"""SQS queues: count, receive and put back messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ParamValidationError

from pipeline_cli.output.errors import CommandError

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


def name(url: str) -> str:
    """Return a queue's name from its URL."""
    return url.rsplit("/", 1)[-1]


def waiting(sqs: SQSClient, url: str) -> int:
    """Return how many messages a queue has (SQS counts approximately): visible, hidden and delayed ones."""
    names: Any = [f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed")]
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(count) for count in counts.values())


def receive(
    sqs: SQSClient, url: str, limit: int | None = None, hidden_seconds: int = HIDDEN_SECONDS
) -> Iterator[list[MessageTypeDef]]:
    """Yield each message of a queue once, up to 10 at a time, until all are read or `limit` is reached.

    The caller deletes the messages or makes them visible again.
    """
    seen: set[str] = set()
    while limit is None or len(seen) < limit:
        messages = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=BATCH_ENTRIES if limit is None else min(BATCH_ENTRIES, limit - len(seen)),
            VisibilityTimeout=hidden_seconds,
            WaitTimeSeconds=1,  # a long poll queries all servers: an empty reply means an empty queue
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        new = [message for message in messages if message["MessageId"] not in seen]
        if not new:
            return
        seen |= {message["MessageId"] for message in new}
        yield new


def receive_each(sqs: SQSClient, url: str, hidden_seconds: int = HIDDEN_SECONDS) -> Iterator[MessageTypeDef]:
    """Yield each message of a queue once, as `receive` does."""
    return chain.from_iterable(receive(sqs, url, hidden_seconds=hidden_seconds))


def settle(
    sqs: SQSClient, url: str, send: Callable[[MessageTypeDef], None], hidden_seconds: int = HIDDEN_SECONDS
) -> tuple[int, dict[str, Exception]]:
    """Pass each message of a dead-letter queue to `send`, then delete it; return how many, and the failures by id.

    A message for which `send` fails stays, visible again in the end, and does not stop the others.
    """
    done, stays, failed = 0, list["MessageTypeDef"](), dict[str, Exception]()
    try:
        for message in receive_each(sqs, url, hidden_seconds):
            try:
                send(message)
            except (ClientError, ParamValidationError, CommandError, KeyError, TypeError, ValueError) as error:
                stays.append(message)
                failed[message["MessageId"]] = error
                continue
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            done += 1
    finally:
        put_back(sqs, url, stays)
    return done, failed


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


def put_back(sqs: SQSClient, url: str, messages: Sequence[MessageTypeDef]) -> int:
    """Make messages visible again; return for how many this failed. Those become visible after their timeout."""
    return in_tens(
        [message["ReceiptHandle"] for message in messages],
        lambda entries: sqs.change_message_visibility_batch(
            QueueUrl=url, Entries=[entry | {"VisibilityTimeout": 0} for entry in entries]
        ),
    )
