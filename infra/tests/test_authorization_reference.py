"""Every action, resource level and condition key of every policy exists in AWS's service authorization reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from infra.tests.authorization_reference import complaints, problems
from infra.tests.support import BUCKET, LAMBDA, Plan

pytestmark = pytest.mark.terraform

TABLE = LAMBDA.replace("lambda", "dynamodb").replace("function:", "table/")


def test_every_statement_is_one_that_aws_knows(full: Plan) -> None:
    assert len(list(full.policies())) > 50
    assert complaints(full) == []


def allow(action: str, resource: str, **more: Any) -> Mapping[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        (allow("dynamodb:ListStreams", f"{TABLE}/stream/*"), "it has no resource level"),
        (allow("sqs:SendMessageBatch", "*"), "AWS has no such action"),
        (allow("s3:ListBucket", f"{BUCKET}/*"), "is none of its resources"),
        (allow("states:DescribeExecution", "*"), "so * is more than it needs"),
        (
            allow("s3:GetObject", f"{BUCKET}/*", Condition={"StringLike": {"s3:prefix": "incoming/*"}}),
            "AWS gives it no condition key s3:prefix",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value["Action"]),
)
def test_what_aws_cannot_check_is_found(statement: Mapping[str, Any], complaint: str) -> None:
    (said,) = problems(statement)

    assert complaint in said
