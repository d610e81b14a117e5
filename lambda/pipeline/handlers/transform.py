"""λ transform: read, validate and join one set of files into chunk files for delivery."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from pipeline.observability import instrument
from pipeline.settings import TransformSettings, read_settings
from pipeline.stages.run import Run
from pipeline.stages.transform import transform


@instrument
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Turn the files that the state machine names into chunks of table writes, and return the manifest's key."""
    settings = read_settings(TransformSettings)
    bucket, table = Bucket(settings.bucket_name), Table(settings.table_name)
    return transform(Run.from_event(event), bucket, table, Workflow(settings.state_machine_arn), settings)
