"""One variable encrypts all stored data with a customer managed key, which works through its services alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from infra.tests.current_provider.schema_provider import ACCOUNT, REGION
from infra.tests.support import Plan, as_list, grants

pytestmark = pytest.mark.terraform

CRYPTOGRAPHIC = {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:CreateGrant", "kms:ReEncryptFrom"}
WRITES = {"s3:PutObject", "sqs:SendMessage"}


def keys(plan: Plan) -> Iterator[tuple[str, Any]]:
    """The key of every resource that stores data, by address."""
    arguments = {
        "aws_sqs_queue": "kms_master_key_id",
        "aws_sns_topic": "kms_master_key_id",
        "aws_cloudwatch_log_group": "kms_key_id",
        "aws_lambda_function": "kms_key_arn",
    }
    for kind, argument in arguments.items():
        yield from ((address, values.get(argument)) for address, values in plan.of_type(kind).items())
    yield "table", plan["module.table.aws_dynamodb_table.this"]["server_side_encryption"][0].get("kms_key_arn")
    (rule,) = plan["module.bucket.aws_s3_bucket_server_side_encryption_configuration.this"]["rule"]
    yield "bucket", rule["apply_server_side_encryption_by_default"][0].get("kms_master_key_id")
    for job in plan.of_type("aws_glue_security_configuration").values():
        for part in job["encryption_configuration"][0].values():
            yield "job", part[0]["kms_key_arn"]


def test_without_the_variable_every_service_encrypts_with_a_key_of_aws(plan: Plan) -> None:
    assert {key for _, key in keys(plan)} == {None}
    assert all(queue["sqs_managed_sse_enabled"] for queue in plan.of_type("aws_sqs_queue").values())


def test_the_key_encrypts_everything_that_is_stored(full: Plan) -> None:
    found = dict(keys(full))

    assert {"bucket", "table", "job"} < found.keys()
    assert set(found.values()) == {full["module.key[0].aws_kms_key.this"]["arn"]}


def test_role_may_use_the_key_as_far_as_it_reads_or_writes(full: Plan) -> None:
    work = {
        address: policy
        for address, policy in full.policies()
        if address.endswith(("role_policy.work.policy", "role_policy.this.policy", '"upload"].policy'))
    }

    assert len(work) == 9
    for address, policy in work.items():
        holder, _, name = address.removesuffix(".policy").rpartition(".")
        further = "further" if name in ("work", "this") else "this"
        used = {action for action, _ in grants(full.policy(f'{holder}.{further}["key"]'))}
        writes = bool(WRITES & {action for action, _ in grants(policy)})
        assert used == {"kms:Decrypt"} | ({"kms:GenerateDataKey"} if writes else set()), address


def test_the_created_key_rotates_and_can_be_recovered_for_a_month(full: Plan) -> None:
    key = full["module.key[0].aws_kms_key.this"]

    assert (key["enable_key_rotation"], int(key["deletion_window_in_days"])) == (True, 30)


def test_the_account_manages_the_key_but_decrypts_through_services_only(full: Plan) -> None:
    policy: list[Mapping[str, Any]] = full.policy("module.key[0].aws_kms_key.this")["Statement"]
    of_account = [statement for statement in policy if "AWS" in statement["Principal"]]

    assert not [statement for statement in policy if "*" in json.dumps(statement["Principal"])]
    assert {statement["Principal"]["AWS"] for statement in of_account} == {f"arn:aws:iam::{ACCOUNT}:root"}
    for statement in of_account:
        if CRYPTOGRAPHIC & set(as_list(statement["Action"])):
            condition = statement["Condition"]["StringEquals"]
            assert condition["kms:CallerAccount"] == ACCOUNT
            assert all(service.endswith(f".{REGION}.amazonaws.com") for service in condition["kms:ViaService"])
