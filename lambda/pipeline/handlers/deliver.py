"""λ deliver: write one chunk of results into the table."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from pipeline.aws.backoff import Deadline
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.errors import SupersededError
from pipeline.observability import Metric, count, instrument, logger
from pipeline.settings import DeliverSettings, read_settings
from pipeline.stages.deliver import deliver


@instrument
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Write the chunk that the state machine names, unless the run is superseded.

    If DynamoDB does not accept all writes in time, the function fails, and the state machine retries the chunk.
    """
    settings = read_settings(DeliverSettings)
    table, bucket = Table(settings.table_name), Bucket(settings.bucket_name)
    execution, chunk = event["execution"], event["chunk"]
    deadline = Deadline.of_invocation(context.get_remaining_time_in_millis)
    try:
        written = deliver(table, bucket, event["batch"], execution, chunk, deadline)
    except SupersededError as error:
        logger().info("nothing written", execution=execution, chunk=chunk["key"], reason=str(error))
        return {"written": 0}  # expected: finalize closes the run as superseded
    count(Metric.ITEMS_WRITTEN, written)
    logger().info("chunk written", execution=execution, chunk=chunk["key"], items=written)
    return {"written": written}
