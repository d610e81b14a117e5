"""Data is private and complete, and is deleted when it is no longer needed."""

from __future__ import annotations

import re

import pytest
from pipeline_cli.terraform.target import ROOT

from infra.tests.current_provider.terraform_check import EVERYTHING, CurrentProvider
from infra.tests.support import Plan

pytestmark = pytest.mark.terraform

BUCKET = "module.bucket.aws_s3_bucket"


def test_bucket_is_closed_to_the_public_owns_what_others_upload_and_keeps_old_versions(plan: Plan) -> None:
    block = plan[f"{BUCKET}_public_access_block.this"]

    for argument in ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"):
        assert block[argument] in (True, "true"), argument
    assert plan[f"{BUCKET}_ownership_controls.this"]["rule"][0]["object_ownership"] == "BucketOwnerEnforced"
    assert plan[f"{BUCKET}_versioning.this"]["versioning_configuration"][0]["status"] == "Enabled"


def test_document_says_how_long_each_prefix_is_kept(full: Plan) -> None:
    # Amazon S3 User Guide, "Lifecycle configuration elements": in a versioned bucket an expiration only adds a delete
    # marker, and NoncurrentVersionExpiration deletes the data; S3 rounds each to the next midnight UTC.
    text = (ROOT / "docs" / "security.md").read_text()
    rules = {rule["id"]: rule for rule in full[f"{BUCKET}_lifecycle_configuration.this"]["rule"]}
    rows = re.findall(r"^\| `(\w+)/` \|.*?([`\w]+(?: \+ [`\w]+)+) days \|$", text, re.MULTILINE)
    documented = {
        prefix: sum(EVERYTHING.get(part) or int(part) for part in kept.replace("`", "").split(" + "))
        for prefix, kept in rows
    }
    (old,) = rules.pop("old-versions")["noncurrent_version_expiration"]
    assert rules.pop("leftovers")["abort_incomplete_multipart_upload"] == [{"days_after_initiation": 7}]
    assert {rule["status"] for rule in rules.values()} == {"Enabled"}

    longest = {}
    for rule in rules.values():
        (noncurrent,) = rule["noncurrent_version_expiration"] or [old]
        days = rule["expiration"][0]["days"] + 1 + noncurrent["noncurrent_days"] + 1
        longest[rule["filter"][0]["prefix"].rstrip("/")] = days
    assert documented == longest


def test_production_cannot_be_deleted_by_accident_and_others_can(terraform: CurrentProvider, local: Plan) -> None:
    prod, dev = terraform.plan(environment="prod"), terraform.plan(environment="dev")
    for plan, protected in ((prod, True), (dev, False), (local, False)):
        assert plan["module.table.aws_dynamodb_table.this"]["deletion_protection_enabled"] is protected
        assert plan[f"{BUCKET}.this"]["force_destroy"] is not protected


def test_every_resource_carries_the_tags(plan: Plan) -> None:
    provider = plan.document["configuration"]["provider_config"]["aws"]["expressions"]

    assert provider["default_tags"] == [{"tags": {"references": ["local.tags"]}}]
    assert not [a for a, values in plan.resources.items() if values.get("tags")], "they would hide the provider's"
