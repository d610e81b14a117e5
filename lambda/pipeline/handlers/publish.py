"""λ publish: send the output queue one message for every change of a result or an error."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBStreamEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from pipeline.aws.backoff import seconds_left
from pipeline.aws.dynamodb import Table
from pipeline.aws.sqs import Queue
from pipeline.errors import ThrottledError
from pipeline.observability import Metric, count, instrument, logger
from pipeline.settings import PublishSettings, read_settings
from pipeline.stages.publish import outgoing_messages


@instrument
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Send one message for each record of the table's stream that means something to a consumer.

    The stream keeps a record until this function has taken it: on a failure Lambda comes back with the first record
    that was not sent. What was sent a second time is dropped by the queue, as the deduplication id is the record's.
    """
    settings = read_settings(PublishSettings)
    records = list(DynamoDBStreamEvent(event).records)
    outgoing = outgoing_messages(records, Table(settings.table_name))
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
