"""A bad value of a variable is refused, one at a limit is not, and the document lists all variables and outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform.target import declared_variables, variables

from infra.tests import settings_table
from infra.tests.current_provider.terraform_check import CurrentProvider
from infra.tests.support import ENVIRONMENTS

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
    "region": ["eu-west-1a"],
    "tags": [{"aws:owner": "me"}, {f"tag-{number}": "x" for number in range(41)}],
    "package_file": ["pipeline.tar.gz"],
    "transform": [{"memory_mb": 20480}, {"storage_mb": 256}, {"concurrency": -1}],
    "large_days": [
        {"workers": 1},
        *({"worker_type": kind, "workers": workers} for kind, workers in (("G.2X", 150), ("G.8X", 38))),
        {"worker_type": "G.025X"},
        {"timeout_minutes": 691},
        {"max_concurrent_runs": 0},
        {"from_bytes": -1},
    ],
    "control_file": ["maybe"],
    "decimal_mark": ["dot"],
    "due_check_schedule": ["noon", "rate(1 day)", "cron(60 12 * * ? *)", "cron(0/5 * * * ? *)", "cron(0 12 * * * *)"],
    "alarm_emails": [["night"], [f"night-{number}@example.com" for number in range(21)]],
    "kms_key": ["yes", "arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"],
    "access_log_bucket": ["arn:aws:s3:::logs"],
    "vpc": [
        *({"cidr": cidr} for cidr in ("8.8.0.0/16", "10.20.0.0/28")),
        *({"cidr": "10.20.0.0/20", "zones": zones} for zones in (["a"], ["eu-west-1a", "eu-west-1b"])),
    ],
    "partner": [
        {"account_id": "1234", "external_id": "long-enough-to-pass"},
        {"account_id": "111122223333", "external_id": "short"},
        {"external_id": "given-without-an-account"},
    ],
    "log_retention_days": [100],
}

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


@pytest.mark.parametrize(("end", "key"), list(enumerate(["01234567-89ab-cdef-0123-456789abcdef", f"mrk-{'0' * 32}"])))
def test_value_at_the_limit_is_accepted(terraform: CurrentProvider, end: int, key: str) -> None:
    limits = {name: limits[end] for name, limits in RANGES.items()}

    assert refused(terraform, {**limits, "kms_key": f"arn:aws:kms:eu-west-1:123456789012:key/{key}"}) == set()


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
def test_environments_file_sets_variables_that_exist(environment: str) -> None:
    assert variables(environment).keys() == declared_variables().keys()
