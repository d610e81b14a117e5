"""Move the messages in the dead-letter queues back to their source queues."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ParamValidationError
from pipeline.aws.clients import error_code

from pipeline_cli.deployment.dead_letters import receive_all
from pipeline_cli.deployment.queues import name as queue_name
from pipeline_cli.deployment.queues import put_back, waiting
from pipeline_cli.output.errors import CommandError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from pipeline_cli.terraform.target import Target

QUEUES = {"ingest_dead_letter_queue_url": "ingest_queue_url", "output_dead_letter_queue_url": "output_queue_url"}
"""Terraform output with the URL of a dead-letter queue → output with the URL of its source queue."""

NO_MOVE_TASKS = {
    "InvalidAction",
    "UnsupportedOperation",
    "AWS.SimpleQueueService.UnsupportedOperation",
    "UnknownOperation",
}
MOVE_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Redriven:
    """How many messages were moved from a dead-letter queue back to its source, and how many are left.

    `failed` has the reason for each message that could not be sent. The other remaining messages are hidden, as another
    receiver has them.
    """

    queue: str
    source: str
    moved: int
    left: int
    failed: tuple[str, ...] = ()


def redrive(
    sqs: SQSClient, dead_letter_url: str, source_url: str, sleep: Callable[[float], None] = time.sleep
) -> Redriven:
    """Move all messages of a dead-letter queue back to its source. Safe to repeat."""
    before = waiting(sqs, dead_letter_url).total
    moved, failed = 0, tuple[str, ...]()
    if before:
        try:
            task = sqs.start_message_move_task(
                SourceArn=_arn(sqs, dead_letter_url), DestinationArn=_arn(sqs, source_url)
            )
        except ClientError as error:
            if error_code(error) not in NO_MOVE_TASKS:
                raise
            moved, failed = _move_by_hand(sqs, dead_letter_url, source_url)
        else:
            moved = _await_task(sqs, _arn(sqs, dead_letter_url), task["TaskHandle"], sleep)
    left = waiting(sqs, dead_letter_url).total
    return Redriven(queue_name(dead_letter_url), queue_name(source_url), moved, left, failed)


def _await_task(sqs: SQSClient, arn: str, handle: str, sleep: Callable[[float], None]) -> int:
    deadline = time.monotonic() + MOVE_SECONDS
    while True:
        tasks = sqs.list_message_move_tasks(SourceArn=arn, MaxResults=10)["Results"]
        # SQS returns the handle of running tasks only. If no task has ours, it has ended and is the newest.
        task: Any = next((task for task in tasks if task.get("TaskHandle") == handle), tasks[0] if tasks else {})
        if task.get("Status") == "FAILED":
            raise CommandError(f"SQS could not move the messages: {task.get('FailureReason', 'no reason given')}.")
        moved = int(task.get("ApproximateNumberOfMessagesMoved", 0))
        if task.get("Status") != "RUNNING" or time.monotonic() > deadline:
            return moved
        sleep(1)


def _move_by_hand(sqs: SQSClient, dead_letter_url: str, source_url: str) -> tuple[int, tuple[str, ...]]:
    """Move messages one by one, for an emulator without move tasks: send each, then delete it.

    A message that can't be sent stays and does not stop the others. Return how many were moved, and why others were
    not.
    """
    moved, stays, failed = 0, list[str](), list[str]()
    try:
        for message in receive_all(sqs, dead_letter_url):
            extra: dict[str, Any] = {}
            if source_url.endswith(".fifo"):
                # A new deduplication id: the source queue may still know the first one and would drop the message.
                extra = {
                    "MessageGroupId": message["Attributes"]["MessageGroupId"],
                    "MessageDeduplicationId": f"redrive-{message['MessageId']}",
                }
            try:
                sqs.send_message(
                    QueueUrl=source_url,
                    MessageBody=message["Body"],
                    MessageAttributes=message.get("MessageAttributes", {}),
                    **extra,
                )
            except (ClientError, ParamValidationError) as error:
                stays.append(message["ReceiptHandle"])
                failed.append(f"{message['MessageId']}: {error}")
                continue
            sqs.delete_message(QueueUrl=dead_letter_url, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    finally:
        put_back(sqs, dead_letter_url, stays)
    return moved, tuple(failed)


def _arn(sqs: SQSClient, url: str) -> str:
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def redrive_all(target: Target) -> list[Redriven]:
    """Redrive the dead-letter queues whose messages come from a queue (publish's come from the table's stream)."""
    sqs = target.client("sqs")
    return [redrive(sqs, target.output(dead), target.output(source)) for dead, source in QUEUES.items()]
