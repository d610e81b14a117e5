"""Adapt a copy of `infra/` to the offline AWS provider, for the local target; `infra/` itself is not changed.

The configuration is written for provider 6. Without access to Terraform's registry the provider is 3.39, from a Python
package. The copy leaves out what the schema of 3.39 does not contain (arguments, nested blocks, whole resource types),
points the provider at the local AWS, and names a Lambda runtime that 3.39 accepts.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
from hcl2 import SerializationOptions

from pipeline_cli.local.offline_provider import PROVIDER_VERSION

# A runtime that provider 3.39 accepts; the emulator runs its own Python whatever the name.
LOCAL_RUNTIME = "python3.8"
# Where the local target's package is uploaded before an apply: from a local file, 3.39 creates functions one after the
# other, with a pause of five seconds for each.
PACKAGE_BUCKET = "pipeline-packages"
PACKAGE_KEY = "pipeline.zip"
# Arguments whose changes Terraform must ignore, or 3.39 would revert them at every apply: it sees settings of other
# resources as part of the bucket.
LEFT_ALONE = {
    "aws_s3_bucket": ["server_side_encryption_configuration", "versioning", "lifecycle_rule"],
    "aws_cloudwatch_metric_alarm": "all",  # the emulator returns only some attributes of an alarm
}
# Resource types that 3.39 knows under an earlier name.
EARLIER_NAMES = {"aws_s3_object": "aws_s3_bucket_object"}
# What every resource may have; provider schemas do not list it.
META = frozenset({"count", "for_each", "provider", "depends_on", "lifecycle", "connection", "provisioner"})
NOT_COPIED = shutil.ignore_patterns("tests", ".terraform*", "*.tfstate*", "*.md", "*.tfplan")

LOCAL_SETTINGS = {
    "skip_credentials_validation": True,
    "skip_metadata_api_check": True,
    "skip_region_validation": True,
    "s3_force_path_style": True,
    "max_retries": 3,
}
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

Body = dict[str, Any]
"""The content of a block as python-hcl2 reads it: `"text"` in its quotes, other expressions as they are or in `${}`."""
BLOCK = {"__is_block__": True}
"""What python-hcl2 marks a block with, as an argument may be a list of objects, too."""


def adapt(source: Path, target: Path, schema: Body, endpoint: str, state_file: Path) -> list[str]:
    """Write the adapted copy of a root module, replacing an earlier one; return the names of what it leaves out.

    `schema` is the provider's, as `schema_from` returns it. The variable `local_endpoint` overrides the default
    `endpoint` of the local AWS.
    """
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source, fresh, ignore=NOT_COPIED)
    left_out: set[str] = set()
    for file in fresh.rglob("*"):
        if file.suffix == ".tf":
            text, names = adapt_text(file.read_text(), schema)
            file.write_text(text)
            left_out |= set(names)
        elif file.suffix in (".json", ".tftpl"):
            file.write_text(_allow_message_batches(file.read_text()))
    (fresh / "local.tf").write_text(LOCAL_FILE.format(endpoint=endpoint, state_file=state_file))
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return sorted(left_out)


def adapt_text(text: str, schema: Body) -> tuple[str, list[str]]:
    """Adapt one file; return its new text, without comments, and the names of what was left out."""
    resources, left_out = schema["resource_schemas"], list[str]()
    for name, earlier in EARLIER_NAMES.items():
        if name not in resources and earlier in resources:
            text = re.sub(rf"\b{name}\b", earlier, text)
    text = _allow_message_batches(re.sub(r"(\bdata\.aws_region\.\w+)\.region\b", r"\1.name", text))
    file: Body = hcl2.loads(text, serialization_options=SerializationOptions(with_comments=False))
    for section, kinds in (("resource", resources), ("data", schema["data_source_schemas"])):
        for block in [*file.get(section, ())]:
            ((label, named),) = block.items()
            kind, (body,) = label.strip('"'), named.values()
            if not kind.startswith("aws_"):
                continue
            if kind not in kinds:
                _remove(file, section, block)
                left_out.append(f"{kind} (the whole resource)")
                continue
            left_out += _remove_unknown(body, kinds[kind]["block"], kind, META)
            _remove_references(body, resources, kinds[kind]["block"])
            if kind in LEFT_ALONE:
                body.setdefault("lifecycle", [{**BLOCK}])[0]["ignore_changes"] = LEFT_ALONE[kind]
            if kind == "aws_lambda_function":
                del body["filename"]
                package = {"s3_bucket": f'"{PACKAGE_BUCKET}"', "s3_key": f'"{PACKAGE_KEY}"'}
                body |= {"runtime": f'"{LOCAL_RUNTIME}"', **package}
    for block in file.get("provider", ()):
        (body,), known = block.values(), schema["provider"]["block"]
        _remove_unknown(body, known, "provider")
        # Every service talks to the local AWS, so that no call leaves this machine.
        services = known["block_types"]["endpoints"]["block"]["attributes"]
        body |= LOCAL_SETTINGS | {"endpoints": [dict.fromkeys(sorted(services), "var.local_endpoint") | BLOCK]}
    for settings in file.get("terraform", ()):
        settings.pop("backend", None)
        for providers in settings.get("required_providers", ()):
            providers["aws"]["version"] = f'"{PROVIDER_VERSION}"'
    return "\n".join(_lines(file)) + "\n", left_out


def _remove_unknown(body: Body, known: Body, path: str, meta: frozenset[str] = frozenset()) -> list[str]:
    """Remove from a block what its schema does not contain; return the names of what was removed."""
    attributes, blocks, left_out = known.get("attributes", {}), known.get("block_types", {}), list[str]()
    for name, value in [*body.items()]:
        if name == "dynamic":
            for block in [*value]:
                ((label, dynamic),) = block.items()
                content = {label.strip('"'): dynamic["content"]}
                left_out += _remove_unknown(content, known, path)
                if not content:
                    _remove(body, name, block)
        elif name in blocks:
            for block in value:
                left_out += _remove_unknown(block, blocks[name]["block"], f"{path}.{name}")
        elif name not in attributes and name not in meta and name not in BLOCK:
            del body[name]
            left_out.append(f"{path}.{name}")
    return left_out


def _remove(body: Body, name: str, block: Body) -> None:
    body[name].remove(block)
    if not body[name]:
        del body[name]


def _remove_references(body: Body, resources: Body, known: Body) -> None:
    """Remove the names of removed resources and arguments from `depends_on` and `ignore_changes`."""
    names = known.get("attributes", {}).keys() | known.get("block_types", {}).keys()
    if "depends_on" in body:
        kinds = {item: _leading_name(item) for item in body["depends_on"]}
        body["depends_on"] = [item for item, kind in kinds.items() if kind[:4] != "aws_" or kind in resources]
    for block in body.get("lifecycle", ()):
        if isinstance(ignored := block.get("ignore_changes"), list):
            block["ignore_changes"] = [item for item in ignored if _leading_name(item) in names]


def _leading_name(expression: str) -> str:
    return re.split(r"\W", expression.removeprefix("${"))[0]


def _lines(body: Body) -> Iterator[str]:
    """Write the content of a block; python-hcl2's own writer fails at a sum inside an object of a `for` (8.1.4)."""
    for name, value in body.items():
        blocks = [*_blocks(name, value)]
        for header, content in blocks:
            yield f"{header} {{"
            yield from _lines(content)
            yield "}"
        if not blocks and name not in BLOCK:
            yield f"{name} = {_expression(value)}"


def _blocks(name: str, value: Any) -> Iterator[tuple[str, Body]]:
    """Return each block of a name: its header with the labels, and its content; none for the value of an argument."""
    for block in value if isinstance(value, list) else ():
        header = name
        while isinstance(block, dict) and len(block) == 1 and not block.keys() & BLOCK.keys():
            ((label, block),) = block.items()
            header += f" {label}"
        if isinstance(block, dict) and block.keys() & BLOCK.keys():
            yield header, block


def _expression(value: Any) -> str:
    """Write a value of an argument."""
    if isinstance(value, list):
        return f"[{', '.join(map(_expression, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_expression(key)} = {_expression(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, str):
        return value[2:-1] if value.startswith("${") else value
    return "null" if value is None else str(value).lower()


def _allow_message_batches(text: str) -> str:
    """Allow sqs:SendMessageBatch, which the local AWS checks for batch calls; on AWS sqs:SendMessage covers them."""
    send, batch = '"sqs:SendMessage"', '"sqs:SendMessage", "sqs:SendMessageBatch"'
    text = re.sub(rf"([:=]\s*){send}", rf"\1[{batch}]", text)
    return re.sub(rf"{send}(?=\s*[,\]])(?!, {re.escape(send[:-1])}Batch)", batch, text)
