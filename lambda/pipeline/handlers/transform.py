"""λ transform: read, validate and join one set of files into chunk files for delivery."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from pipeline.errors import SupersededError
from pipeline.observability import instrument
from pipeline.settings import TransformSettings, read_settings
from pipeline.stages.large_day import load_result
from pipeline.stages.run import Run
from pipeline.stages.store import bounded, report_counts, superseded
from pipeline.stages.transform import transform


@instrument
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Turn the files that the state machine names into chunks of table writes, and say what to do `next`.

    For a large day, the state machine calls the function again after the job: with `job_run`, Glue's description of it.
    With `too_large` an earlier call was killed or timed out, so that only the job is left.
    """
    settings, run = read_settings(TransformSettings), Run.from_event(event)
    bucket, table = Bucket(settings.bucket_name), Table(settings.table_name)
    try:
        if "job_run" in event:
            reply = load_result(run, event["job_run"], bucket, table)
        else:
            workflow, too_large = Workflow(settings.state_machine_arn), bool(event.get("too_large"))
            reply = transform(run, bucket, table, workflow, settings, too_large=too_large)
    except SupersededError:
        return superseded(run)  # expected: the newer run waits for the end of this one
    if reply["next"] == "DONE":
        report_counts(run, reply)
    return bounded(reply)
