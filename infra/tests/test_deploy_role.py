"""The roles of the workflow that deploys: whom they trust, and that they reach one deployment's resources alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform.target import ROOT

from infra.tests.authorization_reference import problems
from infra.tests.current_provider.schema_provider import ACCOUNT, REGION
from infra.tests.current_provider.terraform_check import EVERYTHING, CurrentProvider, current_provider
from infra.tests.support import Plan, as_list, one_line

pytestmark = pytest.mark.terraform

IDS = {"owner": 123456, "repository": 456789}
GIVEN = {"repository": "octocat/my-repo", "repository_ids": IDS}


@pytest.fixture(scope="module")
def roles() -> Iterator[CurrentProvider]:
    with current_provider(ROOT / "examples" / "deploy-role") as provider:
        yield provider


def statements(plan: Plan, role: str = "") -> Iterator[Mapping[str, Any]]:
    for address, policy in plan.policies():
        if f"aws_iam_role_policy.{role}" in address:
            yield from policy["Statement"]


def allowed(plan: Plan, action: str, resource: str, service: str = "") -> bool:
    """Whether the deploy role may do something with a resource; conditions on tags and functions are taken as met."""

    def matches(value: str, patterns: str | list[str]) -> bool:
        return any(fnmatchcase(value, pattern) for pattern in as_list(patterns))

    return any(
        matches(action, statement["Action"])
        and matches(resource, statement["Resource"])
        and service
        in as_list(statement.get("Condition", {}).get("StringEquals", {}).get("iam:PassedToService", service))
        for statement in statements(plan, "deploy")
    )


@pytest.mark.parametrize("given", [GIVEN, {"repository": "octocat/my-repo", "provider_exists": True}])
def test_every_statement_is_one_that_aws_knows(roles: CurrentProvider, given: Mapping[str, Any]) -> None:
    plan = roles.plan(given)

    assert [
        (address, statement["Sid"], said)
        for address, policy in plan.policies()
        for statement in policy["Statement"]
        for said in problems(statement)
    ] == []


def test_role_trusts_its_job_by_either_form_of_its_subject_and_no_other(roles: CurrentProvider) -> None:
    # GitHub, "OpenID Connect reference", section "Immutable subject claims": repositories that were created, renamed or
    # moved since July 2026 have repo:OWNER@ID/NAME@ID.
    jobs = {"aws_iam_role.plan": "pull_request", 'aws_iam_role.deploy["prod"]': "environment:prod"}
    named, immutable = "repo:octocat/my-repo", "repo:octocat@123456/my-repo@456789"
    for given, repositories in ((GIVEN, [named, immutable]), ({**GIVEN, "repository_ids": None}, [named])):
        plan = roles.plan(given)
        for address, job in jobs.items():
            (statement,) = json.loads(plan[address]["assume_role_policy"])["Statement"]
            assert statement["Condition"] == {
                "StringEquals": {
                    "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
                    "token.actions.githubusercontent.com:sub": [f"{repository}:{job}" for repository in repositories],
                }
            }


@pytest.mark.parametrize(
    "given",
    [
        {"repository": "octocat@123456/my-repo@456789"},
        {"repository": "octocat/*"},
        {**GIVEN, "repository_ids": {"owner": 1.5, "repository": 1}},
        {**GIVEN, "environments": ["Prod"]},
        {**GIVEN, "environments": ["prod", "prod-2"]},
        {**GIVEN, "name": "Csv"},
    ],
)
def test_bad_value_is_refused(roles: CurrentProvider, given: Mapping[str, Any]) -> None:
    with pytest.raises(CommandError) as refused:
        roles.plan(given)

    assert "Invalid value for variable" in one_line(refused.value)


def made(terraform: CurrentProvider, environment: str) -> set[str]:
    """The ARN of each resource that a deployment with everything makes and that AWS lets one name beforehand."""
    plan = terraform.plan({**EVERYTHING, "environment": environment})
    prefix = f"csv-pipeline-{environment}"
    regional = f"arn:aws:{{}}:{REGION}:{ACCOUNT}:{{}}"
    forms = {
        "aws_cloudwatch_event_rule": ("name", regional.format("events", "rule/{}")),
        "aws_cloudwatch_log_group": ("name", regional.format("logs", "log-group:{}")),
        "aws_cloudwatch_metric_alarm": ("alarm_name", regional.format("cloudwatch", "alarm:{}")),
        "aws_cloudwatch_dashboard": ("dashboard_name", f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/{{}}"),
        "aws_dynamodb_table": ("name", regional.format("dynamodb", "table/{}")),
        "aws_glue_job": ("name", regional.format("glue", "job/{}")),
        "aws_iam_role": ("name", f"arn:aws:iam::{ACCOUNT}:role/{{}}"),
        "aws_iam_user": ("name", f"arn:aws:iam::{ACCOUNT}:user/{{}}"),
        "aws_kms_alias": ("name", regional.format("kms", "{}")),
        "aws_lambda_function": ("function_name", regional.format("lambda", "function:{}")),
        "aws_s3_bucket": ("bucket", "arn:aws:s3:::{}"),
        "aws_sfn_state_machine": ("name", regional.format("states", "stateMachine:{}")),
        "aws_sns_topic": ("name", regional.format("sns", "{}")),
        "aws_sqs_queue": ("name", regional.format("sqs", "{}")),
    }
    found = {form.format(v[argument]) for kind, (argument, form) in forms.items() for v in plan.of_type(kind).values()}
    assert all(prefix in arn for arn in found)
    return found


CREATE = {
    "events": "PutRule",
    "logs": "CreateLogGroup",
    "dynamodb": "CreateTable",
    "glue": "CreateJob",
    "kms": "CreateAlias",
    "lambda": "CreateFunction",
    "s3": "CreateBucket",
    "states": "CreateStateMachine",
    "sns": "CreateTopic",
    "sqs": "CreateQueue",
}


def creation(arn: str) -> str:
    service = arn.split(":")[2]
    if service in CREATE:
        return f"{service}:{CREATE[service]}"
    return {
        "alarm": "cloudwatch:PutMetricAlarm",
        "dashboard": "cloudwatch:PutDashboard",
        "role": "iam:CreateRole",
        "user": "iam:CreateUser",
    }[arn.split(":")[5].split("/")[0]]


def test_role_may_make_its_own_deployment_and_no_other(roles: CurrentProvider, terraform: CurrentProvider) -> None:
    plan = roles.plan(GIVEN)

    assert [arn for arn in made(terraform, "prod") if not allowed(plan, creation(arn), arn)] == []
    assert [arn for arn in made(terraform, "prod2") if allowed(plan, creation(arn), arn)] == []
    own = f"arn:aws:iam::{ACCOUNT}:role/deploy-csv-pipeline-prod"
    assert not allowed(plan, "iam:PutRolePolicy", own), "the role may not change itself"


def test_policies_of_the_longest_names_fit_into_a_role(roles: CurrentProvider) -> None:
    # AWS Identity and Access Management User Guide, "IAM and AWS STS quotas": 10,240 characters for all inline policies
    # of a role, white space not counted.
    plan = roles.plan({**GIVEN, "name": "a" * 30, "environments": ["b" * 16]})
    inline = [values["policy"] for address, values in plan.resources.items() if "role_policy.deploy" in address]

    assert len(inline) == 2
    assert sum(len("".join(policy.split())) for policy in inline) <= 10_240


def test_role_passes_its_roles_to_the_services_that_take_one_only(roles: CurrentProvider) -> None:
    plan, role = roles.plan(GIVEN), f"arn:aws:iam::{ACCOUNT}:role/csv-pipeline-prod-transform"

    assert all(
        allowed(plan, "iam:PassRole", role, f"{service}.amazonaws.com") for service in ("glue", "lambda", "states")
    )
    assert not allowed(plan, "iam:PassRole", role, "ec2.amazonaws.com")


@pytest.mark.parametrize(
    ("resource", "actions"),
    [
        # AWS KMS Developer Guide, "Controlling access to aliases": permission on the alias and on the key.
        *((f"arn:aws:kms:{REGION}:{ACCOUNT}:{it}", "kms:CreateAlias kms:DeleteAlias kms:UpdateAlias")
          for it in ("alias/csv-pipeline-prod", "key/1234")),
        # terraform-provider-aws, internal/service/iam/user.go, resourceUserDelete with force_destroy.
        (
            f"arn:aws:iam::{ACCOUNT}:user/csv-pipeline-prod-partner",
            "iam:ListGroupsForUser iam:ListAccessKeys iam:DeleteAccessKey iam:ListSSHPublicKeys iam:ListMFADevices "
            "iam:ListVirtualMFADevices iam:DeleteLoginProfile iam:ListSigningCertificates "
            "iam:ListServiceSpecificCredentials iam:DeleteUser",
        ),
    ],
)  # fmt: skip
def test_role_may_do_what_removing_key_and_partner_calls(roles: CurrentProvider, resource: str, actions: str) -> None:
    plan = roles.plan(GIVEN)

    assert [action for action in actions.split() if not allowed(plan, action, resource)] == []


def test_plan_role_reads_the_code_of_the_job_and_the_state_but_no_data(roles: CurrentProvider) -> None:
    denied = [statement for statement in statements(roles.plan(GIVEN), "plan") if statement["Effect"] == "Deny"]
    objects = [statement["NotResource"] for statement in denied if "NotResource" in statement]

    assert objects == [[f"arn:aws:s3:::csv-pipeline-state-{ACCOUNT}/*", "arn:aws:s3:::csv-pipeline-*/code/*"]]
    assert {"dynamodb:GetItem", "sqs:ReceiveMessage", "logs:GetLogEvents"} <= {
        action for statement in denied for action in statement["Action"]
    }
