"""The workflow that deploys: what it runs, who may run it, and that the roles trust exactly these jobs."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from pipeline_cli.terraform.target import ROOT

WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())
ROLES = (ROOT / "examples/deploy-role/main.tf").read_text()
ON = WORKFLOW[True]  # YAML reads the word "on" as true
JOBS = WORKFLOW["jobs"]
SUBJECTS = {"plan": "pull_request", "apply": "environment:${each.key}"}
"""What GitHub calls the subject of each job (About security hardening with OpenID Connect, example subject claims)."""


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
    assert WORKFLOW["permissions"] == {"contents": "read", "id-token": "write"}
    (credentials,) = (step for step in JOBS[job]["steps"] if "configure-aws-credentials" in step.get("uses", ""))
    assert set(credentials["with"]) == {"role-to-assume", "aws-region"}
    assert "secrets." not in (ROOT / ".github/workflows/deploy.yml").read_text()


@pytest.mark.parametrize(("job", "subject"), SUBJECTS.items())
def test_a_role_trusts_its_job_and_no_other(job: str, subject: str) -> None:
    name = {"plan": "trust_plan", "apply": "trust_deploy"}[job]
    (trust,) = re.findall(rf'data "aws_iam_policy_document" "{name}" {{\n(.*?)\n}}\n', ROLES, re.DOTALL)
    assert re.findall(r":sub\"\n\s*values\s*= \[\"([^\"]*)\"\]", trust) == [f"repo:${{var.repository}}:{subject}"]
    assert trust.count('test     = "StringEquals"') == 2
    assert '"sts.amazonaws.com"' in trust


def test_passing_a_role_is_allowed_to_the_services_that_take_one_only() -> None:
    (statement,) = re.findall(r'sid\s*= "PassRoles"\n(.*?)\n  }\n', ROLES, re.DOTALL)
    assert "iam:PassedToService" in statement
    assert ROLES.count("iam:PassRole") == 1
    assert not re.findall(r'"iam:[^"]*\*', ROLES)


def test_the_roles_cover_the_job_for_large_days() -> None:
    (named,) = re.findall(r'sid\s*= "Named"\n(.*?)\n  }\n', ROLES, re.DOTALL)
    assert '"glue:*"' in named
    assert ":job/${var.name}-${each.key}*" in named
    assert '"glue.amazonaws.com"' in ROLES
    assert "${var.name}-*/code/*" in ROLES, "a plan compares the job's code, which the plan role may read"
