"""publish: what the changes of the table mean to the consumers of the output queue."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import (
    DynamoDBRecord,
    DynamoDBRecordEventName,
)

from pipeline.aws.dynamodb import Table
from pipeline.aws.sqs import Outgoing
from pipeline.model.messages import message_for


def outgoing_messages(records: Sequence[DynamoDBRecord], table: Table) -> list[tuple[str, Outgoing]]:
    """Pair the message of each stream record that has one with the record's sequence number, in the records' order."""
    version_of = _versions(table)
    outgoing = []
    for record in records:
        change = record.dynamodb
        if record.event_name is DynamoDBRecordEventName.REMOVE or change is None:
            continue  # items go after their end was announced, or by purge and expiry, which announce nothing
        message = message_for(change.new_image, change.old_image or None)
        if message is not None:
            version = version_of(message.batch)
            outgoing.append((str(change.sequence_number), Outgoing(message, str(record.event_id), version)))
    return outgoing


def _versions(table: Table) -> Callable[[str | None], str | None]:
    """Look up, once for each batch, which set of files is the current one."""

    @functools.cache
    def version_of(batch: str | None) -> str | None:
        entry = table.get_ledger(batch) if batch else None
        return entry.version if entry else None

    return version_of
