"""publish: turn changes of the table into messages on the output queue."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass

from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import (
    DynamoDBRecord,
    DynamoDBRecordEventName,
)

from pipeline.aws.backoff import Deadline
from pipeline.aws.dynamodb import Table
from pipeline.aws.sqs import Outgoing, Queue, Refusal
from pipeline.model.messages import Message, message_for
from pipeline.observability import logger

_RECORD_FIELDS = ("Keys", "SequenceNumber", "NewImage", "OldImage")


@dataclass(frozen=True, slots=True)
class Published:
    """The outcome of one call.

    Of `messages` messages in total, `sent` were sent and `set_aside` were put into the dead-letter queue. `retry_from`
    is the sequence number of the first record that must be processed again, or None. `batches` lists the days.
    """

    messages: int
    sent: int
    set_aside: int
    retry_from: str | None
    batches: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Change:
    """A stream record that causes a message, and the message."""

    record: DynamoDBRecord
    outgoing: Outgoing

    @property
    def sequence_number(self) -> str:
        return str(self.record.raw_event["dynamodb"]["SequenceNumber"])


def publish(
    records: Sequence[DynamoDBRecord], table: Table, queue: Queue, dead_letters: Queue, deadline: Deadline
) -> Published:
    """Send one message for each record that concerns consumers.

    A message that SQS refuses as the sender's fault would be refused at every attempt. It is put into the dead-letter
    queue with its cause before anything is acknowledged. So it does not block later records, and earlier ones are not
    sent again after the 5 minutes in which the queue drops repetitions.
    """
    changes = _changes(records, table)
    delivery = queue.send([change.outgoing for change in changes], deadline)
    refused = [refusal for refusal in delivery.refused if refusal.index < delivery.accepted_prefix]
    set_aside = _set_aside(changes, refused, dead_letters, deadline)
    done = delivery.accepted_prefix if set_aside == len(refused) else refused[set_aside].index
    return Published(
        messages=len(changes),
        sent=done - set_aside,
        set_aside=set_aside,
        retry_from=changes[done].sequence_number if done < len(changes) else None,
        batches=sorted({change.outgoing.message.batch or "unknown" for change in changes}),
    )


def _changes(records: Sequence[DynamoDBRecord], table: Table) -> list[_Change]:
    """Pair each record that has a message with it, in the order of the records."""

    @functools.cache
    def version_of(batch: str) -> str | None:
        entry = table.get_ledger(batch)
        return entry.version if entry else None

    changes = []
    for record in records:
        change = record.dynamodb
        if record.event_name is DynamoDBRecordEventName.REMOVE or change is None:
            continue  # a removal is announced by its `removed` item; purge and expiry are not announced
        message = message_for(change.new_image, change.old_image or None)
        if message is not None:
            version = version_of(message.batch) if message.batch else None
            outgoing = Outgoing(message, deduplication_id=str(record.event_id), version=version)
            changes.append(_Change(record, outgoing))
    return changes


def _set_aside(changes: Sequence[_Change], refused: Sequence[Refusal], dead_letters: Queue, deadline: Deadline) -> int:
    """Put refused messages into the dead-letter queue; return how many of them, from the first, were accepted."""
    for refusal in refused:
        logger().error(
            "message set aside: the queue refuses it",
            sequence_number=changes[refusal.index].sequence_number,
            code=refusal.code,
            reason=refusal.reason,
        )
    stored = dead_letters.send([_dead_letter(changes[refusal.index], refusal) for refusal in refused], deadline)
    return min([stored.accepted_prefix, *(refusal.index for refusal in stored.refused)])


def _dead_letter(change: _Change, refusal: Refusal) -> Outgoing:
    """Return a message for the dead-letter queue: the cause, and the fields of the record that `redrive` needs."""
    fields = change.record.raw_event["dynamodb"]
    body = {
        "cause": {"code": refusal.code, "message": refusal.reason},
        "record": {name: fields[name] for name in _RECORD_FIELDS if name in fields},
    }
    sent = change.outgoing
    message = Message(json.dumps(body), change.sequence_number, sent.message.id, sent.message.batch)
    return Outgoing(message, sent.deduplication_id, sent.version)
