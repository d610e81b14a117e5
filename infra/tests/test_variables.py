"""A bad value of a variable is refused, one at a limit is not, and the document lists all variables and outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform.target import declared_variables

from infra.tests import settings_table
from infra.tests.current_provider.terraform_check import CurrentProvider
from infra.tests.support import ENVIRONMENTS, INFRA

pytestmark = pytest.mark.terraform

MOST_VARIABLES = 30

RANGES = {
    name: tuple(map(int, found.groups()))
    for name, body in declared_variables().items()
    if body["type"] == "number" and (found := re.search(r"\b(\d+) to (\d+)\b", body["description"]))
}
"""The limits of every number, as its description says them."""
BAD: Mapping[str, list[Any]] = {
    **{name: [lower - 1, upper + 1, lower + 0.5] for name, (lower, upper) in RANGES.items()},
    "name": ["Csv", "csv--pipeline", "a-name-that-is-far-too-long-for-it", "aws-pipeline"],
    "environment": ["Production!", "an-environment-of-length"],
    "region": ["Ireland", "eu-west-1a"],
    "tags": [{"aws:owner": "me"}, {f"tag-{number}": "x" for number in range(41)}],
    "package_file": ["pipeline.tar.gz"],
    "transform": [
        *({"memory_mb": size} for size in (512, 20480)),
        *({"storage_mb": size} for size in (256, 20480)),
        {"concurrency": -1},
    ],
    "large_days": [
        *({"workers": workers} for workers in (1, 300)),
        *({"worker_type": kind, "workers": workers} for kind, workers in (("G.2X", 150), ("G.4X", 75), ("G.8X", 38))),
        {"worker_type": "G.025X"},
        *({"timeout_minutes": minutes} for minutes in (5, 691)),
        *({"max_concurrent_runs": runs} for runs in (0, 51)),
        {"from_bytes": -1},
    ],
    "control_file": ["maybe"],
    "decimal_mark": ["dot"],
    "due_check_schedule": [
        *("noon", "rate(1 day)"),
        *(f"cron({fields})" for fields in ("60 12 * * ? *", "0 24 * * ? *", "0/5 * * * ? *", "0 12 * * * *")),
    ],
    "alarm_emails": [["night"], [f"night-{number}@example.com" for number in range(21)]],
    "kms_key": [
        "yes",
        "arn:aws:kms:eu-west-1:123456789012:alias/mine",
        "arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef",
    ],
    "access_log_bucket": ["arn:aws:s3:::logs"],
    "vpc": [
        *({"cidr": cidr} for cidr in ("10.20.0.0", "8.8.0.0/16", "10.20.0.0/28")),
        *({"cidr": "10.20.0.0/20", "zones": zones} for zones in (["a"], ["eu-west-1a", "eu-west-1b"])),
    ],
    "partner": [
        {"account_id": "1234", "external_id": "long-enough-to-pass"},
        {"account_id": "111122223333", "external_id": "short"},
        {"account_id": "111122223333"},
        {"external_id": "given-without-an-account"},
    ],
    "log_retention_days": [100],
}

AT_THE_LIMITS: list[dict[str, Any]] = [
    {
        **{name: lower for name, (lower, _) in RANGES.items()},
        "name": "abc",
        "environment": "a1",
        "region": "us-gov-west-1",
        "transform": {"memory_mb": 1024, "storage_mb": 512, "concurrency": 0},
        "large_days": {"workers": 2, "timeout_minutes": 10, "max_concurrent_runs": 1},
        "due_check_schedule": None,
        "control_file": "off",
        "vpc": {"cidr": "192.168.0.0/24", "zones": ["a", "b", "c", "f"]},
    },
    {
        **{name: upper for name, (_, upper) in RANGES.items()},
        "name": "a" * 30,
        "environment": "b" * 16,
        "tags": {f"tag-{number}": "x" for number in range(40)},
        "transform": {"memory_mb": 10240, "storage_mb": 10240},
        "large_days": {"workers": 37, "worker_type": "G.8X", "timeout_minutes": 690, "max_concurrent_runs": 50},
        "due_check_schedule": "cron(59 23 ? * MON-THU,SAT *)",
        "control_file": "required",
        "alarm_emails": [f"night-{number}@example.com" for number in range(20)],
        "kms_key": "arn:aws:kms:eu-west-1:123456789012:key/mrk-0123456789abcdef0123456789abcdef",
        "access_log_bucket": "logs.example",
        "vpc": {"cidr": "10.0.0.0/16"},
        "partner": {"account_id": "000000000012", "external_id": "x" * 1224},
    },
]


ROUNDS: list[dict[str, Any]] = [{} for _ in range(max(map(len, BAD.values())))]
"""Bad values of all variables at once, as Terraform refuses each by itself."""
for name, bad in BAD.items():
    for place, value in enumerate(bad):
        # The validation of kms_key looks at the region, so both are not bad in one round.
        ROUNDS[place + (len(BAD["kms_key"]) if name == "region" else 0)][name] = value


def refused(terraform: CurrentProvider, values: Mapping[str, Any]) -> set[str]:
    """The variables whose values Terraform refuses."""
    try:
        terraform.plan(values)
    except CommandError as error:
        return set(re.findall(r"^(\w+)[\w.]* must", str(error), re.MULTILINE))
    return set()


@pytest.mark.parametrize("values", ROUNDS, ids=[str(number) for number in range(len(ROUNDS))])
def test_bad_value_is_refused(terraform: CurrentProvider, values: Mapping[str, Any]) -> None:
    assert refused(terraform, values) == set(values)


@pytest.mark.parametrize("values", AT_THE_LIMITS, ids=["lower", "upper"])
def test_value_at_the_limit_is_accepted(terraform: CurrentProvider, values: dict[str, Any]) -> None:
    assert len(terraform.plan(values).resources) > 90


def test_every_validation_is_tried_here() -> None:
    assert {name for name, body in declared_variables().items() if "validation" in body} == set(BAD)


def test_variable_is_described_and_a_number_is_validated_with_its_range() -> None:
    assert len(declared_variables()) <= MOST_VARIABLES, (
        "what nobody changes in the first year is a local with its reason"
    )
    for name, body in declared_variables().items():
        assert "default" in body, f"{name}: a clean checkout plans"
        assert body["description"].endswith("."), name
        for validation in body.get("validation", []):
            assert validation["error_message"].startswith(name), f"{name}: the message names its variable"
        assert body["type"] != "number" or name in RANGES or name == "log_retention_days", f"{name} says no limits"


def test_document_lists_every_variable_and_output() -> None:
    text = settings_table.DOCUMENT.read_text()

    assert text == settings_table.with_table(text), "write it anew: python -m infra.tests.settings_table"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_environment_plans_under_its_own_name(terraform: CurrentProvider, environment: str) -> None:
    plan = terraform.plan(environment=environment)

    assert plan.outputs()["bucket_name"] == f"csv-pipeline-{environment}-123456789012"
    assert set(re.findall(r"^(\w+)\s*=", (INFRA / f"env/{environment}.tfvars").read_text(), re.MULTILINE)) <= set(
        declared_variables()
    )
