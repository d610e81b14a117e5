"""λ intake: when all files of a day have arrived, start one run for exactly this set."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.typing import LambdaContext

from pipeline.aws.backoff import Deadline
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from pipeline.events import due_batch, is_from_queue
from pipeline.observability import instrument
from pipeline.settings import IntakeSettings, read_settings
from pipeline.stages.intake import Intake


@instrument
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle S3 events (from the ingest queue, or directly from S3 or EventBridge) and the scheduled check.

    A message that fails stays in the queue, is received again after the visibility timeout, and finally moves to the
    dead-letter queue. With one message per batch this also works if the event source mapping ignores
    `batchItemFailures`, because the function fails when all messages of a batch fail.
    """
    settings = read_settings(IntakeSettings)
    intake = Intake(
        Bucket(settings.bucket_name),
        Table(settings.table_name),
        Workflow(settings.state_machine_arn),
        settings,
        Deadline.of_invocation(context.get_remaining_time_in_millis),
    )
    due = due_batch(event, settings.due_days)
    if due is not None:
        intake.check_due(due)
        return {}
    if not is_from_queue(event):
        intake.receive(event)
        return {}
    processor = BatchProcessor(event_type=EventType.SQS)
    return dict(
        process_partial_response(
            event=event, record_handler=intake.receive_message, processor=processor, context=context
        )
    )
