"""Permissions: the statements of every role, and what the policies of resources deny."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.tests.support import ACCOUNT, FUNCTIONS, INFRA, REGION, Plan, as_list, grants, render

pytestmark = pytest.mark.terraform

PREFIX = "csv-pipeline-dev"
BUCKET = f"arn:aws:s3:::{PREFIX}-{ACCOUNT}"
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{PREFIX}"
SQS = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{PREFIX}"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{PREFIX}-batch"
EXECUTION = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:{PREFIX}-batch"
MAP_RUN = f"arn:aws:states:{REGION}:{ACCOUNT}:mapRun:{PREFIX}-batch/deliver"
LAMBDA = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{PREFIX}"
TRACES = {("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")}

WORK = {
    "intake": {
        ("sqs:ReceiveMessage", f"{SQS}-ingest"),
        ("sqs:DeleteMessage", f"{SQS}-ingest"),
        ("sqs:GetQueueAttributes", f"{SQS}-ingest"),
        ("s3:ListBucket", BUCKET),
        ("s3:GetObject", f"{BUCKET}/incoming/*"),
        ("s3:PutObject", f"{BUCKET}/feedback/*/verdict.json"),
        ("dynamodb:GetItem", TABLE),
        ("dynamodb:PutItem", TABLE),
        ("states:StartExecution", MACHINE),
        ("states:DescribeExecution", f"{EXECUTION}:*"),
    },
    "transform": {
        ("s3:GetObjectVersion", f"{BUCKET}/incoming/*"),
        ("s3:ListBucket", BUCKET),
        ("s3:PutObject", f"{BUCKET}/work/*"),
        ("s3:GetObject", f"{BUCKET}/delivered/*"),
        ("s3:PutObject", f"{BUCKET}/delivered/*"),
        ("s3:PutObject", f"{BUCKET}/feedback/*"),
        ("dynamodb:GetItem", TABLE),
        ("dynamodb:PutItem", TABLE),
        ("dynamodb:Query", TABLE),
        ("states:DescribeExecution", f"{EXECUTION}:*"),
    },
    "deliver": {
        ("s3:GetObject", f"{BUCKET}/work/*"),
        ("dynamodb:GetItem", TABLE),
        ("dynamodb:BatchWriteItem", TABLE),
    },
    "finalize": {
        ("s3:GetObject", f"{BUCKET}/work/*/examples.json"),
        ("s3:PutObject", f"{BUCKET}/feedback/*/verdict.json"),
        ("dynamodb:GetItem", TABLE),
        ("dynamodb:PutItem", TABLE),
        ("states:ListExecutions", MACHINE),
        ("states:ListExecutions", f"{MAP_RUN}:*"),
        ("states:ListMapRuns", f"{EXECUTION}:*"),
        ("states:DescribeExecution", f"{EXECUTION}:*"),
        ("states:DescribeExecution", f"{EXECUTION}/deliver:*"),
    },
}

WORKFLOW = {
    *(("lambda:InvokeFunction", f"{LAMBDA}-{name}") for name in ("transform", "deliver", "finalize")),
    ("s3:GetObject", f"{BUCKET}/work/*/manifest.json"),
    ("states:StartExecution", MACHINE),
    *((f"states:{call}Execution", f"{EXECUTION}{of}:*") for call in ("Describe", "Stop") for of in ("", "/deliver")),
    *TRACES,
    ("xray:GetSamplingRules", "*"),
    ("xray:GetSamplingTargets", "*"),
    ("logs:CreateLogDelivery", "*"),
    ("logs:DeleteLogDelivery", "*"),
    ("logs:DescribeLogGroups", "*"),
    ("logs:DescribeResourcePolicies", "*"),
    ("logs:GetLogDelivery", "*"),
    ("logs:ListLogDeliveries", "*"),
    ("logs:PutResourcePolicy", "*"),
    ("logs:UpdateLogDelivery", "*"),
}

TEMPLATES = sorted(file for file in INFRA.rglob("*.json*") if "Statement" in file.read_text())


def policy_of(plan: Plan, address: str) -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads(plan[address]["policy"])
    return document


@pytest.mark.parametrize("function", sorted(WORK))
def test_function_may_do_its_work_and_nothing_else(plan: Plan, function: str) -> None:
    assert grants(policy_of(plan, f'module.function["{function}"].aws_iam_role_policy.work')) == WORK[function]


def test_publish_may_read_the_stream_and_send_messages_and_nothing_else() -> None:
    # The stream's ARN is made up by DynamoDB, so no plan knows this policy; the template is all there is to it.
    assert grants(render(INFRA / "policies/publish.json.tftpl")) == {
        ("dynamodb:DescribeStream", "stream_arn"),
        ("dynamodb:GetRecords", "stream_arn"),
        ("dynamodb:GetShardIterator", "stream_arn"),
        ("dynamodb:ListStreams", "*"),
        ("dynamodb:GetItem", "table_arn"),
        ("sqs:SendMessage", "output_queue_arn"),
        ("sqs:SendMessage", "publish_dead_letter_arn"),
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_may_write_its_own_log_and_its_traces(plan: Plan, function: str) -> None:
    own_log = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/{PREFIX}-{function}:*"

    assert grants(policy_of(plan, f'module.function["{function}"].aws_iam_role_policy.telemetry')) == {
        ("logs:CreateLogStream", own_log),
        ("logs:PutLogEvents", own_log),
        *TRACES,
    }


def test_workflow_may_call_its_functions_and_run_its_map_and_nothing_else(plan: Plan) -> None:
    assert grants(policy_of(plan, "module.workflow.aws_iam_role_policy.this")) == WORKFLOW


def test_there_is_no_other_policy(plan: Plan) -> None:
    roles = [f'module.function["{name}"]' for name in FUNCTIONS]
    inline = {f"{role}.aws_iam_role_policy.{policy}" for role in roles for policy in ("telemetry", "work")}

    assert set(plan.of_type("aws_iam_role_policy")) == inline | {"module.workflow.aws_iam_role_policy.this"}
    assert set(plan.of_type("aws_iam_role")) == {f"{role}.aws_iam_role.this" for role in [*roles, "module.workflow"]}
    assert not plan.of_type("aws_iam_role_policy_attachment")
    assert not plan.of_type("aws_iam_policy")


@pytest.mark.parametrize(("function", "prefix"), [("intake", "incoming/*"), ("transform", "delivered/*")])
def test_function_may_list_its_own_prefix_only(plan: Plan, function: str, prefix: str) -> None:
    policy = policy_of(plan, f'module.function["{function}"].aws_iam_role_policy.work')
    (listing,) = [statement for statement in policy["Statement"] if "s3:ListBucket" in as_list(statement["Action"])]

    assert listing["Condition"] == {"StringLike": {"s3:prefix": prefix}}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda file: str(file.relative_to(INFRA)))
def test_policy_says_for_each_statement_what_it_is_for_and_has_no_wildcard_without_a_reason(template: Path) -> None:
    statements = render(template)["Statement"]

    assert len({statement["Sid"] for statement in statements}) == len(statements)
    for statement in statements:
        if statement["Effect"] == "Deny":
            continue
        assert not [action for action in as_list(statement["Action"]) if "*" in action]
        if "*" in as_list(statement.get("Resource", [])) and template.name != "key_policy.json.tftpl":
            # In a key's policy it means the key itself. Elsewhere AWS has no resources for these actions, as
            # test_authorization_reference.py shows, and the statement's name says so.
            assert statement["Sid"].endswith("NoResourceLevelPermissions")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_lambda_may_take_a_functions_role(plan: Plan, function: str) -> None:
    trust = json.loads(plan[f'module.function["{function}"].aws_iam_role.this']["assume_role_policy"])
    (statement,) = trust["Statement"]

    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert statement["Action"] == "sts:AssumeRole"


def test_only_this_state_machine_and_its_map_may_take_the_workflows_role(plan: Plan) -> None:
    (statement,) = json.loads(plan["module.workflow.aws_iam_role.this"]["assume_role_policy"])["Statement"]

    assert statement["Principal"] == {"Service": "states.amazonaws.com"}
    assert statement["Condition"] == {
        "ArnLike": {"aws:SourceArn": [MACHINE, f"{MACHINE}/*"]},
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
    }


def test_ingest_queue_takes_messages_from_this_accounts_bucket_alone(plan: Plan) -> None:
    policy = policy_of(plan, "module.ingest_queue.aws_sqs_queue_policy.this[0]")
    (allowed,) = [statement for statement in policy["Statement"] if statement["Effect"] == "Allow"]

    assert allowed["Principal"] == {"Service": "s3.amazonaws.com"}
    assert allowed["Resource"] == f"{SQS}-ingest"
    assert allowed["Condition"] == {
        "ArnEquals": {"aws:SourceArn": BUCKET},
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
    }


def test_every_queue_and_the_bucket_refuse_requests_without_tls(plan: Plan) -> None:
    policies = [values["policy"] for values in plan.of_type("aws_sqs_queue_policy").values()]
    assert len(policies) == len(plan.of_type("aws_sqs_queue"))

    for policy in [*policies, plan["module.bucket.aws_s3_bucket_policy.this[0]"]["policy"]]:
        (denied,) = [statement for statement in json.loads(policy)["Statement"] if statement["Effect"] == "Deny"]
        assert denied["Principal"] == "*"
        assert denied["Action"] in ("s3:*", "sqs:*")
        assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_tls_rule_of_the_bucket_covers_the_bucket_and_its_objects(plan: Plan) -> None:
    (statement,) = policy_of(plan, "module.bucket.aws_s3_bucket_policy.this[0]")["Statement"]

    assert statement["Resource"] == [BUCKET, f"{BUCKET}/*"]


def test_every_finding_that_the_security_check_skips_has_a_reason() -> None:
    skips = [line for file in INFRA.rglob("*.tf") for line in re.findall(r"#checkov:skip=(.*)", file.read_text())]

    assert len(skips) > 3
    assert [skip for skip in skips if len(skip.partition(":")[2].split()) < 6] == []
    assert "skip" not in (INFRA / ".checkov.yaml").read_text().replace("skip-download", "").replace("skipped", "")
