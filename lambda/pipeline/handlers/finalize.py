"""λ finalize: close the ledger entry of a run, however the run ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from pipeline.observability import instrument
from pipeline.settings import FinalizeSettings, read_settings
from pipeline.stages.failures import close_ended_runs, is_check, with_chunk_error
from pipeline.stages.finalize import finalize


@instrument
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Close the run that the event names.

    The event comes from the state machine, or from EventBridge if Step Functions ended the run. The scheduled event
    closes all runs for which neither of them arrived.
    """
    settings = read_settings(FinalizeSettings)
    table, bucket = Table(settings.table_name), Bucket(settings.bucket_name)
    workflow = Workflow(settings.state_machine_arn)
    now, writer_grace = datetime.now(UTC), timedelta(seconds=settings.writer_grace_seconds)
    if is_check(event):
        return {"closed": close_ended_runs(table, bucket, workflow, now, writer_grace)}
    return {"state": finalize(table, bucket, with_chunk_error(event, workflow), now, writer_grace)}
