"""What plan and code send to AWS is valid for its APIs, by the service models in botocore."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore.session
import pytest

from infra.tests.current_provider.terraform_check import EVERYTHING, CurrentProvider
from infra.tests.support import Plan

pytestmark = pytest.mark.terraform

CREATED_BY: Mapping[str, tuple[str, str]] = {
    "aws_cloudwatch_event_rule": ("events", "PutRule"),
    "aws_cloudwatch_log_group": ("logs", "CreateLogGroup"),
    "aws_cloudwatch_metric_alarm": ("cloudwatch", "PutMetricAlarm"),
    "aws_dynamodb_table": ("dynamodb", "CreateTable"),
    "aws_glue_job": ("glue", "CreateJob"),
    "aws_iam_role": ("iam", "CreateRole"),
    "aws_iam_role_policy": ("iam", "PutRolePolicy"),
    "aws_kms_alias": ("kms", "CreateAlias"),
    "aws_kms_key": ("kms", "CreateKey"),
    "aws_lambda_event_source_mapping": ("lambda", "CreateEventSourceMapping"),
    "aws_lambda_function": ("lambda", "CreateFunction"),
    "aws_lambda_permission": ("lambda", "AddPermission"),
    "aws_sfn_state_machine": ("stepfunctions", "CreateStateMachine"),
}
"""The call that creates a resource: an argument of Terraform's is the call's parameter of the same name."""
OTHER_NAMES = {
    ("aws_cloudwatch_log_group", "name"): "logGroupName",
    ("aws_iam_role", "assume_role_policy"): "AssumeRolePolicyDocument",
    ("aws_iam_role", "name"): "RoleName",
    ("aws_iam_role_policy", "name"): "PolicyName",
    ("aws_iam_role_policy", "policy"): "PolicyDocument",
    ("aws_kms_alias", "name"): "AliasName",
}

STEP_FUNCTIONS_OWN = {"SdkClientException", "AWSLambdaException", "Unknown"}
"""Errors of the Lambda integration that no API raises (Step Functions Developer Guide, "Handling errors")."""


@cache
def model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def complaint(kind: str, argument: str, value: Any) -> str | None:
    """Return what is wrong with an argument of a resource by the service's model; None if it is valid or unknown."""
    service, operation = CREATED_BY[kind]
    name = OTHER_NAMES.get((kind, argument), argument.replace("_", "")).lower()
    members = model(service).operation_model(operation).input_shape.members
    shape = next((members[member] for member in members if member.lower() == name), None)
    if shape is None or value in (None, "") or isinstance(value, list | dict | bool):
        return None
    limits, size = shape.metadata, value if isinstance(value, int | float) else len(value)
    if not limits.get("min", size) <= size <= limits.get("max", size):
        return f"{shape.name} takes {limits.get('min')} to {limits.get('max')}, not {size}"
    if getattr(shape, "enum", None) and value not in shape.enum:
        return f"{shape.name} is one of {shape.enum}, not {value}"
    if "pattern" in limits and isinstance(value, str) and not re.fullmatch(_plain(limits["pattern"]), value, re.DOTALL):
        return f"{shape.name} is {limits['pattern']}, not {value}"
    return None


def _plain(pattern: str) -> str:
    """Turn a pattern of the model, which is Java's, into one of Python's."""
    pattern = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", "\U00010000-\U0010ffff")
    hexadecimal = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda found: re.escape(chr(int(found[1], 16))), pattern)
    return hexadecimal.replace(r"\p{L}\p{Z}\p{N}", r"\w\s").removeprefix("^").removesuffix("$")


@pytest.mark.parametrize("name", [{}, {"name": "a" * 30, "environment": "b" * 16}], ids=["usual", "longest names"])
def test_every_planned_value_is_one_that_the_api_takes(terraform: CurrentProvider, name: Mapping[str, str]) -> None:
    plan = terraform.plan({**EVERYTHING, **name})
    said = [
        (address, argument, complaint(kind, argument, value))
        for kind in CREATED_BY
        for address, planned in plan.of_type(kind).items()
        for argument, value in planned.items()
    ]

    assert [one for one in said if one[-1]] == []


@pytest.mark.parametrize(
    ("kind", "argument", "value"),
    [
        ("aws_lambda_event_source_mapping", "maximum_retry_attempts", -2),
        ("aws_lambda_event_source_mapping", "starting_position", "OLDEST"),
        ("aws_cloudwatch_metric_alarm", "alarm_description", "x" * 1025),
        ("aws_iam_role_policy", "name", "a policy"),
        ("aws_kms_alias", "name", "al ias"),
    ],
)
def test_a_value_that_the_api_refuses_is_found(kind: str, argument: str, value: Any) -> None:
    assert complaint(kind, argument, value)


@pytest.mark.parametrize(("service", "call"), [("Lambda", "Invoke"), ("Glue", "StartJobRun")])
def test_errors_in_the_retries_are_errors_that_the_call_raises(full: Plan, service: str, call: str) -> None:
    raised = {error.name for error in model(service.lower()).operation_model(call).error_shapes} | STEP_FUNCTIONS_OWN
    named = set(re.findall(rf'"{service}\.(\w+)"', json.dumps(full.definition)))

    assert named
    assert named - raised == set()
