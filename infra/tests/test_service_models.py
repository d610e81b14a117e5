"""What plan and code send to AWS is valid for its APIs, by the service models in botocore."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import botocore.session
import pytest

from infra.tests.current_provider.terraform_check import EVERYTHING, CurrentProvider
from infra.tests.support import Plan

pytestmark = pytest.mark.terraform

# By resource type: which argument becomes which shape of which service's API.
ARGUMENTS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "aws_lambda_function": (
        "lambda",
        {
            "function_name": "FunctionName",
            "description": "Description",
            "handler": "Handler",
            "memory_size": "MemorySize",
            "timeout": "Timeout",
        },
    ),
    "aws_lambda_event_source_mapping": (
        "lambda",
        {
            "batch_size": "BatchSize",
            "maximum_batching_window_in_seconds": "MaximumBatchingWindowInSeconds",
            "maximum_record_age_in_seconds": "MaximumRecordAgeInSeconds",
            "maximum_retry_attempts": "MaximumRetryAttemptsEventSourceMapping",
            "parallelization_factor": "ParallelizationFactor",
            "starting_position": "EventSourcePosition",
        },
    ),
    "aws_lambda_permission": ("lambda", {"statement_id": "StatementId", "principal": "Principal", "source_arn": "Arn"}),
    "aws_sfn_state_machine": (
        "stepfunctions",
        {"name": "Name", "definition": "Definition", "type": "StateMachineType"},
    ),
    "aws_cloudwatch_metric_alarm": (
        "cloudwatch",
        {
            "alarm_name": "AlarmName",
            "alarm_description": "AlarmDescription",
            "comparison_operator": "ComparisonOperator",
            "datapoints_to_alarm": "DatapointsToAlarm",
            "evaluation_periods": "EvaluationPeriods",
            "metric_name": "MetricName",
            "namespace": "Namespace",
            "period": "Period",
            "statistic": "Statistic",
            "treat_missing_data": "TreatMissingData",
        },
    ),
    "aws_cloudwatch_event_rule": (
        "events",
        {"name": "RuleName", "description": "RuleDescription", "schedule_expression": "ScheduleExpression"},
    ),
    "aws_cloudwatch_event_target": ("events", {"target_id": "TargetId", "arn": "TargetArn"}),
    "aws_dynamodb_table": ("dynamodb", {"billing_mode": "BillingMode", "hash_key": "KeySchemaAttributeName"}),
    "aws_iam_role": (
        "iam",
        {
            "name": "roleNameType",
            "description": "roleDescriptionType",
            "assume_role_policy": "policyDocumentType",
            "max_session_duration": "roleMaxSessionDurationType",
        },
    ),
    "aws_iam_role_policy": ("iam", {"name": "policyNameType", "policy": "policyDocumentType"}),
    "aws_glue_job": (
        "glue",
        {"glue_version": "GlueVersionString", "worker_type": "WorkerType", "timeout": "Timeout"},
    ),
    "aws_kms_key": ("kms", {"description": "DescriptionType", "policy": "PolicyType"}),
    "aws_kms_alias": ("kms", {"name": "AliasNameType"}),
    "aws_cloudwatch_log_group": ("logs", {"name": "LogGroupName", "kms_key_id": "KmsKeyId"}),
}

STEP_FUNCTIONS_OWN = {"SdkClientException", "AWSLambdaException", "Unknown"}
"""Errors of the Lambda integration that no API raises (Step Functions Developer Guide, "Handling errors")."""


@cache
def model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def complaint(service: str, shape_name: str, value: Any) -> str | None:
    """Return what is wrong with a value by a shape of a service's model; None if it is valid."""
    shape = model(service).shape_for(shape_name)
    limits, size = shape.metadata, value if isinstance(value, int | float) else len(value)
    if not limits.get("min", size) <= size <= limits.get("max", size):
        return f"{shape_name} takes {limits.get('min')} to {limits.get('max')}, not {size}"
    if getattr(shape, "enum", None) and value not in shape.enum:
        return f"{shape_name} is one of {shape.enum}, not {value}"
    if "pattern" in limits and isinstance(value, str) and not re.fullmatch(_plain(limits["pattern"]), value, re.DOTALL):
        return f"{shape_name} is {limits['pattern']}, not {value}"
    return None


def _plain(pattern: str) -> str:
    """Turn a pattern of the model, which is Java's, into one of Python's."""
    hexadecimal = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda found: re.escape(chr(int(found[1], 16))), pattern)
    return hexadecimal.replace(r"\p{L}\p{Z}\p{N}", r"\w\s").removeprefix("^").removesuffix("$")


def values(plan: Plan) -> Iterator[tuple[str, str, str, Any]]:
    """Every planned value that has a shape: its address, service, shape and itself."""
    for kind, (service, shapes) in ARGUMENTS.items():
        for address, planned in plan.of_type(kind).items():
            for argument, shape in shapes.items():
                if planned.get(argument) not in (None, ""):
                    yield f"{address}.{argument}", service, shape, planned[argument]


@pytest.mark.parametrize("name", [{}, {"name": "a" * 30, "environment": "b" * 16}], ids=["usual", "longest names"])
def test_every_planned_value_is_one_that_the_api_takes(terraform: CurrentProvider, name: Mapping[str, str]) -> None:
    plan = terraform.plan({**EVERYTHING, **name})
    found = [(address, complaint(service, shape, value)) for address, service, shape, value in values(plan)]

    assert len(found) > 400
    assert [(address, said) for address, said in found if said] == []


@pytest.mark.parametrize(
    ("service", "shape", "value"),
    [
        ("lambda", "MaximumRetryAttemptsEventSourceMapping", -2),
        ("lambda", "EventSourcePosition", "OLDEST"),
        ("cloudwatch", "AlarmDescription", "x" * 1025),
        ("events", "RuleName", "a rule"),
        ("iam", "roleNameType", "r" * 65),
    ],
)
def test_a_value_that_the_api_refuses_is_found(service: str, shape: str, value: Any) -> None:
    assert complaint(service, shape, value)


def unknown_errors(definition: Mapping[str, Any], service: str = "Lambda", call: str = "Invoke") -> set[str]:
    """Names of a service's errors in the retry rules that no call of it raises."""
    raised = {error.name for error in model(service.lower()).operation_model(call).error_shapes} | STEP_FUNCTIONS_OWN
    named = set(re.findall(rf'"{service}\.(\w+)"', json.dumps(definition)))
    return named - raised


def test_glue_errors_in_the_retries_are_errors_that_start_job_run_raises(full: Plan) -> None:
    definition = full.definition

    assert '"Glue.ConcurrentRunsExceededException"' in json.dumps(definition)
    assert unknown_errors(definition, "Glue", "StartJobRun") == set()
    assert unknown_errors({"Retry": ["Glue.TooManyRuns"]}, "Glue", "StartJobRun") == {"TooManyRuns"}


def test_lambda_errors_in_the_retries_are_errors_that_invoke_raises(plan: Plan) -> None:
    assert '"Lambda.' in json.dumps(plan.definition)
    assert unknown_errors(plan.definition) == set()
    assert unknown_errors({"Retry": [{"ErrorEquals": ["Lambda.ResourceNotReady"]}]}) == {"ResourceNotReady"}
