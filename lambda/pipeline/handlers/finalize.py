"""λ finalize: close the ledger entry of a run, whichever way the run ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.observability import instrument
from pipeline.settings import FinalizeSettings, read_settings
from pipeline.stages.finalize import finalize


@instrument
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:  # noqa: ARG001 (Lambda's signature)
    """Close the run that the state machine, or EventBridge for a run that Step Functions ended, tells of."""
    settings = read_settings(FinalizeSettings)
    table, bucket = Table(settings.table_name), Bucket(settings.bucket_name)
    quiet = timedelta(seconds=settings.quiet_seconds)
    return {"state": finalize(table, bucket, event, datetime.now(UTC), quiet)}
