"""λ publish: tell the output queue about every change of a result or an error."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import (
    DynamoDBRecord,
    DynamoDBRecordEventName,
    DynamoDBStreamEvent,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

from pipeline.aws.backoff import seconds_left
from pipeline.aws.dynamodb import Table
from pipeline.aws.sqs import Outgoing, Queue
from pipeline.data_model import message_for
from pipeline.errors import ThrottledError
from pipeline.observability import Metric, count, instrument, logger
from pipeline.settings import PublishSettings, read_settings


@instrument
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Send one message for each record of the table's stream that means something to a consumer.

    The stream keeps a record until this function has taken it: on a failure Lambda comes back with the first record
    that was not sent. What was sent a second time is dropped by the queue, as the deduplication id is the record's.
    """
    settings = read_settings(PublishSettings)
    records = list(DynamoDBStreamEvent(event).records)
    outgoing = _outgoing(records, _versions(Table(settings.table_name)))
    sent = Queue(settings.queue_url).send(
        [message for _, message in outgoing], seconds_left(context.get_remaining_time_in_millis)
    )
    count(Metric.MESSAGES_SENT, sent)
    batches = sorted({message.message.batch or "unknown" for _, message in outgoing})
    logger().info("messages sent", records=len(records), messages=sent, batches=batches)
    if sent == len(outgoing):
        return {"batchItemFailures": []}
    if not settings.partial_batch_responses:
        raise ThrottledError(f"{len(outgoing) - sent} of {len(outgoing)} messages were not accepted")
    return {"batchItemFailures": [{"itemIdentifier": outgoing[sent][0]}]}


def _outgoing(
    records: Sequence[DynamoDBRecord], version_of: Callable[[str | None], str | None]
) -> list[tuple[str, Outgoing]]:
    """Pair each message with the sequence number of the stream record that it comes from."""
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
