"""The output queue: messages are sent in order within a group, and failures are handled per entry."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.aws.backoff import Clock, attempts
from pipeline.aws.bodies import write_bodies
from pipeline.aws.clients import client
from pipeline.aws.parallel import callers
from pipeline.model.messages import Message

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

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
    """A message that SQS permanently refuses as the sender's fault; `place` is its index among the given messages."""

    place: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """The outcome of sending messages.

    The first `taken` messages were accepted or are listed in `refused`; the next one was not accepted in time.
    `refused` may also list messages after that one.
    """

    taken: int
    refused: tuple[Refusal, ...] = ()


class Queue:
    """A queue to send to; it is FIFO if its name ends in `.fifo`."""

    def __init__(self, url: str, sqs: SQSClient | None = None) -> None:
        self.url = url
        self._fifo = url.endswith(".fifo")
        self._sqs: SQSClient = sqs or client("sqs")
        write_bodies(self._sqs, "SendMessageBatch", _body)

    def send(self, messages: Sequence[Outgoing], left: Clock) -> Delivery:
        """Send messages, in order within each group, and return how many were accepted or refused.

        If a message was not accepted in time, later ones may have been accepted; when the caller sends them again, the
        queue drops them by their deduplication ids. Calls run concurrently as long as no group occurs in two of them:
        a message is sent only when no earlier message of its group is pending. Refused messages block no others.
        """
        batches = list(_batches(messages))
        taken = 0
        refused: list[Refusal] = []
        with callers(len(batches)) as call:
            for wave in _waves(batches):
                for batch, done in zip(wave, call(lambda batch: self._send_batch(batch, left), wave), strict=True):
                    refused += [replace(refusal, place=refusal.place + taken) for refusal in done.refused]
                    taken += done.taken
                    if done.taken < len(batch):
                        return Delivery(taken, tuple(refused))
        return Delivery(taken, tuple(refused))

    def _send_batch(self, batch: Sequence[Outgoing], left: Clock) -> Delivery:
        """Send up to 10 messages."""
        todo = {number: self._entry(number, outgoing) for number, outgoing in enumerate(batch)}
        refused: dict[int, Refusal] = {}
        for _ in attempts(left):
            entries: list[Any] = list(todo.values())
            reply = self._sqs.send_message_batch(QueueUrl=self.url, Entries=entries)
            failed = {int(entry["Id"]): entry for entry in reply.get("Failed", ())}
            for number, entry in failed.items():
                if entry["SenderFault"]:
                    refused[number] = Refusal(number, entry["Code"], entry.get("Message", ""))
            todo = {number: todo[number] for number in failed if number not in refused}
            if not todo:
                break
        return Delivery(min(todo, default=len(batch)), tuple(refused[number] for number in sorted(refused)))

    def _entry(self, number: int, outgoing: Outgoing) -> bytes:
        """Return an entry of a call as JSON, built from a template, as entries differ only in their values."""
        message = outgoing.message
        texts = {
            "batch": message.batch or "unknown",
            "version": outgoing.version or "unknown",
            "message_id": message.id,
        }
        attributes = ",".join(
            f'"{name}":{{"DataType":"String","StringValue":{_quote(text)}}}' for name, text in texts.items()
        )
        if message.refused_records:
            attributes += f',"refused_records":{{"DataType":"Number","StringValue":"{message.refused_records}"}}'
        fifo = (
            f',"MessageGroupId":{_quote(message.group)},"MessageDeduplicationId":{_quote(outgoing.deduplication_id)}'
            if self._fifo
            else ""
        )
        body = _quote(message.body)
        return f'{{"Id":"{number}","MessageBody":{body},"MessageAttributes":{{{attributes}}}{fifo}}}'.encode()


_quote = json.JSONEncoder().encode


def _body(params: dict[str, Any]) -> bytes | None:
    """Return the body of a SendMessageBatch call whose entries are JSON; None for any other call."""
    entries = params["Entries"]
    if not all(isinstance(entry, bytes) for entry in entries):
        return None
    params["Entries"] = []
    return b'{"QueueUrl":%s,"Entries":[%s]}' % (_quote(params["QueueUrl"]).encode(), b",".join(entries))


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
