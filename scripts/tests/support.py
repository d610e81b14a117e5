"""What the tests of the commands share: a deployed stack, and access to its resources."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline_cli.terraform.target import Target
from support import REGION, Cloud
from typer.testing import Result

QUEUES = {
    "ingest_queue_url": "ingest",
    "ingest_dead_letter_queue_url": "ingest-dead-letter",
    "output_queue_url": "output.fifo",
    "output_dead_letter_queue_url": "output-dead-letter.fifo",
    "publish_dead_letter_queue_url": "publish-dead-letter",
}


FUNCTIONS = ("intake", "transform", "deliver", "finalize", "publish")


class MotoTarget(Target):
    """A target whose clients talk to moto, whatever its endpoint says."""

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION)  # type: ignore[call-overload]


Run = Callable[..., Result]


@dataclass
class Stack:
    """The deployed stack, with access to its resources."""

    target: Target
    cloud: Cloud

    @property
    def bucket(self) -> Bucket:
        return self.cloud.bucket

    @property
    def table(self) -> Table:
        return self.cloud.table

    def client(self, service: str) -> Any:
        return self.target.client(service)

    def url(self, queue: str) -> str:
        return str(self.target.outputs[f"{queue}_queue_url"])

    def put(self, key: str, body: bytes = b"x") -> None:
        self.client("s3").put_object(Bucket=self.bucket.name, Key=key, Body=body)

    def waiting(self, queue: str) -> int:
        attributes = self.client("sqs").get_queue_attributes(QueueUrl=self.url(queue), AttributeNames=["All"])[
            "Attributes"
        ]
        return int(attributes["ApproximateNumberOfMessages"]) + int(attributes["ApproximateNumberOfMessagesNotVisible"])

    def visible(self, queue: str) -> int:
        """The number of messages that can be received now."""
        counts = self.client("sqs").get_queue_attributes(
            QueueUrl=self.url(queue), AttributeNames=["ApproximateNumberOfMessages"]
        )["Attributes"]
        return int(counts["ApproximateNumberOfMessages"])

    def send(self, body: dict[str, Any], group: str = "g", queue: str = "output") -> None:
        text = json.dumps(body)
        fifo = (
            {"MessageGroupId": group, "MessageDeduplicationId": f"{group}-{text}"} if queue.startswith("output") else {}
        )
        self.client("sqs").send_message(QueueUrl=self.url(queue), MessageBody=text, **fifo)

    def limit_receives(self, receives: int) -> None:
        """Let SQS move messages of the output queue to its dead-letter queue after so many receives."""
        sqs, dead = self.client("sqs"), self.url("output_dead_letter")
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
        sqs.set_queue_attributes(QueueUrl=self.url("output"), Attributes={"RedrivePolicy": policy})
