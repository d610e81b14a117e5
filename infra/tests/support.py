"""Access of the tests to the configuration: its plan, its policies, its variables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline_cli.terraform.target import ROOT

from infra.tests.current_provider.schema_provider import ACCOUNT, REGION

INFRA = ROOT / "infra"
FUNCTIONS = ("intake", "transform", "deliver", "finalize", "publish")
ENVIRONMENTS = tuple(sorted(file.stem for file in (INFRA / "env").glob("*.tfvars")))

PREFIX = "csv-pipeline-dev"
"""What every name begins with in a plan of the defaults."""
BUCKET = f"arn:aws:s3:::{PREFIX}-{ACCOUNT}"
LAMBDA = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{PREFIX}"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{PREFIX}-batch"
EXECUTION = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:{PREFIX}-batch"
STREAM = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{PREFIX}/stream/2026-01-01T00:00:00"
SQS = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{PREFIX}"


@dataclass(frozen=True)
class Plan:
    """What Terraform would create."""

    document: Mapping[str, Any]
    resources: Mapping[str, Mapping[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        planned = _resources(self.document["planned_values"]["root_module"])
        found = {item["address"]: item.get("values", {}) for item in planned}
        object.__setattr__(self, "resources", found)

    def __getitem__(self, address: str) -> Mapping[str, Any]:
        """The known values of a resource, such as `module.table.aws_dynamodb_table.this`."""
        return self.resources[address]

    def of_type(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """All resources of a type, by address."""
        return {address: values for address, values in self.resources.items() if f".{kind}." in f".{address}"}

    def function(self, part: str) -> Mapping[str, Any]:
        """One of the functions."""
        return self[f'module.function["{part}"].aws_lambda_function.this']

    def settings(self, part: str) -> Mapping[str, str]:
        """The environment variables of a function."""
        found: Mapping[str, str] = self.function(part)["environment"][0]["variables"]
        return found

    def policy(self, address: str) -> Mapping[str, Any]:
        """A policy that a resource has as its argument `policy`."""
        document: Mapping[str, Any] = json.loads(self[address]["policy"])
        return document

    def policies(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Every policy of the plan, those of trust included, with the address of its resource."""
        for address, values in self.resources.items():
            for argument in ("policy", "assume_role_policy"):
                if isinstance(values.get(argument), str) and "Statement" in values[argument]:
                    yield f"{address}.{argument}", json.loads(values[argument])

    def outputs(self) -> dict[str, Any]:
        """The root's outputs; one that is unknown before the apply is None."""
        return {name: value.get("value") for name, value in self.document["planned_values"]["outputs"].items()}

    @property
    def alarms(self) -> dict[str, Mapping[str, Any]]:
        """The alarms by the part of their names behind those of the deployment and its environment."""
        found = self.of_type("aws_cloudwatch_metric_alarm").values()
        return {values["alarm_name"].split("-", 3)[-1]: values for values in found}

    @property
    def definition(self) -> Mapping[str, Any]:
        """The state machine's definition."""
        found: Mapping[str, Any] = json.loads(self["module.workflow.aws_sfn_state_machine.this"]["definition"])
        return found


def _resources(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _resources(child)


def as_list(value: str | list[str]) -> list[str]:
    """IAM writes a list of one as its element."""
    return [value] if isinstance(value, str) else value


def grants(policy: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Every pair of action and resource that a policy allows."""
    return {
        (action, resource)
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
