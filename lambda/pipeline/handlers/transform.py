"""λ transform: read, validate and join one set of files into chunk files for delivery."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from pipeline.observability import instrument
from pipeline.settings import TransformSettings, read_settings
from pipeline.stages.large_day import collect
from pipeline.stages.run import Run
from pipeline.stages.store import report_counts
from pipeline.stages.transform import transform


@instrument
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Turn the files that the state machine names into chunks of table writes, and return the manifest's key.

    For a large day, the state machine calls the function again after the job: with `job_run`, Glue's description of it.
    """
    settings, run = read_settings(TransformSettings), Run.from_event(event)
    bucket, table = Bucket(settings.bucket_name), Table(settings.table_name)
    if "job_run" in event:
        reply = collect(run, event["job_run"], bucket, table)
    else:
        reply = transform(run, bucket, table, Workflow(settings.state_machine_arn), settings)
    report_counts(run, reply)
    return reply
