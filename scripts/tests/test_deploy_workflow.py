"""The workflow that deploys: what it runs and who may run it. Its roles: infra/tests/test_deploy_role.py."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pipeline_cli.terraform.target import ROOT

WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())
ON = WORKFLOW[True]  # YAML reads the word "on" as true
JOBS = WORKFLOW["jobs"]


def commands(job: str) -> list[str]:
    return [step["run"] for step in JOBS[job]["steps"] if "run" in step]


def test_a_pull_request_plans_and_only_main_applies() -> None:
    assert "pull_request" in ON
    assert ON["push"]["branches"] == ["main"]
    assert commands("plan") == ["make tf-plan"]
    assert commands("apply") == ["make tf-plan", "make tf-apply YES=1"]
    assert "github.event_name == 'pull_request'" in JOBS["plan"]["if"]
    assert "github.ref == 'refs/heads/main'" in JOBS["apply"]["if"]


def test_nothing_is_applied_without_the_approval_of_an_environment() -> None:
    assert JOBS["apply"]["environment"] == WORKFLOW["env"]["ENV"]
    assert (ROOT / "infra/env" / f"{WORKFLOW['env']['ENV']}.tfvars").exists()
    assert "environment" not in JOBS["plan"], "a job of an environment has another subject, which the plan role refuses"


@pytest.mark.parametrize("job", JOBS)
def test_credentials_come_from_a_token_and_no_secret_is_kept(job: str) -> None:
    assert JOBS[job]["permissions"] == {"contents": "read", "id-token": "write"}
    (credentials,) = (step for step in JOBS[job]["steps"] if "configure-aws-credentials" in step.get("uses", ""))
    assert set(credentials["with"]) == {"role-to-assume", "aws-region"}
    assert "secrets." not in (ROOT / ".github/workflows/deploy.yml").read_text()
