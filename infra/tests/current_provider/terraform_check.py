"""Holds the unmodified configuration, in every variant, against the current AWS provider's schema.

`python -m infra.tests.current_provider.terraform_check [variant…]` is a part of `make lint-terraform`: the real
Terraform initialises, validates and plans a copy of infra/ with the stand-in of `schema_provider.py`. The state machine
of the plan then goes through asl-validator.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import python_terraform
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform.terraform_command import find_terraform
from python_terraform import IsFlagged

from infra.tests.current_provider.asl import check_state_machine
from infra.tests.current_provider.schema_provider import VERSION, serve
from infra.tests.support import ENVIRONMENTS, INFRA, Plan

SWITCHES: Mapping[str, Any] = {
    "kms_key": "create",
    "vpc": {"cidr": "10.20.0.0/20"},
    "access_log_bucket": "access-logs",
    "alarm_emails": ["night@example.com", "day@example.com"],
    "large_days": {"worker_type": "G.2X", "workers": 20, "from_bytes": 1000000000},
    "partner": {"account_id": "111122223333", "external_id": "agreed-with-the-partner", "user": True},
}
"""All that can be switched on."""
EVERYTHING: Mapping[str, Any] = {
    **SWITCHES,
    "transform": {"memory_mb": 2048, "concurrency": 3},
    "deliver_concurrency": 7,
    "max_refused_percent": 40,
    "min_day_percent": 8,
    "max_removed_percent": 9,
    "due_days": 3,
    "days_ahead": 31,
    "days_back": 32,
    "control_file": "required",
    "due_check_schedule": "cron(30 6 ? * MON-FRI *)",
    "completed_batch_within_hours": 74,
    "expected_batches_per_hour": 5,
    "incoming_retention_days": 400,
    "feedback_retention_days": 40,
    "old_version_retention_days": 20,
}
"""The switches, and further variables with other values than their defaults: one plan for all tests of them."""
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    **{name: {name: value} for name, value in SWITCHES.items()},
    "everything": EVERYTHING,
}

_NOT_COPIED = shutil.ignore_patterns("tests", ".terraform", ".terraform.lock.hcl", "*_override.tf", "*.tfstate*")
_NOT_PASSED_ON = ("TF_", "AWS_")


class Terraform(python_terraform.Terraform):
    """Terraform in one folder with exactly one environment, whatever this process's own is."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        super().__init__(str(folder), terraform_bin_path=str(find_terraform()))
        self._environment = dict(environment)

    def run(self, *arguments: str, **options: Any) -> str:
        """Run a command and return what it printed.

        Raises
        ------
        CommandError
            It failed; the message contains Terraform's own.
        """
        with mock.patch.dict(os.environ, self._environment, clear=True), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # python_terraform logs the old way
            code, printed, said = self.cmd(*arguments, **options)
        if code:
            raise CommandError(f"terraform {arguments[0]} failed:", f"\n{said.strip() or printed.strip()}")
        return str(printed)


@dataclass(frozen=True)
class CurrentProvider:
    """Terraform on a copy of the configuration, with the schema of the current provider."""

    terraform: Terraform
    folder: Path
    _plans: dict[str, Plan] = field(default_factory=dict)

    def plan(self, variables: Mapping[str, Any] | None = None, environment: str | None = None) -> Plan:
        """Plan with an environment's variables, or the defaults, and further variables.

        Raises
        ------
        CommandError
            Terraform refuses the configuration.
        """
        given = json.dumps(dict(variables or {}), sort_keys=True)
        key = f"{environment} {given}"
        if key not in self._plans:
            self._plans[key] = self._plan(given, environment)
        return self._plans[key]

    def _plan(self, given: str, environment: str | None) -> Plan:
        values, planned = self.folder / "values.tfvars.json", self.folder / "plan"
        values.write_text(given)
        files = [f"env/{environment}.tfvars"] if environment else []
        quiet = {"input": False, "lock": False, "no_color": IsFlagged}
        self.terraform.run("plan", out=str(planned), var_file=[*files, str(values)], **quiet)
        return Plan(json.loads(self.terraform.run("show", str(planned), json=IsFlagged)))


@contextmanager
def current_provider(source: Path = INFRA) -> Iterator[CurrentProvider]:
    """Copy a configuration as it is, initialise and validate it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
    with tempfile.TemporaryDirectory(prefix="terraform-check-") as name, serve() as reattach:
        folder = Path(name)
        shutil.copytree(source, folder / "infra", ignore=_NOT_COPIED)
        own = {"TF_CLI_CONFIG_FILE": os.devnull, "TF_IN_AUTOMATION": "1", "TF_DATA_DIR": str(folder / "terraform")}
        terraform = Terraform(folder / "infra", kept | reattach | own | {"CHECKPOINT_DISABLE": "1"})
        terraform.run("init", input=False, no_color=IsFlagged)
        terraform.run("validate", no_color=IsFlagged)
        yield CurrentProvider(terraform, folder)


def main(chosen: Sequence[str]) -> int:
    """Check the chosen variants, or all and each environment's file."""
    with current_provider() as provider:
        for name, variables in VARIANTS.items():
            if not chosen or name in chosen:
                plan = provider.plan(variables)
                print(f"AWS provider {VERSION}: {name}: {len(plan.resources)} resources", flush=True)
                if name in ("defaults", "large_days"):
                    print(check_state_machine(plan.definition), flush=True)
        for name in () if chosen else ENVIRONMENTS:
            plan = provider.plan({}, name)
            print(f"AWS provider {VERSION}: env/{name}.tfvars: {len(plan.resources)} resources", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except CommandError as error:
        sys.exit(f"Error: {error}")
