"""The copy of `infra/` for the offline AWS provider."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from pipeline_cli.local import offline_provider, provider_compat
from pipeline_cli.local.provider_compat import adapt_text
from pipeline_cli.output.errors import CommandError


def block(attributes: str = "", blocks: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "attributes": {name: {} for name in attributes.split()},
        "block_types": {name: {"block": content} for name, content in (blocks or {}).items()},
    }


SCHEMA = {
    "provider": {"block": block("region access_key", {"default_tags": block("tags"), "endpoints": block("s3 sqs")})},
    "resource_schemas": {
        "aws_sqs_queue": {"block": block("name policy redrive", {"timeouts": block("create")})},
        "aws_s3_bucket_object": {"block": block("bucket")},
    },
    "data_source_schemas": {"aws_region": {"block": block("name")}},
}

KNOWN = """resource "aws_sqs_queue" "this" {
count = var.on ? 1 : 0
name = "${var.name}-é${var.fifo ? ".fifo" : ""}"
policy = jsonencode({a = [for x in var.list : upper(x) if x != ""], (var.key) = null})
for_each = {"a b" = 1, c = true, d = ["x", var.y]}
timeouts {
create = "1m"
}
dynamic "timeouts" {
for_each = var.times
content {
create = timeouts.value
}
}
lifecycle {
prevent_destroy = true
}
}
variable "x" {
type = list(object({a = optional(number, 1.5)}))
default = []
}
output "empty" {
}
"""

UNKNOWN = """resource "aws_sqs_queue" "this" {
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
  dynamic "timeouts" {
    for_each = []
    content {
      delete = "1m"
    }
  }
}
"""
LEFT_OUT = [f"aws_sqs_queue.{name}" for name in ("sse", "region", "scaling", "sharding", "timeouts.delete")]
LEFT = """resource "aws_sqs_queue" "this" {
name = "a"
dynamic "timeouts" {
for_each = []
content {
}
}
}
"""

REFERENCES = """resource "aws_pipes_pipe" "this" {
  name = "a"
}
resource "aws_sqs_queue" "this" {
  depends_on = [aws_pipes_pipe.this, aws_sqs_queue.other, module.x]
  lifecycle {
    ignore_changes = [name, newer, tags["a"]]
  }
}
"""
REFERENCED = """resource "aws_sqs_queue" "this" {
depends_on = [aws_sqs_queue.other, module.x]
lifecycle {
ignore_changes = [name]
}
}
"""


@pytest.mark.parametrize(
    ("text", "expected", "left_out"),
    [
        (KNOWN, KNOWN, []),
        (UNKNOWN, LEFT, LEFT_OUT),
        (REFERENCES, REFERENCED, ["aws_pipes_pipe (the whole resource)"]),
        ("locals {\nr = data.aws_region.here.region\n}\n", "locals {\nr = data.aws_region.here.name\n}\n", []),
        (
            'resource "aws_s3_object" "code" {\nbucket = aws_s3_object.other.key\n}\n',
            'resource "aws_s3_bucket_object" "code" {\nbucket = aws_s3_bucket_object.other.key\n}\n',
            [],
        ),
    ],
    ids=["known stays as it is", "unknown goes", "references go", "region", "earlier name"],
)
def test_the_copy_has_what_the_provider_knows(text: str, expected: str, left_out: list[str]) -> None:
    assert adapt_text(text, SCHEMA) == (expected, left_out)


def test_the_provider_talks_to_the_local_aws_only() -> None:
    adapted, _ = adapt_text('provider "aws" {\n  region = var.region\n  retry_mode = "standard"\n}\n', SCHEMA)

    assert "region = var.region" in adapted
    assert "retry_mode" not in adapted
    assert "endpoints {\ns3 = var.local_endpoint\nsqs = var.local_endpoint\n}" in adapted
    assert "access_key" not in adapted, "the keys are in the environment"


@pytest.mark.parametrize(
    ("policy", "adapted"),
    [
        ('"Action": "sqs:SendMessage",', '"Action": ["sqs:SendMessage", "sqs:SendMessageBatch"],'),
        ('["sqs:A", "sqs:SendMessage", "sqs:B"]', '["sqs:A", "sqs:SendMessage", "sqs:SendMessageBatch", "sqs:B"]'),
    ],
)
def test_who_may_send_a_message_may_send_a_batch(policy: str, adapted: str) -> None:
    assert provider_compat._allow_message_batches(policy) == adapted
    assert provider_compat._allow_message_batches(adapted) == adapted


def test_the_copy_has_everything_but_tests_and_state(tmp_path: Path) -> None:
    source, target = tmp_path / "infra", tmp_path / "build" / "infra"
    for name in ("main.tf", "modules/queue/policy.json", "tests/test_plan.py", "terraform.tfstate"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    (target / "stale").mkdir(parents=True)

    provider_compat.adapt(source, target, SCHEMA, "http://127.0.0.1:1", tmp_path / "state")

    copied = {str(file.relative_to(target)): file.read_text() for file in target.rglob("*") if file.is_file()}
    assert copied.keys() == {"local.tf", "main.tf", "modules/queue/policy.json"}
    assert 'default     = "http://127.0.0.1:1"' in copied["local.tf"]


def test_a_provider_that_is_not_the_published_one_is_refused(tmp_path: Path) -> None:
    forged = tmp_path / offline_provider.PROVIDER_ARCHIVE
    with zipfile.ZipFile(forged, "w") as archive:
        archive.writestr("terraform-provider-aws_v3.39.0_x5", "not it")

    with pytest.raises(CommandError, match="not the file that HashiCorp published"):
        offline_provider._unpack(forged, tmp_path / "mirror" / "linux_amd64")

    assert not (tmp_path / "mirror").exists()
