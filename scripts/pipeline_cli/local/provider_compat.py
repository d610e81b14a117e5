"""Adapt a copy of `infra/` to the offline AWS provider, for the local target; `infra/` itself is not changed.

The configuration is written for provider 6. Without access to Terraform's registry the provider is 3.39, from a Python
package. The copy leaves out what the schema of 3.39 does not contain (arguments, nested blocks, whole resource types),
points the provider at the local AWS, and names a Lambda runtime that 3.39 accepts. Only the text at these places is
edited, so every other expression stays exactly as written.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2
from lark import Token, Tree

from pipeline_cli.local import hcl
from pipeline_cli.local.offline_provider import PROVIDER_VERSION
from pipeline_cli.output.errors import CommandError

# A runtime that provider 3.39 accepts; the emulator runs its own Python whatever the name.
LOCAL_RUNTIME = "python3.8"
# Where the local target's package is uploaded before an apply.
PACKAGE_BUCKET = "pipeline-packages"
PACKAGE_KEY = "pipeline.zip"
# Arguments whose changes Terraform must ignore, or 3.39 would revert them at every apply: it sees settings of other
# resources as part of the bucket.
LEFT_ALONE = {
    "aws_s3_bucket": ("server_side_encryption_configuration", "versioning", "lifecycle_rule"),
    "aws_cloudwatch_metric_alarm": ("all",),  # the emulator returns only some attributes of an alarm
}
# Resource types that 3.39 knows under an earlier name.
EARLIER_NAMES = {"aws_s3_object": "aws_s3_bucket_object"}
# What every resource may have; provider schemas do not list it.
META_ARGUMENTS = frozenset({"count", "for_each", "provider", "depends_on"})
META_BLOCKS = frozenset({"lifecycle", "connection", "provisioner"})
NOT_COPIED = shutil.ignore_patterns("tests", ".terraform*", "*.tfstate*", "*.md", "*.tfplan")

LOCAL_SETTINGS = """
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  s3_force_path_style         = true
  max_retries                 = 3

  endpoints {{
{endpoints}
  }}
"""
LOCAL_FILE = """# Written by scripts/pipeline_cli/local/provider_compat.py.

terraform {{
  backend "local" {{
    path = "{state_file}"
  }}
}}

variable "local_endpoint" {{
  description = "Address of the local AWS."
  type        = string
  default     = "{endpoint}"
}}
"""


@dataclass(frozen=True)
class Fitted:
    """An adapted copy: its folder and what it leaves out."""

    folder: Path
    left_out: tuple[str, ...]

    @property
    def lacks_versioning(self) -> bool:
        """Whether the bucket's versioning was left out, as a resource type that 3.39 does not know."""
        return any(line.startswith("aws_s3_bucket_versioning") for line in self.left_out)


def fit(source: Path, target: Path, schema: dict[str, Any], endpoint: str, state_file: Path) -> Fitted:
    """Write the adapted copy of a root module, replacing an earlier one.

    Parameters
    ----------
    source
        The root module, `infra/`.
    target
        The folder of the copy.
    schema
        The provider's schema, as `schema_from` returns it.
    endpoint
        The default address of the local AWS; the variable `local_endpoint` overrides it.
    state_file
        The file in which Terraform keeps the state.
    """
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source, fresh, ignore=NOT_COPIED)
    left_out: list[str] = []
    for file in sorted(fresh.rglob("*")):
        if file.suffix == ".tf":
            text, lines = fit_text(file.read_text(), schema)
            file.write_text(text)
            left_out += lines
        elif file.suffix in (".json", ".tftpl"):
            file.write_text(_allow_message_batches(file.read_text()))
    (fresh / "local.tf").write_text(LOCAL_FILE.format(endpoint=endpoint, state_file=state_file))
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return Fitted(target, tuple(sorted(set(left_out))))


def fit_text(text: str, schema: dict[str, Any]) -> tuple[str, list[str]]:
    """Adapt one file; return its new text and the names of what was left out."""
    for name, earlier in EARLIER_NAMES.items():
        if name not in schema["resource_schemas"] and earlier in schema["resource_schemas"]:
            text = re.sub(rf"\b{name}\b", earlier, text)
    edits, left_out = hcl.Edits(text), list[str]()
    for block in hcl.blocks(hcl2.parses_to_tree(text).children[0]):
        kind, labels = hcl.head(block)
        if kind in ("resource", "data") and labels[0].startswith("aws_"):
            known = schema["resource_schemas" if kind == "resource" else "data_source_schemas"].get(labels[0])
            if known is None:
                edits.remove(block)
                left_out.append(f"{labels[0]} (the whole resource)")
                continue
            left_out += _fit_body(edits, hcl.body(block), known["block"], labels[0], top=True)
            _fit_lists(edits, hcl.body(block), schema, known["block"])
            _leave_alone(edits, hcl.body(block), LEFT_ALONE.get(labels[0], ()))
            if labels[0] == "aws_lambda_function":
                _fit_function(edits, hcl.body(block))
        elif kind == "provider" and labels == ["aws"]:
            _fit_provider(edits, hcl.body(block), schema["provider"]["block"])
        elif kind == "terraform":
            _fit_settings(edits, hcl.body(block))
    fitted = re.sub(r"(\bdata\.aws_region\.\w+)\.region\b", r"\1.name", edits.result())
    return _allow_message_batches(fitted), left_out


def _fit_body(edits: hcl.Edits, body: Tree[Token], known: dict[str, Any], path: str, *, top: bool = False) -> list[str]:
    """Remove from a block what its schema does not contain; return the names of what was removed."""
    attributes, blocks = known.get("attributes", {}), known.get("block_types", {})
    left_out = []
    for attribute in hcl.attributes(body):
        name = hcl.name(attribute)
        if name not in attributes and not (top and name in META_ARGUMENTS):
            edits.remove(attribute)
            left_out.append(f"{path}.{name}")
    for block in hcl.blocks(body):
        kind, labels = hcl.head(block)
        name, content = (labels[0], hcl.content(block)) if kind == "dynamic" else (kind, hcl.body(block))
        if top and name in META_BLOCKS:
            continue
        if name in blocks:
            left_out += _fit_body(edits, content, blocks[name]["block"], f"{path}.{name}")
        elif name not in attributes:
            edits.remove(block)
            left_out.append(f"{path}.{name}")
    return left_out


def _fit_lists(edits: hcl.Edits, body: Tree[Token], schema: dict[str, Any], known: dict[str, Any]) -> None:
    """Remove the names of removed resources and arguments from `depends_on` and `ignore_changes`."""
    resources = schema["resource_schemas"]
    names = known.get("attributes", {}).keys() | known.get("block_types", {}).keys()
    lists = [(attribute, "depends_on") for attribute in hcl.attributes(body)]
    for block in hcl.blocks(body):
        if hcl.head(block)[0] == "lifecycle":
            lists += [(attribute, "ignore_changes") for attribute in hcl.attributes(hcl.body(block))]
    for attribute, list_name in lists:
        if hcl.name(attribute) != list_name:
            continue
        start, end = attribute.meta.start_pos, attribute.meta.end_pos
        head, bracket, entries = edits.text[start:end].partition("[")
        if not bracket:
            continue  # ignore_changes = all
        items = [item.strip() for item in entries.rpartition("]")[0].split(",") if item.strip()]
        kept = [
            item
            for item in items
            if (not item.startswith("aws_") or item.split(".")[0] in resources)
            and (list_name == "depends_on" or re.split(r"[.\[]", item)[0] in names)
        ]
        if kept != items:
            edits.replace(start, end, f"{head}[{', '.join(kept)}]")


def _leave_alone(edits: hcl.Edits, body: Tree[Token], names: Sequence[str]) -> None:
    """Make Terraform ignore changes of these arguments."""
    if not names:
        return
    ignored = "ignore_changes = " + ("all" if names == ("all",) else f"[{', '.join(names)}]")
    for block in hcl.blocks(body):
        if hcl.head(block)[0] != "lifecycle":
            continue
        if any(hcl.name(attribute) == "ignore_changes" for attribute in hcl.attributes(hcl.body(block))):
            raise CommandError("The fit for the local target cannot add to an ignore_changes that is there already.")
        edits.insert(hcl.body(block), f"    {ignored}\n")
        return
    edits.insert(body, f"\n  lifecycle {{\n    {ignored}\n  }}\n")


def _fit_function(edits: hcl.Edits, body: Tree[Token]) -> None:
    """Name a runtime that 3.39 accepts, and take the package from a bucket instead of a local file.

    From a local file, 3.39 creates functions one after the other, with a pause of five seconds for each.
    """
    new = {
        "runtime": f'runtime = "{LOCAL_RUNTIME}"',
        "filename": f's3_bucket = "{PACKAGE_BUCKET}"\n  s3_key    = "{PACKAGE_KEY}"',
    }
    for attribute in hcl.attributes(body):
        if hcl.name(attribute) in new:
            edits.replace(attribute.meta.start_pos, attribute.meta.end_pos, new[hcl.name(attribute)])


def _fit_provider(edits: hcl.Edits, body: Tree[Token], known: dict[str, Any]) -> None:
    """Point every service of the provider at the local AWS, so that no call leaves this machine."""
    _fit_body(edits, body, known, "provider")
    services = known["block_types"]["endpoints"]["block"]["attributes"]
    endpoints = "\n".join(f"    {service} = var.local_endpoint" for service in sorted(services))
    edits.insert(body, LOCAL_SETTINGS.format(endpoints=endpoints))


def _fit_settings(edits: hcl.Edits, body: Tree[Token]) -> None:
    """Pin the offline provider's version and remove the backend of the state."""
    for block in hcl.blocks(body):
        kind, _ = hcl.head(block)
        if kind in ("backend", "cloud"):
            edits.remove(block)
        elif kind == "required_providers":
            start, end = block.meta.start_pos, block.meta.end_pos
            pinned = re.sub(r'(\bversion\s*=\s*)"[^"]*"', rf'\1"{PROVIDER_VERSION}"', edits.text[start:end])
            edits.replace(start, end, pinned)


def _allow_message_batches(text: str) -> str:
    """Allow sqs:SendMessageBatch, which the local AWS checks for batch calls; on AWS sqs:SendMessage covers them."""
    send, batch = '"sqs:SendMessage"', '"sqs:SendMessage", "sqs:SendMessageBatch"'
    text = re.sub(rf"([:=]\s*){send}", rf"\1[{batch}]", text)
    return re.sub(rf"{send}(?=\s*[,\]])(?!, {re.escape(send[:-1])}Batch)", batch, text)
