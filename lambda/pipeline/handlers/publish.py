"""λ publish: send one message to the output queue for every change of a result or an error."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBStreamEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from pipeline.aws.backoff import Deadline
from pipeline.aws.dynamodb import Table
from pipeline.aws.sqs import Queue
from pipeline.errors import ThrottledError
from pipeline.observability import Metric, count, instrument, logger
from pipeline.settings import PublishSettings, read_settings
from pipeline.stages.publish import publish


@instrument
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Send one message for each record of the table's stream that concerns consumers.

    On a failure Lambda calls again, starting with the first record that was not sent. Messages that are sent twice are
    dropped by the queue, because the deduplication id is the record's event id.
    """
    settings = read_settings(PublishSettings)
    records = list(DynamoDBStreamEvent(event).records)
    table, deadline = Table(settings.table_name), Deadline.of_invocation(context.get_remaining_time_in_millis)
    done = publish(records, table, Queue(settings.queue_url), Queue(settings.dead_letter_queue_url), deadline)
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
