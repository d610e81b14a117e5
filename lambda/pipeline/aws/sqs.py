"""The output queue: messages are sent in order within a group, and failures are handled per entry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.aws.backoff import Deadline, attempts
from pipeline.aws.clients import client
from pipeline.aws.parallel import parallel_map
from pipeline.model.messages import Message

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef, SendMessageBatchRequestEntryTypeDef

BATCH_ENTRIES = 10
BATCH_BYTES = 1024 * 1024
"""Limits of a SendMessageBatch call (SQS quotas: 10 messages, 1 MiB in total)."""

_ATTRIBUTE_BYTES = 512
"""Upper bound for the size of a message's attributes, which count towards the size of a call."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send.

    The queue drops messages that repeat a `deduplication_id` within 5 minutes. `version` is the version of the set of
    files that the message comes from, if known.
    """

    message: Message
    deduplication_id: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that SQS permanently refuses as the sender's fault; `index` is its place among the given messages."""

    index: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """The outcome of sending messages.

    The first `accepted_prefix` messages were accepted or are in `refused`; the next one was not accepted in time.
    `refused` may also list messages after that one.
    """

    accepted_prefix: int
    refused: tuple[Refusal, ...] = ()


class Queue:
    """A queue to send to; it is FIFO if its name ends in `.fifo`."""

    def __init__(self, url: str, sqs: SQSClient | None = None) -> None:
        self.url = url
        self._fifo = url.endswith(".fifo")
        self._sqs: SQSClient = sqs or client("sqs")

    def send(self, messages: Sequence[Outgoing], deadline: Deadline) -> Delivery:
        """Send messages, in order within each group, and return how many were accepted or refused.

        If a message was not accepted in time, later ones may have been accepted; when the caller sends them again, the
        queue drops them by their deduplication ids. Calls run concurrently as long as no group occurs in two of them:
        a message is sent only when no earlier message of its group is pending. Refused messages block no others.
        """
        accepted = 0
        refused: list[Refusal] = []
        for wave in _waves(_batches(messages)):
            deliveries = parallel_map(lambda batch: self._send_batch(batch, deadline), wave)
            for batch, delivery in zip(wave, deliveries, strict=True):
                refused += [replace(refusal, index=refusal.index + accepted) for refusal in delivery.refused]
                accepted += delivery.accepted_prefix
                if delivery.accepted_prefix < len(batch):
                    return Delivery(accepted, tuple(refused))
        return Delivery(accepted, tuple(refused))

    def _send_batch(self, batch: Sequence[Outgoing], deadline: Deadline) -> Delivery:
        """Send up to 10 messages."""
        todo = {number: self._entry(number, outgoing) for number, outgoing in enumerate(batch)}
        refused: dict[int, Refusal] = {}
        for _ in attempts(deadline):
            reply = self._sqs.send_message_batch(QueueUrl=self.url, Entries=list(todo.values()))
            failed = {int(entry["Id"]): entry for entry in reply.get("Failed", ())}
            for number, entry in failed.items():
                if entry["SenderFault"]:
                    refused[number] = Refusal(number, entry["Code"], entry.get("Message", ""))
            todo = {number: todo[number] for number in failed if number not in refused}
            if not todo:
                break
        return Delivery(min(todo, default=len(batch)), tuple(refused[number] for number in sorted(refused)))

    def _entry(self, number: int, outgoing: Outgoing) -> SendMessageBatchRequestEntryTypeDef:
        """Return an entry of a call; its id is its number."""
        message = outgoing.message
        attributes: dict[str, MessageAttributeValueTypeDef] = {
            "batch": {"DataType": "String", "StringValue": message.batch or "unknown"},
            "version": {"DataType": "String", "StringValue": outgoing.version or "unknown"},
            "message_id": {"DataType": "String", "StringValue": message.id},
        }
        if message.refused_records:
            attributes["refused_records"] = {"DataType": "Number", "StringValue": str(message.refused_records)}
        entry: SendMessageBatchRequestEntryTypeDef = {
            "Id": str(number),
            "MessageBody": message.body,
            "MessageAttributes": attributes,
        }
        if self._fifo:
            entry["MessageGroupId"] = message.group
            entry["MessageDeduplicationId"] = outgoing.deduplication_id
        return entry


def _batches(messages: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    """Divide messages into calls.

    A group occurs at most once per call: entries of a call succeed or fail independently, so otherwise a later message
    of a group could overtake an earlier one.
    """
    batch: list[Outgoing] = []
    groups: set[str] = set()
    size = 0
    for outgoing in messages:
        weight = len(outgoing.message.body.encode()) + _ATTRIBUTE_BYTES
        if len(batch) == BATCH_ENTRIES or size + weight > BATCH_BYTES or outgoing.message.group in groups:
            yield batch
            batch, groups, size = [], set(), 0
        batch.append(outgoing)
        groups.add(outgoing.message.group)
        size += weight
    if batch:
        yield batch


def _waves(batches: Iterable[list[Outgoing]]) -> Iterator[list[list[Outgoing]]]:
    """Collect consecutive calls that may run concurrently; a group that occurred already starts a new wave."""
    wave: list[list[Outgoing]] = []
    groups: set[str] = set()
    for batch in batches:
        coming = {outgoing.message.group for outgoing in batch}
        if groups & coming:
            yield wave
            wave, groups = [], set()
        wave.append(batch)
        groups |= coming
    if wave:
        yield wave
