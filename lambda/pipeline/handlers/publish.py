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
from pipeline.stages.publish import publish


@instrument
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Send one message for each record of the table's stream that means something to a consumer.

    The stream keeps a record until this function has taken it: on a failure Lambda comes back with the first record
    that was not sent. What was sent a second time is dropped by the queue, as the deduplication id is the record's.
    """
    settings = read_settings(PublishSettings)
    records = list(DynamoDBStreamEvent(event).records)
    table, left = Table(settings.table_name), seconds_left(context.get_remaining_time_in_millis)
    done = publish(records, table, Queue(settings.queue_url), Queue(settings.dead_letter_queue_url), left)
    count(Metric.MESSAGES_SENT, done.sent)
    logger().info(
        "messages sent", records=len(records), messages=done.sent, set_aside=done.set_aside, batches=done.batches
    )
    if done.retry_from is None:
        return {"batchItemFailures": []}
    if not settings.partial_batch_responses:
        missing = done.messages - done.sent - done.set_aside
        raise ThrottledError(f"{missing} of {done.messages} messages were not accepted")
    return {"batchItemFailures": [{"itemIdentifier": done.retry_from}]}
