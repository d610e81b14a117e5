"""A deployed stack in memory (moto) and a command line to drive on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline_cli.deploy import target as targets
from pipeline_cli.deploy.target import Target
from pipeline_cli.operations import messages
from typer.testing import CliRunner, Result

from scripts.tests.support import QUEUES, REGION, MotoTarget, Run, Stack


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setattr(messages, "LONG_POLL_SECONDS", 0)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "ENV"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        outputs = _deploy()
        target = MotoTarget("local", REGION, "http://127.0.0.1:1", outputs)
        load: Callable[[str], Target] = lambda name: (  # noqa: E731
            target if name == "local" else MotoTarget(name, REGION, None, outputs)
        )
        monkeypatch.setattr(targets, "load", load)
        table = Table(outputs["table_name"], target.client("dynamodb"))
        yield Stack(target, Bucket(outputs["bucket_name"], target.client("s3")), table)


def _deploy() -> dict[str, Any]:
    s3, sqs = boto3.client("s3", region_name=REGION), boto3.client("sqs", region_name=REGION)
    dynamodb = boto3.client("dynamodb", region_name=REGION)
    s3.create_bucket(Bucket="files", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_versioning(Bucket="files", VersioningConfiguration={"Status": "Enabled"})
    dynamodb.create_table(
        TableName="results",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    urls = {
        output: sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"} if name.endswith(".fifo") else {})[
            "QueueUrl"
        ]
        for output, name in QUEUES.items()
    }
    machine = boto3.client("stepfunctions", region_name=REGION).create_state_machine(
        name="batch",
        definition=json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}),
        roleArn="arn:aws:iam::123456789012:role/test",
    )
    return {
        "region": REGION,
        "bucket_name": "files",
        "table_name": "results",
        "state_machine_arn": machine["stateMachineArn"],
        "log_group_names": {"intake": "/aws/lambda/intake", "transform": "/aws/lambda/transform"},
        **urls,
    }


@pytest.fixture
def run() -> Run:
    """Run a command line: `run("status", "--json")`."""
    from pipeline_cli.app import app

    def invoke(*arguments: str, answers: str | None = None) -> Result:
        result = CliRunner().invoke(
            app, list(arguments), input=answers, env={"COLUMNS": "160", "ENV": None, "YES": None}
        )
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke
