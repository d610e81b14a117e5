"""The partner stores files under incoming/ and reads feedback/, with a role or as a user, and can do nothing else."""

from __future__ import annotations

import json

import pytest

from infra.tests.support import ACCOUNT, Plan, PlanError, Planner, grants

pytestmark = pytest.mark.terraform

BUCKET = f"arn:aws:s3:::csv-pipeline-dev-{ACCOUNT}"
UPLOAD = {("s3:PutObject", f"{BUCKET}/incoming/*"), ("s3:AbortMultipartUpload", f"{BUCKET}/incoming/*")}
FEEDBACK = {("s3:ListBucket", BUCKET), ("s3:GetObject", f"{BUCKET}/feedback/*")}
ROLE = {"partner_account_id": "111122223333", "partner_external_id": "agreed-with-the-partner"}


def test_there_is_no_access_by_default(plan: Plan) -> None:
    assert not [address for address in plan.resources if address.startswith("module.partner.")]
    assert plan.outputs["partner_role_arn"].get("value") is None
    assert plan.outputs["partner_user_name"].get("value") is None


def test_role_is_for_the_partners_account_with_the_external_id(planner: Planner) -> None:
    plan = planner.plan(**ROLE)
    role = plan["module.partner.aws_iam_role.this[0]"]
    (statement,) = json.loads(role["assume_role_policy"])["Statement"]

    assert not plan.of_type("aws_iam_user")
    assert statement["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}
    assert statement["Action"] == "sts:AssumeRole"
    assert statement["Condition"] == {"StringEquals": {"sts:ExternalId": "agreed-with-the-partner"}}
    assert role["max_session_duration"] == 3600


def test_role_and_user_may_store_files_read_feedback_and_nothing_else(planner: Planner) -> None:
    plan = planner.plan(**ROLE, partner_user=True)

    assert grants(json.loads(plan['module.partner.aws_iam_role_policy.this["upload"]']["policy"])) == UPLOAD
    assert grants(json.loads(plan['module.partner.aws_iam_user_policy.this["upload"]']["policy"])) == UPLOAD
    for holder in ("role", "user"):
        policy = json.loads(plan[f'module.partner.aws_iam_{holder}_policy.this["feedback"]']["policy"])
        (listing,) = [one for one in policy["Statement"] if one["Action"] == "s3:ListBucket"]
        assert grants(policy) == FEEDBACK
        assert listing["Condition"] == {"StringLike": {"s3:prefix": "feedback/*"}}
    assert plan["module.partner.aws_iam_user.this[0]"]["name"] == "csv-pipeline-dev-partner"
    assert len([address for address in plan.resources if address.startswith("module.partner.")]) == 6


def test_access_to_feedback_can_be_switched_off(planner: Planner) -> None:
    plan = planner.plan(**ROLE, partner_user=True, partner_feedback=False)

    assert not [address for address in plan.resources if 'this["feedback"]' in address]


def test_no_secret_of_the_user_is_in_the_state(planner: Planner) -> None:
    assert not planner.plan(partner_user=True).of_type("aws_iam_access_key")


@pytest.mark.parametrize("given", ["partner_account_id", "partner_external_id"])
def test_account_and_external_id_are_set_together(planner: Planner, given: str) -> None:
    with pytest.raises(PlanError, match="must be given with partner_account_id, and only then"):
        planner.plan(**{given: ROLE[given]})
