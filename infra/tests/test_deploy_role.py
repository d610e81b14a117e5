"""The roles of the workflow that deploys: whom they trust, and that they reach one deployment's resources alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest
from pipeline_cli.terraform.target import ROOT

from infra.tests.authorization_reference import complaints
from infra.tests.current_provider.schema_provider import ACCOUNT, REGION
from infra.tests.current_provider.terraform_check import EVERYTHING, CurrentProvider, current_provider
from infra.tests.support import Plan, as_list

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


def test_every_statement_is_one_that_aws_knows(roles: CurrentProvider) -> None:
    assert complaints(roles.plan(GIVEN)) == []


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


NAMED = {
    "aws_cloudwatch_event_rule": ("events:PutRule", "name", "rule/{}"),
    "aws_cloudwatch_log_group": ("logs:CreateLogGroup", "name", "log-group:{}"),
    "aws_cloudwatch_metric_alarm": ("cloudwatch:PutMetricAlarm", "alarm_name", "alarm:{}"),
    "aws_cloudwatch_dashboard": ("cloudwatch:PutDashboard", "dashboard_name", "dashboard/{}"),
    "aws_dynamodb_table": ("dynamodb:CreateTable", "name", "table/{}"),
    "aws_glue_job": ("glue:CreateJob", "name", "job/{}"),
    "aws_iam_role": ("iam:CreateRole", "name", "role/{}"),
    "aws_iam_user": ("iam:CreateUser", "name", "user/{}"),
    "aws_kms_alias": ("kms:CreateAlias", "name", "{}"),
    "aws_lambda_function": ("lambda:CreateFunction", "function_name", "function:{}"),
    "aws_s3_bucket": ("s3:CreateBucket", "bucket", "{}"),
    "aws_sfn_state_machine": ("states:CreateStateMachine", "name", "stateMachine:{}"),
    "aws_sns_topic": ("sns:CreateTopic", "name", "{}"),
    "aws_sqs_queue": ("sqs:CreateQueue", "name", "{}"),
}
"""By resource type: the action that creates one, the argument that names it, and the end of its ARN."""
PLACES = {"s3": ":", "iam": f":{ACCOUNT}", "dashboard": f":{ACCOUNT}"}
"""Where there is no region."""


def creations(terraform: CurrentProvider) -> set[tuple[str, str]]:
    """The action and the ARN of each resource of a deployment with everything that AWS lets one name beforehand."""
    plan = terraform.plan({**EVERYTHING, "environment": "prod"})
    found = set()
    for kind, (action, argument, end) in NAMED.items():
        service = action.partition(":")[0]
        place = PLACES.get(service, PLACES.get(end.partition("/")[0], f"{REGION}:{ACCOUNT}"))
        arns = (f"arn:aws:{service}:{place}:{end.format(made[argument])}" for made in plan.of_type(kind).values())
        found |= {(action, arn) for arn in arns}
    assert all("csv-pipeline-prod" in arn for _, arn in found)
    return found


def test_role_may_make_its_own_deployment_and_no_other(roles: CurrentProvider, terraform: CurrentProvider) -> None:
    plan, made = roles.plan(GIVEN), creations(terraform)

    assert [one for one in made if not allowed(plan, *one)] == []
    others = [(action, arn.replace("csv-pipeline-prod", "csv-pipeline-prod2")) for action, arn in made]
    assert [one for one in others if allowed(plan, *one)] == []
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

    for service, passed in {"glue": True, "lambda": True, "states": True, "ec2": False}.items():
        assert allowed(plan, "iam:PassRole", role, f"{service}.amazonaws.com") is passed, service


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
