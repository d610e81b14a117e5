"""What the tests of the functions share: recorded events, Lambda's context, and a small AWS in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import quick_moto
from botocore.config import Config
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.model_instances import reset_model_data
from moto.s3.models import s3_backends
from moto.sqs.models import SQSBackend
from pipeline import observability
from pipeline.aws import clients
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from pipeline.ledger import Ledger

EVENTS = Path(__file__).parent / "events"
BUCKET = "pipeline-test"
TABLE = "pipeline-test"
REGION = "eu-west-1"


def load_event(name: str) -> dict[str, Any]:
    """Read one of the recorded AWS payloads."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


def s3_event(key: str, **changes: Any) -> dict[str, Any]:
    """The S3 event of a stored object; `key` as S3 would write it, URL-encoded."""
    event = load_event("s3_put")
    event["Records"][0]["s3"]["object"] |= {"key": key, **changes}
    return event


def queued(*bodies: dict[str, Any] | str) -> dict[str, Any]:
    """The event of an SQS mapping that carries these bodies."""
    message = load_event("sqs_message")["Records"][0]
    texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    return {
        "Records": [{**message, "messageId": f"message-{number}", "body": text} for number, text in enumerate(texts)]
    }


def result_item(reference: str, amount: str = "1", **more: Any) -> dict[str, Any]:
    """A customer's result as the table holds it, in DynamoDB JSON."""
    return {
        "pk": {"S": f"customer#{reference}"},
        "sk": {"S": "batch#20220131"},
        "customer_reference": {"S": reference},
        "number_of_orders": {"N": "1"},
        "total_amount_spent": {"N": amount},
        **more,
    }


@dataclass
class Context:
    """What Lambda tells a function about its invocation."""

    function_name: str = "test"
    memory_limit_in_mb: int = 1024
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:test"
    aws_request_id: str = "da658bd3-2d6f-4e7b-8ec2-937234644fdc"
    remaining_millis: int = 60_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_millis


@dataclass
class Cloud:
    """The resources that the functions use, with the settings that point to them."""

    bucket: Bucket
    table: Table
    workflow: Workflow
    queue_url: str
    dead_letter_url: str
    s3: Any
    dynamodb: Any
    sqs: Any
    stepfunctions: Any

    def upload(self, name: str, content: bytes = b"", prefix: str = "incoming/") -> None:
        self.s3.put_object(Bucket=BUCKET, Key=f"{prefix}{name}", Body=content)

    def upload_day(self, batch: str = "20220131", suffix: str = "") -> None:
        for kind in ("customers", "orders", "items"):
            self.upload(f"{kind}_{batch}.csv", f"{kind}{suffix}".encode())

    def set_age(self, name: str, seconds: int) -> None:
        """Let a partner's file have been stored so many seconds ago."""
        stored = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[BUCKET].keys[f"incoming/{name}"]
        stored.last_modified = datetime.now() - timedelta(seconds=seconds)

    def entry(self, batch: str = "20220131") -> Ledger:
        """The ledger entry of a batch."""
        entry = self.table.get_ledger(batch)
        assert entry is not None, f"the ledger has no entry of {batch}"
        return entry

    def stop(self, execution: str, **why: str) -> None:
        """Stop a run, as an operator does."""
        self.stepfunctions.stop_execution(executionArn=self.workflow.execution_arn(execution), **why)

    def executions(self) -> dict[str, dict[str, Any]]:
        """Inputs of all runs that were started, by name."""
        runs = self.stepfunctions.list_executions(stateMachineArn=self.workflow.arn)["executions"]
        return {
            run["name"]: json.loads(self.stepfunctions.describe_execution(executionArn=run["executionArn"])["input"])
            for run in runs
        }

    def items(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The table's content by key, in DynamoDB JSON."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=TABLE)
        return {(item["pk"]["S"], item["sk"]["S"]): item for page in pages for item in page["Items"]}

    def received(self, queue_url: str = "") -> list[dict[str, Any]]:
        """Take all messages that can be received from the output queue, or another one, now."""
        url = queue_url or self.queue_url
        taken: list[dict[str, Any]] = []
        while messages := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
        ).get("Messages"):
            taken += messages
            for message in messages:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return taken


def set_credentials(environment: pytest.MonkeyPatch) -> None:
    """Set invalid credentials, and hide those of the machine."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SESSION_TOKEN": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "POWERTOOLS_SERVICE_NAME": "test",
        "POWERTOOLS_METRICS_NAMESPACE": "test",
    }.items():
        environment.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_CA_BUNDLE"):
        environment.delenv(name, raising=False)


_make_client = boto3.client
_shared_clients: dict[tuple[str, Config | None], tuple[Any, tuple[Any, ...]]] = {}


def shared_client(service: str, region_name: str = REGION, config: Config | None = None, **others: Any) -> Any:
    """Stand for `boto3.client`: one client per process, as making one takes longer than most tests.

    A client that a test has changed (a handler registered, a method replaced) is not used again.
    """
    if others or region_name != REGION:
        return _make_client(service, region_name, config=config, **others)  # type: ignore[call-overload]
    client, unchanged = _shared_clients.get((service, config), (None, ()))
    if client is None or _state(client) != unchanged:
        client = _make_client(service, region_name, config=config)  # type: ignore[call-overload]
        _shared_clients[service, config] = client, _state(client)
    return client


def _state(client: Any) -> tuple[Any, ...]:
    """What a test may change of a client: its attributes, and its handlers.

    The emitter starts a new look-up cache whenever a handler is registered or unregistered.
    """
    attributes = {name: id(value) for name, value in vars(client).items()}
    return attributes, id(client.meta.events._emitter._lookup_cache)


quick_moto.install()


def receive_at_once(environment: pytest.MonkeyPatch) -> None:
    """Answer a long poll of an empty queue of moto at once: nobody else sends anything while a test waits."""
    receive = SQSBackend.receive_message

    def receive_now(backend: SQSBackend, name: str, count: int, _: int, *rest: Any, **more: Any) -> Any:
        return receive(backend, name, count, 0, *rest, **more)

    environment.setattr(SQSBackend, "receive_message", receive_now)


def create_bucket_and_table(s3: Any, dynamodb: Any, bucket: str, table: str) -> None:
    """Create a versioned bucket, and a table with a stream, as Terraform does."""
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )


@contextmanager
def in_memory_aws(environment: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An empty AWS with the resources that the functions use, the functions' settings, and clients as if fresh."""
    set_credentials(environment)
    environment.setattr(boto3, "client", shared_client)
    receive_at_once(environment)
    for cached in (clients.client, observability.logger, observability.metrics):
        cached.cache_clear()
    with mock_aws() as aws:
        # It may have been active before, for the whole module.
        aws.reset()
        reset_model_data()
        s3, dynamodb = boto3.client("s3"), boto3.client("dynamodb")
        sqs, stepfunctions = boto3.client("sqs"), boto3.client("stepfunctions")
        create_bucket_and_table(s3, dynamodb, BUCKET, TABLE)
        queue_url = sqs.create_queue(QueueName="output.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        dead_letter_url = sqs.create_queue(QueueName="publish-dead-letter")["QueueUrl"]
        machine = stepfunctions.create_state_machine(
            name="batch",
            definition=json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}),
            roleArn="arn:aws:iam::123456789012:role/test",
        )["stateMachineArn"]
        for name, value in {
            "BUCKET_NAME": BUCKET,
            "TABLE_NAME": TABLE,
            "STATE_MACHINE_ARN": machine,
            "QUEUE_URL": queue_url,
            "DEAD_LETTER_QUEUE_URL": dead_letter_url,
            "WRITER_GRACE_SECONDS": "60",
            "DAYS_BACK": "36500",  # the days of tests do not grow old
        }.items():
            environment.setenv(name, value)
        pipeline = (Bucket(BUCKET), Table(TABLE), Workflow(machine), queue_url, dead_letter_url)
        yield Cloud(*pipeline, s3, dynamodb, sqs, stepfunctions)
