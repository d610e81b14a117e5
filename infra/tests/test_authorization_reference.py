"""Every action, resource level and condition key of every policy exists in AWS's service authorization reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.tests.authorization_reference import problems
from infra.tests.support import ACCOUNT, INFRA, REGION, render

NAME = "csv-pipeline-dev"
STATES = f"arn:aws:states:{REGION}:{ACCOUNT}"
LAMBDA = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}"
SQS = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{NAME}"
VALUES = {
    "account_arn": f"arn:aws:iam::{ACCOUNT}:root",
    "account_id": ACCOUNT,
    "alarm_arn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{NAME}-*",
    "bucket_arn": f"arn:aws:s3:::{NAME}-{ACCOUNT}",
    "code_prefix": "code/",
    "dead_letter_queue_arn": f"{SQS}-publish-dead-letter",
    "deliver_arn": f"{LAMBDA}-deliver",
    "execution_arn": f"{STATES}:execution:{NAME}-batch",
    "external_id": "agreed-with-the-partner",
    "finalize_arn": f"{LAMBDA}-finalize",
    "function_arn": f"{LAMBDA}-intake",
    "function_log": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/{NAME}-*",
    "ingest_queue_arn": f"{SQS}-ingest",
    "job_arn": f"arn:aws:glue:{REGION}:{ACCOUNT}:job/{NAME}-large-day",
    "job_log": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws-glue/jobs/{NAME}-*",
    "key_arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/01234567-89ab-cdef-0123-456789abcdef",
    "log_group_arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/{NAME}-intake",
    "map_run_arn": f"{STATES}:mapRun:{NAME}-batch/deliver",
    "output_queue_arn": f"{SQS}-output.fifo",
    "publish_dead_letter_arn": f"{SQS}-publish-dead-letter",
    "queue_arn": f"{SQS}-output.fifo",
    "region": REGION,
    "state_machine_arn": f"{STATES}:stateMachine:{NAME}-batch",
    "stream_arn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{NAME}/stream/2026-01-01T00:00:00.000",
    "table_arn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{NAME}",
    "topic_arn": f"arn:aws:sns:{REGION}:{ACCOUNT}:{NAME}-alarms",
    "transform_arn": f"{LAMBDA}-transform",
    "workflow_log": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/vendedlogs/states/{NAME}-*",
}

TEMPLATES = sorted(
    file for file in INFRA.rglob("*.json*") if "Statement" in file.read_text() and "tests" not in file.parts
)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda file: str(file.relative_to(INFRA)))
def test_policy_is_what_aws_can_check(template: Path) -> None:
    found = [said for statement in render(template, **VALUES)["Statement"] for said in problems(statement)]

    assert found == []


def allow(action: str, resource: str, **more: Any) -> Mapping[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        (allow("dynamodb:ListStreams", f"{VALUES['table_arn']}/stream/*"), "it has no resource level"),
        (allow("sqs:SendMessageBatch", f"{SQS}-ingest"), "AWS has no such action"),
        (allow("s3:getobject", f"{VALUES['bucket_arn']}/*"), "AWS has no such action"),
        (allow("s3:GetObject", VALUES["table_arn"]), "is none of its resources"),
        (allow("s3:ListBucket", f"{VALUES['bucket_arn']}/*"), "is none of its resources"),
        (allow("states:ListMapRuns", VALUES["state_machine_arn"]), "is none of its resources"),
        (allow("states:DescribeExecution", "*"), "so * is more than it needs"),
        (
            allow("s3:GetObject", f"{VALUES['bucket_arn']}/*", Condition={"StringLike": {"s3:prefix": "incoming/*"}}),
            "AWS gives it no condition key s3:prefix",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value["Action"]),
)
def test_what_aws_cannot_check_is_found(statement: Mapping[str, Any], complaint: str) -> None:
    (said,) = problems(statement)

    assert complaint in said
