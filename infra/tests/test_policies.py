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


def test_statement_has_a_name_of_its_own_and_allows_no_pattern_of_actions(full: Plan) -> None:
    names = [(address, statement["Sid"]) for address, statement in statements(full)]

    assert len(set(names)) == len(names)
    for address, statement in statements(full):
        if statement["Effect"] == "Allow":
            assert not [action for action in as_list(statement["Action"]) if "*" in action], address


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


def test_deliver_and_the_job_read_ledger_entries_and_deliver_writes_under_no_other_key(full: Plan) -> None:
    # Amazon DynamoDB Developer Guide, "Using IAM policy conditions for fine-grained access control": LeadingKeys holds
    # the partition keys of all items of a call, and its examples have BatchWriteItem among the actions.
    ledger, results = batch_key("*"), result_key("*")
    for holder, keys in {
        'function["deliver"]': {"dynamodb:GetItem": [ledger], "dynamodb:BatchWriteItem": [results, ledger]},
        "large_days[0]": {"dynamodb:GetItem": [ledger]},
    }.items():
        assert keys == {
            statement["Action"]: as_list(statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"])
            for statement in full.policy(f"module.{holder}.aws_iam_role_policy.work")["Statement"]
            if str(statement["Action"]).startswith("dynamodb:")
        }


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


def test_bucket_refuses_what_the_functions_could_not_read(plan: Plan, full: Plan) -> None:
    # Amazon S3 User Guide, "Bucket policy examples using condition keys" and "Understanding and managing Amazon S3
    # storage classes": objects of these two classes must be restored before they can be read.
    key = "s3:x-amz-server-side-encryption-aws-kms-key-id"
    for planned in (plan, full):
        policy = planned.policy("module.bucket.aws_s3_bucket_policy.this")["Statement"]
        puts = [one for one in policy if (one["Action"], one["Effect"]) == ("s3:PutObject", "Deny")]
        archived, of_sender, foreign = [one["Condition"] for one in puts]
        assert archived == {"StringEquals": {"s3:x-amz-storage-class": ["DEEP_ARCHIVE", "GLACIER"]}}
        assert of_sender == {"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}}
        assert foreign["Null"] == {key: "false"}
        if planned is full:
            assert foreign["StringNotEquals"] == {key: full["module.key[0].aws_kms_key.this"]["arn"]}


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
