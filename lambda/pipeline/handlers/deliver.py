"""λ deliver: write one chunk of results into the table."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from pipeline.aws.backoff import seconds_left
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.ledger import ensure_wanted
from pipeline.observability import Metric, count, instrument, logger
from pipeline.settings import DeliverSettings, read_settings


@instrument
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Write the chunk that the state machine names, unless a newer set of files has taken over.

    Every write states a whole item, so a chunk may be written again: what stands there already makes no change.
    What DynamoDB does not accept in time fails the function, and the state machine tries the chunk again.
    """
    settings = read_settings(DeliverSettings)
    table = Table(settings.table_name)
    ensure_wanted(table.get_ledger(event["batch"]), event["execution"])
    lines = Bucket(settings.bucket_name).lines(event["chunk"]["key"])
    written = table.write(lines, seconds_left(context.get_remaining_time_in_millis))
    count(Metric.ITEMS_WRITTEN, written)
    logger().info("chunk written", execution=event["execution"], chunk=event["chunk"]["key"], items=written)
    return {"written": written}
