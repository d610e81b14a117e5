"""What holds for every policy. That a role may do its work, and no more, is shown by running it without each permission
(`make test-privileges`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pipeline.model.items import batch_key, result_key

from infra.tests.support import ACCOUNT, BUCKET, FUNCTIONS, INFRA, LAMBDA, SQS, Plan, as_list, grants

pytestmark = pytest.mark.terraform


def statements(plan: Plan, kind: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every statement of the policies of a resource type, with the address."""
    for address, policy in plan.policies():
        if kind in address:
            for statement in policy["Statement"]:
                yield address, statement


def test_statement_says_what_it_is_for_and_allows_no_wildcard_without_a_reason(full: Plan) -> None:
    for address, policy in full.policies():
        names = [statement["Sid"] for statement in policy["Statement"]]
        assert len(set(names)) == len(names), address
    for address, statement in statements(full):
        if statement["Effect"] == "Allow":
            assert not [action for action in as_list(statement["Action"]) if "*" in action], address
            if "*" in as_list(statement.get("Resource", [])) and "aws_kms_key" not in address:
                # In a key's policy it means the key itself. Elsewhere AWS has no resources for these actions, as
                # test_authorization_reference.py shows, and the statement's name says so.
                assert statement["Sid"].endswith("NoResourceLevelPermissions"), address


def test_role_and_user_reach_a_prefix_of_the_bucket_and_never_all_of_it(full: Plan) -> None:
    found = [(a, s) for kind in ("role_policy", "user_policy") for a, s in statements(full, kind)]

    for address, statement in found:
        for resource in as_list(statement.get("Resource", [])):
            if resource.startswith(f"{BUCKET}/"):
                assert re.match(rf"{BUCKET}/(code|delivered|feedback|incoming|work)/", resource), address
        if "s3:ListBucket" in as_list(statement["Action"]):
            assert all(prefix.endswith("/*") for prefix in as_list(statement["Condition"]["StringLike"]["s3:prefix"]))
    assert not full.of_type("aws_iam_role_policy_attachment")
    assert not full.of_type("aws_iam_policy")


def test_job_for_large_days_reads_ledger_entries_and_no_results(full: Plan) -> None:
    policy = full.policy("module.large_days[0].aws_iam_role_policy.work")
    (ledger,) = [statement for statement in policy["Statement"] if statement["Action"] == "dynamodb:GetItem"]

    assert ledger["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": "batch#*"}}


def test_deliver_reads_ledger_entries_and_no_results_and_writes_under_no_other_key(full: Plan) -> None:
    # Amazon DynamoDB Developer Guide, "Using IAM policy conditions for fine-grained access control": LeadingKeys holds
    # the partition keys of all items of a call, and its examples have BatchWriteItem among the actions.
    policy = full.policy('module.function["deliver"].aws_iam_role_policy.work')
    allowed = {
        statement["Action"]: as_list(statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"])
        for statement in policy["Statement"]
        if statement["Action"].startswith("dynamodb:")
    }

    ledger, results = batch_key("*"), result_key("*")
    assert allowed == {"dynamodb:GetItem": [ledger], "dynamodb:BatchWriteItem": [results, ledger]}


def test_role_is_taken_by_its_own_service_or_the_partners_account_alone(full: Plan) -> None:
    takers = {
        address.removesuffix(".aws_iam_role.this.assume_role_policy").removesuffix("[0]"): statement["Principal"]
        for address, statement in statements(full, "assume_role_policy")
    }

    assert takers == {
        **{f'module.function["{part}"]': {"Service": "lambda.amazonaws.com"} for part in FUNCTIONS},
        "module.workflow": {"Service": "states.amazonaws.com"},
        "module.large_days": {"Service": "glue.amazonaws.com"},
        "module.partner.aws_iam_role.this[0].assume_role_policy": {"AWS": "arn:aws:iam::111122223333:root"},
    }


def test_queue_and_topic_take_what_this_accounts_resources_send_and_nothing_else(full: Plan) -> None:
    senders = {
        statement["Resource"]: (statement["Principal"]["Service"], statement["Condition"])
        for kind in ("aws_sqs_queue_policy", "aws_sns_topic_policy")
        for _, statement in statements(full, kind)
        if statement["Effect"] == "Allow"
    }
    of_account = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}

    assert senders == {
        f"{SQS}-ingest": ("s3.amazonaws.com", {"ArnEquals": {"aws:SourceArn": BUCKET}, **of_account}),
        f"{SQS.replace('sqs', 'sns')}-alarms": (
            "cloudwatch.amazonaws.com",
            {
                "ArnLike": {"aws:SourceArn": f"{SQS.replace('sqs', 'cloudwatch').replace('csv', 'alarm:csv')}-*"},
                **of_account,
            },
        ),
    }


def test_bucket_topic_and_every_queue_refuse_requests_without_tls(full: Plan) -> None:
    denied = {
        resource
        for _, statement in statements(full)
        if statement["Effect"] == "Deny" and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        for resource in as_list(statement["Resource"])
        if statement["Principal"] == "*" and statement["Action"] in ("s3:*", "sqs:*", "sns:Publish")
    }
    queues = {queue["arn"] for queue in full.of_type("aws_sqs_queue").values()}

    assert denied == {BUCKET, f"{BUCKET}/*", f"{SQS.replace('sqs', 'sns')}-alarms", *queues}


def met(test: tuple[str, Mapping[str, Any]], request: Mapping[str, str]) -> bool:
    """Whether a request meets a condition (IAM User Guide, "IAM JSON policy elements: Condition operators")."""
    operator, keys = test
    for key, value in keys.items():
        given = request.get(key)
        held = {
            "Bool": given == value,
            "Null": (given is None) == (value == "true"),
            "StringEquals": given in as_list(value),
            "StringNotEquals": given not in as_list(value),
        }[operator]
        if not held:
            return False
    return True


CLASS, CUSTOMER = "s3:x-amz-storage-class", "s3:x-amz-server-side-encryption-customer-algorithm"
KEY = "s3:x-amz-server-side-encryption-aws-kms-key-id"


@pytest.mark.parametrize(
    ("request_keys", "refused"),
    [
        ({}, False),
        *(({CLASS: name}, False) for name in ("STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING", "GLACIER_IR")),
        *(({CLASS: name}, True) for name in ("GLACIER", "DEEP_ARCHIVE")),
        ({CUSTOMER: "AES256"}, True),
        ({KEY: "arn:aws:kms:eu-west-1:999999999999:key/01234567-89ab-cdef-0123-456789abcdef"}, True),
    ],
)
def test_bucket_refuses_what_the_functions_could_not_read(
    plan: Plan, full: Plan, request_keys: Mapping[str, str], refused: bool
) -> None:
    # Amazon S3 User Guide, "Bucket policy examples using condition keys" and "Understanding and managing Amazon S3
    # storage classes": objects of these two classes must be restored before they can be read.
    for planned in (plan, full):
        policy = planned.policy("module.bucket.aws_s3_bucket_policy.this")["Statement"]
        puts = [statement for statement in policy if statement["Action"] == "s3:PutObject"]
        assert any(all(met(test, request_keys) for test in one["Condition"].items()) for one in puts) is refused
        own = {KEY: planned["module.key[0].aws_kms_key.this"]["arn"]} if planned is full else {}
        assert not any(all(met(test, own) for test in one["Condition"].items()) for one in puts)


@pytest.mark.parametrize("part", FUNCTIONS)
def test_function_is_placed_in_the_network_by_lambda_and_not_by_its_own_code(full: Plan, part: str) -> None:
    # AWS Lambda Developer Guide, "Using source function ARN to control function access behavior".
    allowed, denied = full.policy(f'module.function["{part}"].aws_iam_role_policy.further["network"]')["Statement"]

    assert denied == allowed | {
        "Sid": denied["Sid"],
        "Effect": "Deny",
        "Condition": {"ArnEquals": {"lambda:SourceFunctionArn": f"{LAMBDA}-{part}"}},
    }


def test_partner_stores_files_reads_feedback_and_nothing_else(full: Plan) -> None:
    for holder in ("role", "user"):
        policies = {
            address.partition('"')[2].strip('"]'): grants(full.policy(address))
            for address in full.of_type(f"aws_iam_{holder}_policy")
            if address.startswith("module.partner.")
        }
        assert policies.pop("key")
        assert policies == {
            "upload": {("s3:PutObject", f"{BUCKET}/incoming/*"), ("s3:AbortMultipartUpload", f"{BUCKET}/incoming/*")},
            "feedback": {("s3:ListBucket", BUCKET), ("s3:GetObject", f"{BUCKET}/feedback/*")},
        }
    (trust,) = [s for address, s in statements(full, "module.partner.") if "assume_role_policy" in address]
    assert trust["Condition"] == {"StringEquals": {"sts:ExternalId": "agreed-with-the-partner"}}
    assert not full.of_type("aws_iam_access_key"), "its secret would be in the state"


def test_every_finding_that_the_security_check_skips_has_a_reason() -> None:
    skips = [line for file in INFRA.rglob("*.tf") for line in re.findall(r"#checkov:skip=(.*)", file.read_text())]

    assert len(skips) > 3
    assert [skip for skip in skips if len(skip.partition(":")[2].split()) < 6] == []
    assert "skip" not in (INFRA / ".checkov.yaml").read_text().replace("skip-download", "").replace("skipped", "")
