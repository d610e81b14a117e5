"""A whole small AWS in memory (moto) for every test that asks for it, ready to use."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws
from pipeline import observability
from pipeline.aws import clients
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from support import BUCKET, REGION, TABLE, Cloud, Context


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Credentials that lead nowhere, and fresh clients, loggers and metrics."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SESSION_TOKEN": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "POWERTOOLS_SERVICE_NAME": "test",
        "POWERTOOLS_METRICS_NAMESPACE": "test",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for cached in (clients.client, observability.logger, observability.metrics):
        cached.cache_clear()
    return monkeypatch


@pytest.fixture
def cloud(environment: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A versioned bucket, the table, a FIFO output queue and a state machine, and the functions' settings."""
    with mock_aws():
        s3, dynamodb = boto3.client("s3"), boto3.client("dynamodb")
        sqs, stepfunctions = boto3.client("sqs"), boto3.client("stepfunctions")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        queue_url = sqs.create_queue(QueueName="output.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
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
            "QUIET_SECONDS": "60",
        }.items():
            environment.setenv(name, value)
        yield Cloud(Bucket(BUCKET), Table(TABLE), Workflow(machine), queue_url, s3, dynamodb, sqs, stepfunctions)
