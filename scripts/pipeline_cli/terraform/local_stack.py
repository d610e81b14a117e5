"""The stack on the local AWS: Terraform runs on the copy of `infra/` that `local/provider_compat.py` adapts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_cli.local import emulator, offline_provider, provider_compat
from pipeline_cli.output import terminal
from pipeline_cli.output.files import write_whole
from pipeline_cli.terraform.dependencies import digest
from pipeline_cli.terraform.target import LOCAL, ROOT, Target
from pipeline_cli.terraform.terraform_command import Terraform

# Prefixes of variables that a person may have set for an AWS account, and that must not affect the local target.
NOT_FOR_LOCAL = ("AWS_", "TF_CLI_ARGS", "TF_WORKSPACE", "TF_VAR_", "TF_PLUGIN_CACHE_DIR")


@dataclass(frozen=True)
class LocalStack:
    """The stack on a local AWS: emulator, adapted configuration, state and outputs, all in `folder`.

    `shared` has the unpacked provider and its schema, which several stacks share. `quiet` prints nothing.
    """

    folder: Path = ROOT / "build" / LOCAL
    shared: Path = ROOT / "build" / LOCAL
    source: Path = ROOT / "infra"
    quiet: bool = False

    @property
    def terraform(self) -> Terraform:
        """Terraform on the adapted copy."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_FOR_LOCAL)}
        record = emulator.Emulator(self.folder).running()
        environment = (
            kept
            | (record.environment if record else {})
            | {
                "GOGC": "400",  # Terraform spends a third of its seconds on garbage collection by default
                "TF_CLI_CONFIG_FILE": str(self.shared / "terraform.rc"),
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                "NO_PROXY": emulator.HOST,
                "no_proxy": emulator.HOST,
            }
        )
        return Terraform(self.folder / "infra", self.folder / "terraform", environment)

    @property
    def state_file(self) -> Path:
        """Terraform's state, outside the folder of the configuration, which is rewritten when `infra/` changes."""
        return self.folder / emulator.STATE

    def init(self) -> None:
        """Adapt the configuration and initialise Terraform, if anything has changed since the last call."""
        self.folder.mkdir(parents=True, exist_ok=True)
        offline_provider.prepare_provider(self.shared)
        code = [Path(provider_compat.__file__), Path(offline_provider.__file__), Path(__file__)]
        inputs = digest(part for file in (*_files(self.source), *code) for part in (bytes(file), file.read_bytes()))
        stamp = self.folder / "adapted"
        with suppress(OSError):
            if stamp.read_text() == inputs and (self.terraform.data_folder / "providers").exists():
                return
        stamp.unlink(missing_ok=True)
        self._say("Adapting infra/ to the offline AWS provider…")
        default, copy = emulator.endpoint(emulator.DEFAULT_PORT), self.terraform.working_folder
        left_out = provider_compat.adapt(self.source, copy, self._schema(), default, self.state_file)
        if left_out:
            version = offline_provider.PROVIDER_VERSION
            self._say(f"  The local target goes without what provider {version} does not know or cannot do here:")
            for line in _in_short(left_out):
                self._say(f"    {line}")
            self._say("  The bucket's versioning is switched on through S3 itself after tf-apply.")
        self.terraform.run("init", "-input=false", "-no-color")
        stamp.write_text(inputs)

    def plan(self, zip_file: Path, port: int | None = None) -> None:
        """Show what `apply` would do."""
        self.init()
        record = emulator.Emulator(self.folder).start(port)
        self.terraform.show("plan", *self._settings(record, zip_file))

    def apply(self, zip_file: Path, port: int | None = None) -> Target:
        """Deploy; return the target with its outputs."""
        self.init()
        record = emulator.Emulator(self.folder).start(port)
        target = Target(LOCAL, emulator.REGION, emulator.endpoint(record.port), folder=self.folder)
        _upload_package(target, zip_file)
        summary = self._run("Applying", "apply", "-auto-approve", *self._settings(record, zip_file))
        write_whole(self.folder / "outputs.json", self.terraform.run("output", "-json"))
        # A resource type that provider 3.39 does not know.
        target.client("s3").put_bucket_versioning(
            Bucket=target.output("bucket_name"), VersioningConfiguration={"Status": "Enabled"}
        )
        self._say(f"{summary} The local AWS is {target.endpoint_url}.")
        return target

    def destroy(self, zip_file: Path) -> None:
        """Undo `apply`."""
        local_aws = emulator.Emulator(self.folder)
        record = local_aws.running()
        if record is None or not self.state_file.exists():
            self._say("Nothing is deployed on this machine's local AWS.")
            return
        self.init()
        target = Target(LOCAL, emulator.REGION, emulator.endpoint(record.port), folder=self.folder)
        _delete_access_keys(target)
        summary = self._run("Destroying", "destroy", "-auto-approve", *self._settings(record, zip_file))
        _delete_package(target)
        local_aws.forget_deployment()
        self._say(summary)

    def _settings(self, record: emulator.Record, zip_file: Path) -> list[str]:
        return [
            "-input=false",
            "-lock-timeout=20s",
            f"-var-file=env/{LOCAL}.tfvars",
            f"-var=package_file={os.path.relpath(zip_file, self.terraform.working_folder)}",
            f"-var=region={emulator.REGION}",
            f"-var=local_endpoint={emulator.endpoint(record.port)}",
        ]

    def _run(self, doing: str, *arguments: str) -> str:
        """Run a Terraform command; return its last sentence, which counts the resources."""
        with nullcontext() if self.quiet else terminal.err().status(f"{doing}…"):
            said = self.terraform.run(*arguments, "-no-color")
        return next(line for line in reversed(said.splitlines()) if " complete! " in line)

    def _schema(self) -> dict[str, Any]:
        made_by = digest([Path(offline_provider.__file__).read_bytes()])[:8]
        file = self.shared / "mirror" / f"aws-{offline_provider.PROVIDER_VERSION}-{made_by}.schema.json"
        with suppress(OSError, ValueError):
            schema: dict[str, Any] = json.loads(file.read_text())
            return schema
        folder = self.folder / "schema"
        folder.mkdir(exist_ok=True)
        (folder / "main.tf").write_text(
            'terraform {\n  required_providers {\n    aws = {\n      source  = "hashicorp/aws"\n'
            f'      version = "{offline_provider.PROVIDER_VERSION}"\n    }}\n  }}\n}}\n'
        )
        terraform = Terraform(folder, folder / ".terraform", self.terraform.environment)
        terraform.run("init", "-input=false", "-no-color")
        schema = offline_provider.schema_from(terraform.run("providers", "schema", "-json"))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(schema))
        shutil.rmtree(folder)
        return schema

    def _say(self, sentence: str) -> None:
        if not self.quiet:
            print(sentence, flush=True)


@contextmanager
def deployed_stack(folder: Path, zip_file: Path, source: Path = ROOT / "infra") -> Iterator[Target]:
    """Deploy the whole stack to a new emulator on a free port; stop the emulator at the end of the block."""
    with emulator.temporary_emulator(folder):
        yield LocalStack(folder, source=source, quiet=True).apply(zip_file)


def _upload_package(target: Target, zip_file: Path) -> None:
    s3 = target.client("s3")
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(
            Bucket=provider_compat.PACKAGE_BUCKET, CreateBucketConfiguration={"LocationConstraint": target.region}
        )
    s3.upload_file(str(zip_file), provider_compat.PACKAGE_BUCKET, provider_compat.PACKAGE_KEY)


def _delete_access_keys(target: Target) -> None:
    """Delete the keys of the users, such as the partner's: a user with keys can't be deleted."""
    iam = target.client("iam")
    for user in iam.list_users()["Users"]:
        for key in iam.list_access_keys(UserName=user["UserName"])["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=user["UserName"], AccessKeyId=key["AccessKeyId"])


def _delete_package(target: Target) -> None:
    s3 = target.client("s3")
    with suppress(s3.exceptions.NoSuchBucket):
        s3.delete_object(Bucket=provider_compat.PACKAGE_BUCKET, Key=provider_compat.PACKAGE_KEY)
        s3.delete_bucket(Bucket=provider_compat.PACKAGE_BUCKET)


def _in_short(names: Sequence[str]) -> list[str]:
    """Put the names of one resource type on one line."""
    grouped: dict[str, list[str]] = {}
    for name in names:
        kind, dot, rest = name.partition(".")
        grouped.setdefault(kind, []).append(rest if dot else "")
    return [f"{kind}: {', '.join(rest)}" if rest[0] else kind for kind, rest in grouped.items()]


def _files(folder: Path) -> list[Path]:
    ignored = {"tests", ".terraform"}
    return sorted(
        file for file in folder.rglob("*") if file.is_file() and not ignored & set(file.relative_to(folder).parts)
    )
