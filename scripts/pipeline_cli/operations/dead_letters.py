"""Dead letters: what lies in the dead-letter queues and why, and dropping one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline_cli.operations.queues import BATCH_ENTRIES, name, put_back

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from pipeline_cli.deploy.target import Target

QUEUES = {
    "ingest_dead_letter_queue_url": "intake failed on this event",
    "output_dead_letter_queue_url": "consumers received this message and did not delete it",
    "publish_dead_letter_queue_url": "publish could not send these changes",
}
"""Output that names a dead-letter queue → what a letter in it means."""

HIDDEN_SECONDS = 60
LONG_POLL_SECONDS = 1
"""A long poll asks all of the queue's servers: empty is then empty."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message of a dead-letter queue.

    Attributes
    ----------
    queue
        The queue's name.
    cause
        Why it was set aside, as far as the message says.
    sent_at
        When it was first sent; in a FIFO queue, when it was set aside.
    receipt
        What deletes it, for as long as it is hidden.
    """

    queue: str
    id: str
    cause: str
    sent_at: datetime
    body: str
    receipt: str

    def as_plain(self) -> dict[str, Any]:
        """Return the letter for a machine."""
        return {
            "queue": self.queue,
            "id": self.id,
            "cause": self.cause,
            "sent_at": self.sent_at.isoformat(timespec="seconds"),
            "body": self.body,
        }


@contextmanager
def letters(target: Target) -> Iterator[dict[str, list[DeadLetter]]]:
    """Show the letters of each dead-letter queue, by the queue's URL; they are visible to others again afterwards.

    A dead-letter queue has none of its own, so looking never moves a letter.
    """
    sqs = target.client("sqs")
    found: dict[str, list[DeadLetter]] = {}
    try:
        for output, meaning in QUEUES.items():
            url = target.output(output)
            mine = found[url] = []
            for message in receive_all(sqs, url):
                mine.append(_letter(name(url), meaning, message))
        yield found
    finally:
        for url, mine in found.items():
            put_back(sqs, url, [letter.receipt for letter in mine])


def receive_all(sqs: SQSClient, url: str, hidden_seconds: int = HIDDEN_SECONDS) -> Iterator[MessageTypeDef]:
    """Receive each message of a queue once; whoever iterates deletes it or puts it back."""
    seen: set[str] = set()
    while messages := sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=BATCH_ENTRIES,
        VisibilityTimeout=hidden_seconds,
        WaitTimeSeconds=LONG_POLL_SECONDS,
        AttributeNames=["All"],
        MessageAttributeNames=["All"],
    ).get("Messages"):
        fresh = [message for message in messages if message["MessageId"] not in seen]
        seen |= {message["MessageId"] for message in fresh}
        yield from fresh
        if not fresh:  # the first ones are visible again: the queue is through
            return


def delete(target: Target, letter_id: str) -> bool:
    """Delete the letter with this id; False where it is not to be had now."""
    with letters(target) as found:
        for url, mine in found.items():
            for letter in mine:
                if letter.id == letter_id:
                    target.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=letter.receipt)
                    mine.remove(letter)
                    return True
    return False


def _letter(queue: str, meaning: str, message: MessageTypeDef) -> DeadLetter:
    sent = int(message["Attributes"]["SentTimestamp"]) / 1000
    return DeadLetter(
        queue,
        message["MessageId"],
        "; ".join([meaning, *_details(message)]),
        datetime.fromtimestamp(sent, UTC),
        message["Body"],
        message["ReceiptHandle"],
    )


def _details(message: MessageTypeDef) -> Iterator[str]:
    """Say what the sender noted about the cause: in attributes or, as Lambda and publish do, in the body."""
    for attribute, value in sorted(message.get("MessageAttributes", {}).items()):
        if attribute.lower().replace("_", "") in ("cause", "error", "errorcode", "errormessage"):
            yield str(value.get("StringValue", ""))
    try:
        body = json.loads(message["Body"])
        if "cause" in body:
            yield f"SQS refused its message: {body['cause']['code']} {body['cause']['message']}"
        context = body["requestContext"]
        yield f"{context['condition']} after {context['approximateInvokeCount']} tries"
    except (ValueError, KeyError, TypeError):
        return
