"""One variable encrypts all stored data with a customer managed key, whose policy is as strict as the roles'."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from infra.tests.support import ACCOUNT, FUNCTIONS, INFRA, REGION, Plan, Planner, as_list, grants, resources_of

pytestmark = pytest.mark.terraform

PREFIX = "csv-pipeline-dev"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/01234567-89ab-cdef-0123-456789abcdef"
WRITERS = {"intake", "transform", "finalize", "publish"}


@pytest.fixture(scope="module")
def given(planner: Planner) -> Plan:
    """The plan with a key that exists already."""
    return planner.plan(kms_key=KEY, partner_user=True, partner_account_id="111122223333", partner_external_id="0" * 16)


@pytest.fixture(scope="module")
def made(planner: Planner) -> Plan:
    """The plan with a key that the configuration makes."""
    return planner.plan(kms_key="create")


@pytest.fixture(scope="module")
def key_policy(made: Plan) -> dict[str, Mapping[str, Any]]:
    """The statements of the key's policy by name."""
    document = json.loads(made["module.key[0].aws_kms_key.this"]["policy"])
    return {statement["Sid"]: statement for statement in document["Statement"]}


def test_without_a_customer_managed_key_only_the_topic_is_not_encrypted(plan: Plan) -> None:
    assert not plan.of_type("aws_kms_key")
    assert plan["module.table.aws_dynamodb_table.this"]["server_side_encryption"][0]["enabled"] is True
    queue = resources_of(INFRA / "modules/queue")
    for name in ("this", "dead_letter"):
        assert queue[f"aws_sqs_queue.{name}"]["sqs_managed_sse_enabled"] == "${var.kms_key == null ? true : null}"


def test_a_given_key_encrypts_messages_items_logs_settings_and_alarms(given: Plan) -> None:
    assert not given.of_type("aws_kms_key")
    assert {queue["kms_master_key_id"] for queue in given.of_type("aws_sqs_queue").values()} == {KEY}
    assert {group["kms_key_id"] for group in given.of_type("aws_cloudwatch_log_group").values()} == {KEY}
    assert {function["kms_key_arn"] for function in given.of_type("aws_lambda_function").values()} == {KEY}
    assert given["module.table.aws_dynamodb_table.this"]["server_side_encryption"][0]["kms_key_arn"] == KEY
    assert given["module.monitoring.aws_sns_topic.this"]["kms_master_key_id"] == KEY


def test_the_key_encrypts_files_too() -> None:
    # Provider 3.39 does not know the resource, so it is read from the file.
    (rule,) = resources_of(INFRA / "modules/bucket")["aws_s3_bucket_server_side_encryption_configuration.this"]["rule"]
    (default,) = rule["apply_server_side_encryption_by_default"]

    assert default["sse_algorithm"] == '${var.kms_key == null ? "AES256" : "aws:kms"}'
    assert default["kms_master_key_id"] == "${one(var.kms_key[*].arn)}"


def test_each_role_may_use_the_key_as_far_as_it_reads_or_writes(given: Plan) -> None:
    roles = {name: f'module.function["{name}"].aws_iam_role_policy.further["key"]' for name in FUNCTIONS}
    roles["workflow"] = 'module.workflow.aws_iam_role_policy.further["key"]'

    for name, address in roles.items():
        allowed = {("kms:Decrypt", KEY)} | ({("kms:GenerateDataKey", KEY)} if name in WRITERS else set())
        assert grants(json.loads(given[address]["policy"])) == allowed, name
    for address in ('aws_iam_role_policy.this["key"]', 'aws_iam_user_policy.this["key"]'):
        partner = grants(json.loads(given[f"module.partner.{address}"]["policy"]))
        assert partner == {("kms:Decrypt", KEY), ("kms:GenerateDataKey", KEY)}


def test_the_created_key_rotates_and_can_be_recovered_for_a_month(made: Plan) -> None:
    key = made["module.key[0].aws_kms_key.this"]

    assert key["enable_key_rotation"] is True
    assert key["deletion_window_in_days"] == 30
    assert made["module.key[0].aws_kms_alias.this"]["name"] == f"alias/{PREFIX}"


def test_the_account_manages_the_key_but_decrypts_through_services_only(
    key_policy: Mapping[str, Mapping[str, Any]],
) -> None:
    account = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    of_account = [statement for statement in key_policy.values() if statement["Principal"] == account]
    crypto = {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:CreateGrant", "kms:ReEncryptFrom"}

    assert len(of_account) == 3
    for statement in of_account:
        if crypto & set(as_list(statement["Action"])):
            assert statement["Condition"]["StringEquals"]["kms:CallerAccount"] == ACCOUNT
            assert all(
                service.endswith(f".{REGION}.amazonaws.com")
                for service in statement["Condition"]["StringEquals"]["kms:ViaService"]
            )


def test_services_use_the_key_for_this_deployment_alone(key_policy: Mapping[str, Mapping[str, Any]]) -> None:
    of_services = {
        statement["Principal"]["Service"]: statement["Condition"]
        for statement in key_policy.values()
        if "Service" in statement["Principal"]
    }
    logs = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group"

    assert of_services == {
        "s3.amazonaws.com": {
            "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{PREFIX}-{ACCOUNT}"},
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
        },
        "cloudwatch.amazonaws.com": {
            "ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{PREFIX}-*"},
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
        },
        f"logs.{REGION}.amazonaws.com": {
            "ArnLike": {
                "kms:EncryptionContext:aws:logs:arn": [
                    f"{logs}:/aws/lambda/{PREFIX}-*",
                    f"{logs}:/aws/vendedlogs/states/{PREFIX}-*",
                    f"{logs}:/aws-glue/jobs/{PREFIX}-*",
                ]
            }
        },
    }


def test_no_principal_is_a_wildcard(key_policy: Mapping[str, Mapping[str, Any]]) -> None:
    assert not [statement for statement in key_policy.values() if "*" in json.dumps(statement["Principal"])]
    assert not [action for s in key_policy.values() for action in as_list(s["Action"]) if "*" in action]
