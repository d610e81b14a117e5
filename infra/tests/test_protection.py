"""Data is private and complete, and is deleted when it is no longer needed."""

from __future__ import annotations

import pytest
from python_terraform import IsFlagged

from infra.tests.support import ENVIRONMENTS, INFRA, Plan, PlanError, Planner, one_line, resources_of

pytestmark = pytest.mark.terraform

BUCKET = resources_of(INFRA / "modules/bucket")


def test_bucket_is_closed_to_the_public(plan: Plan) -> None:
    block = plan["module.bucket.aws_s3_bucket_public_access_block.this"]

    assert block["block_public_acls"]
    assert block["block_public_policy"]
    assert block["ignore_public_acls"]
    assert block["restrict_public_buckets"]


def test_bucket_owns_what_others_upload() -> None:
    (rule,) = BUCKET["aws_s3_bucket_ownership_controls.this"]["rule"]

    assert rule["object_ownership"] == "BucketOwnerEnforced"


def test_bucket_keeps_old_versions_and_encrypts() -> None:
    (versioning,) = BUCKET["aws_s3_bucket_versioning.this"]["versioning_configuration"]
    (encryption,) = BUCKET["aws_s3_bucket_server_side_encryption_configuration.this"]["rule"]

    assert versioning["status"] == "Enabled"
    assert "AES256" in encryption["apply_server_side_encryption_by_default"][0]["sse_algorithm"]


def test_bucket_expires_work_feedback_old_versions_and_aborted_uploads() -> None:
    rules = {rule["id"]: rule for rule in BUCKET["aws_s3_bucket_lifecycle_configuration.this"]["rule"]}

    assert {name: rule["status"] for name, rule in rules.items()} == dict.fromkeys(
        ("work", "feedback", "old-versions", "leftovers"), "Enabled"
    )
    assert rules["work"]["filter"][0]["prefix"] == "work/"
    assert rules["work"]["expiration"][0]["days"] == "${var.work_retention_days}"
    assert rules["feedback"]["filter"][0]["prefix"] == "feedback/"
    assert rules["feedback"]["expiration"][0]["days"] == "${var.feedback_retention_days}"
    for name in ("work", "feedback"):
        assert rules[name]["noncurrent_version_expiration"] == [{"noncurrent_days": 1}]
    assert rules["old-versions"]["noncurrent_version_expiration"] == [
        {"noncurrent_days": "${var.old_version_retention_days}"}
    ]
    assert rules["leftovers"]["abort_incomplete_multipart_upload"] == [
        {"days_after_initiation": "${var.aborted_upload_retention_days}"}
    ]


def test_partners_files_never_expire() -> None:
    rules = BUCKET["aws_s3_bucket_lifecycle_configuration.this"]["rule"]

    expiring = [rule["filter"][0].get("prefix", "") for rule in rules if "days" in rule.get("expiration", [{}])[0]]
    assert sorted(expiring) == ["feedback/", "work/"]


def test_queues_and_table_encrypt_and_the_table_can_be_restored(plan: Plan) -> None:
    table = plan["module.table.aws_dynamodb_table.this"]
    queues = resources_of(INFRA / "modules/queue")

    assert table["server_side_encryption"][0]["enabled"] is True
    assert table["point_in_time_recovery"] == [{"enabled": True}]
    for name in ("this", "dead_letter"):
        assert queues[f"aws_sqs_queue.{name}"]["sqs_managed_sse_enabled"] == "${var.kms_key == null ? true : null}"


def test_access_logs_and_expiry_of_items_can_be_switched_on(planner: Planner) -> None:
    logging = BUCKET["aws_s3_bucket_logging.this"]
    table = planner.plan(table_ttl_attribute="expires_at")["module.table.aws_dynamodb_table.this"]

    assert logging["target_bucket"] == "${var.access_log_bucket}"
    assert table["ttl"][0]["attribute_name"] == "expires_at"
    assert table["ttl"][0]["enabled"] is True
    assert not planner.plan()["module.table.aws_dynamodb_table.this"]["ttl"]


def test_production_cannot_be_deleted_by_accident(planner: Planner) -> None:
    table = resources_of(INFRA / "modules/table")["aws_dynamodb_table.this"]

    assert table["deletion_protection_enabled"] == "${var.deletion_protection}"
    assert planner.plan("prod")["module.bucket.aws_s3_bucket.this"]["force_destroy"] is False


def test_local_and_dev_can_be_deleted(planner: Planner, local_plan: Plan) -> None:
    assert local_plan["module.bucket.aws_s3_bucket.this"]["force_destroy"] is True
    assert planner.plan("dev")["module.bucket.aws_s3_bucket.this"]["force_destroy"] is True


def test_every_resource_carries_the_tags(plan: Plan) -> None:
    tagged = {address: values for address, values in plan.resources.items() if "tags_all" in values}

    assert len(tagged) > 20
    for address, values in tagged.items():
        assert values["tags_all"] == {
            "application": "csv-pipeline",
            "environment": "dev",
            "managed-by": "terraform",
        }, address


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_environment_plans_under_its_own_name(planner: Planner, environment: str) -> None:
    plan = planner.plan(environment)

    assert plan.outputs["bucket_name"]["value"] == f"csv-pipeline-{environment}-000000000000"


def test_clean_checkout_plans_but_deploys_nothing_without_a_package(planner: Planner) -> None:
    plan = planner.plan("local", package_file="nowhere/pipeline.zip")
    code, _, said = planner.terraform.cmd(
        "apply",
        str(planner.folder / "plan"),
        state=str(planner.folder / "no-package.tfstate"),
        no_color=IsFlagged,
    )

    assert len(plan.of_type("aws_lambda_function")) == 5
    assert code
    assert "There is no package nowhere/pipeline.zip: build it with `make package`" in one_line(said)


def test_only_local_may_do_without_tls(planner: Planner) -> None:
    with pytest.raises(PlanError, match="require_tls must be true in every environment but local"):
        planner.plan("dev", require_tls=False)
