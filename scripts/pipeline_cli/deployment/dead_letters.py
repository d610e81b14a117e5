"""The messages in the dead-letter queues: list them with the cause of their failure, delete one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline_cli.deployment.queues import HIDDEN_SECONDS, name, put_back, receive

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from pipeline_cli.terraform.target import Target

QUEUES = {
    "ingest_dead_letter_queue_url": "intake failed on this event",
    "output_dead_letter_queue_url": "consumers received this message and did not delete it",
    "publish_dead_letter_queue_url": "publish could not send these changes",
}
"""Terraform output with the URL of a dead-letter queue → what a message in it means."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message of a dead-letter queue.

    Attributes
    ----------
    queue
        The queue's name.
    cause
        Why it failed, as far as the message says.
    sent_at
        When it was first sent; in a FIFO queue, when it was moved to the dead-letter queue.
    receipt
        The receipt handle, with which it can be deleted while it is hidden.
    """

    queue: str
    id: str
    cause: str
    sent_at: datetime
    body: str
    receipt: str

    def as_plain(self) -> dict[str, Any]:
        """Return the message as plain values for JSON."""
        return {
            "queue": self.queue,
            "id": self.id,
            "cause": self.cause,
            "sent_at": self.sent_at.isoformat(timespec="seconds"),
            "body": self.body,
        }


@contextmanager
def received(target: Target) -> Iterator[dict[str, list[DeadLetter]]]:
    """Receive the messages of each dead-letter queue, by its URL; they become visible again at the end of the block.

    A dead-letter queue has no dead-letter queue itself, so receiving never moves a message.
    """
    sqs = target.client("sqs")
    found: dict[str, list[DeadLetter]] = {}
    try:
        for output, meaning in QUEUES.items():
            url = target.output(output)
            mine = found[url] = []
            for message in receive_all(sqs, url):
                mine.append(_dead_letter(name(url), meaning, message))
        yield found
    finally:
        for url, mine in found.items():
            put_back(sqs, url, [message.receipt for message in mine])


def receive_all(sqs: SQSClient, url: str, hidden_seconds: int = HIDDEN_SECONDS) -> Iterator[MessageTypeDef]:
    """Yield each message of a queue once. The caller must delete it or make it visible again."""
    seen: set[str] = set()
    for messages in receive(sqs, url, hidden_seconds=hidden_seconds):
        fresh = [message for message in messages if message["MessageId"] not in seen]
        seen |= {message["MessageId"] for message in fresh}
        yield from fresh
        if not fresh:  # only messages that were received before: the whole queue has been read
            return


def delete(target: Target, message_id: str) -> bool:
    """Delete the message with this id; return False if it can't be received now."""
    with received(target) as found:
        for url, mine in found.items():
            for message in mine:
                if message.id == message_id:
                    target.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message.receipt)
                    mine.remove(message)
                    return True
    return False


def _dead_letter(queue: str, meaning: str, message: MessageTypeDef) -> DeadLetter:
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
    """Yield what the message says about its cause: in attributes or, as Lambda and publish do, in its body."""
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
