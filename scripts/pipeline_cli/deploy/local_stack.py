"""Terraform for every target: with which settings it runs, and what the person watching sees of it.

For `local` it works on the fitted copy of `infra/` (`local/provider_compat.py`) against the local AWS, quietly. For any
other environment it works on `infra/` as it is, with `env/<name>.tfvars`, and Terraform itself shows the plan and asks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline_cli.deploy import package
from pipeline_cli.deploy.target import LOCAL, ROOT, Target, check_name, read_outputs
from pipeline_cli.deploy.terraform_command import Terraform
from pipeline_cli.local import emulator, provider_compat
from pipeline_cli.output import terminal
from pipeline_cli.output.errors import CommandError

# What a person may have set for Terraform's own use of an account, and what must not reach the local target.
NOT_FOR_LOCAL = ("AWS_", "TF_CLI_ARGS", "TF_WORKSPACE", "TF_VAR_", "TF_PLUGIN_CACHE_DIR")


@dataclass(frozen=True)
class LocalStack:
    """The stack on a local AWS: emulator, fitted configuration, state and outputs, all in one folder.

    Attributes
    ----------
    folder
        `build/local`, or a test's own folder.
    shared
        Where the unpacked provider and its schema are; several stacks share them.
    source
        The configuration, `infra/`.
    quiet
        Whether to say nothing.
    """

    folder: Path = ROOT / "build" / LOCAL
    shared: Path = ROOT / "build" / LOCAL
    source: Path = ROOT / "infra"
    quiet: bool = False

    @property
    def terraform(self) -> Terraform:
        """Terraform on the fitted copy."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_FOR_LOCAL)}
        environment = kept | {
            "TF_CLI_CONFIG_FILE": str(self.shared / "terraform.rc"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": emulator.HOST,
            "no_proxy": emulator.HOST,
        }
        return Terraform(self.folder / "infra", self.folder / "terraform", environment)

    @property
    def state_file(self) -> Path:
        """Terraform's state, beside the configuration that may be written anew at any time."""
        return self.folder / "terraform.tfstate"

    def init(self) -> provider_compat.Fitted:
        """Fit the configuration and initialise Terraform for it, where either has changed since the last time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        provider_compat.prepare_provider(self.shared)
        inputs = _digest([*_files(self.source), Path(provider_compat.__file__), Path(__file__)])
        mark = self.folder / "fitted.json"
        with suppress(OSError, ValueError, KeyError):
            done = json.loads(mark.read_text())
            if done["inputs"] == inputs and (self.terraform.data_folder / "providers").exists():
                return provider_compat.Fitted(self.terraform.working_folder, tuple(done["left_out"]))
        mark.unlink(missing_ok=True)
        self._say("Fitting infra/ to the offline AWS provider…")
        default = emulator.endpoint(emulator.DEFAULT_PORT)
        fitted = provider_compat.fit(
            self.source, self.terraform.working_folder, self._schema(), default, self.state_file
        )
        if fitted.left_out:
            self._say(
                f"  The local target goes without what provider {provider_compat.PROVIDER_VERSION} does not know or "
                "cannot do here:"
            )
            for line in _in_short(fitted.left_out):
                self._say(f"    {line}")
        if fitted.lacks_versioning:
            self._say("  The bucket's versioning is switched on through S3 itself after tf-apply.")
        self.terraform.run("init", "-input=false", "-no-color")
        mark.write_text(json.dumps({"inputs": inputs, "left_out": fitted.left_out}))
        return fitted

    def plan(self, zip_file: Path, port: int | None = None) -> None:
        """Show what `apply` would do."""
        self.init()
        record = self._emulator(port)
        self.terraform.show("plan", *self._settings(record, zip_file))

    def apply(self, zip_file: Path, port: int | None = None) -> Target:
        """Deploy; return the target with its outputs."""
        fitted = self.init()
        record = self._emulator(port)
        target = Target(LOCAL, emulator.REGION, emulator.endpoint(record.port), folder=self.folder)
        _upload_package(target, zip_file)
        summary = self._watch("Applying", "apply", "-auto-approve", *self._settings(record, zip_file))
        outputs = self.folder / "outputs.json"
        _write(outputs, self.terraform.run("output", "-json"))
        (self.folder / "instance").write_text(record.instance)
        target = replace(target, known_outputs=read_outputs(outputs))
        if fitted.lacks_versioning:
            target.client("s3").put_bucket_versioning(
                Bucket=target.output("bucket_name"), VersioningConfiguration={"Status": "Enabled"}
            )
        self._say(f"{summary} The local AWS is {target.endpoint_url}.")
        return target

    def destroy(self, zip_file: Path) -> None:
        """Undo `apply`. Where the local AWS has ended since, there is only the memory of it to drop."""
        record = emulator.Emulator(self.folder).running()
        if record is None or not self._is_of(record):
            self._forget()
            self._say("Nothing is deployed on this machine's local AWS.")
            return
        self.init()
        summary = self._watch("Destroying", "destroy", "-auto-approve", *self._settings(record, zip_file))
        _delete_package(Target(LOCAL, emulator.REGION, emulator.endpoint(record.port)))
        self._forget()
        self._say(summary)

    def _emulator(self, port: int | None) -> emulator.Record:
        """Return the running emulator; drop the state of an earlier one, whose memory went with its process."""
        record = emulator.Emulator(self.folder).start(port)
        if self.state_file.exists() and not self._is_of(record):
            self._say("The local AWS was started anew since the last tf-apply, so everything is created again.")
            self._forget()
        (self.folder / "instance").write_text(record.instance)
        return record

    def _is_of(self, record: emulator.Record) -> bool:
        with suppress(OSError):
            return (self.folder / "instance").read_text() == record.instance
        return False

    def _forget(self) -> None:
        for name in ("terraform.tfstate", "terraform.tfstate.backup", "outputs.json", "instance"):
            (self.folder / name).unlink(missing_ok=True)

    def _settings(self, record: emulator.Record, zip_file: Path) -> list[str]:
        return [
            "-input=false",
            "-lock-timeout=20s",
            f"-var-file=env/{LOCAL}.tfvars",
            f"-var=package_file={os.path.relpath(zip_file, self.terraform.working_folder)}",
            f"-var=region={emulator.REGION}",
            f"-var=local_endpoint={emulator.endpoint(record.port)}",
        ]

    def _watch(self, doing: str, *arguments: str) -> str:
        """Run a command with a progress line; return its summary."""
        if os.environ.get("VERBOSE") and not self.quiet:
            self.terraform.show(*arguments)
            return f"{doing} is done."
        total, done, summary = 0, 0, ""
        progress = sys.stdout.isatty() and not self.quiet
        for event in self.terraform.events(*arguments):
            if event["type"] == "change_summary":
                changes = event["changes"]
                if changes["operation"] == "plan":
                    total = changes["add"] + changes["change"] + changes["remove"]
                else:
                    summary = _summary(changes)
            elif event["type"] == "apply_complete":
                done += 1
            if progress:
                print(f"\r{doing}… {done} of {total} resources " if total else f"\r{doing}…", end="", flush=True)
        if progress:
            print("\r" + " " * 60 + "\r", end="")
        return summary

    def _schema(self) -> dict[str, Any]:
        file = self.shared / "mirror" / f"aws-{provider_compat.PROVIDER_VERSION}.schema.json"
        with suppress(OSError, ValueError):
            schema: dict[str, Any] = json.loads(file.read_text())
            return schema
        folder = self.folder / "schema"
        folder.mkdir(exist_ok=True)
        (folder / "main.tf").write_text(
            'terraform {\n  required_providers {\n    aws = {\n      source  = "hashicorp/aws"\n'
            f'      version = "{provider_compat.PROVIDER_VERSION}"\n    }}\n  }}\n}}\n'
        )
        terraform = Terraform(folder, folder / ".terraform", self.terraform.environment)
        terraform.run("init", "-input=false", "-no-color")
        schema = provider_compat.schema_from(terraform.run("providers", "schema", "-json"))
        file.parent.mkdir(parents=True, exist_ok=True)
        _write(file, json.dumps(schema))
        shutil.rmtree(folder)
        return schema

    def _say(self, sentence: str) -> None:
        if not self.quiet:
            print(sentence, flush=True)


@contextmanager
def deployed_stack(folder: Path, zip_file: Path, source: Path = ROOT / "infra") -> Iterator[Target]:
    """Run the whole stack on an emulator of its own, on a free port, for as long as the block lasts."""
    with emulator.temporary_emulator(folder):
        yield LocalStack(folder, source=source, quiet=True).apply(zip_file)


@dataclass(frozen=True)
class AccountStack:
    """The stack in an AWS account: `infra/` as it is, with the environment's variables."""

    name: str
    source: Path = ROOT / "infra"
    builds: Path = ROOT / "build"

    @property
    def folder(self) -> Path:
        """Where this environment's build products are."""
        return self.builds / self.name

    @property
    def terraform(self) -> Terraform:
        """Terraform on `infra/`."""
        # A workspace for each environment keeps their states apart.
        return Terraform(self.source, self.folder / "terraform", os.environ | {"TF_WORKSPACE": self.name})

    @property
    def backend_file(self) -> Path:
        """Where it says in which bucket the state is; there is none where the state stays on this machine."""
        return self.source / "env" / f"{self.name}.s3.tfbackend"

    def move_state(self) -> None:
        """Take the state from this machine to where the backend file says."""
        self._without_workspace().show("init", "-input=false", "-migrate-state", "-force-copy", *self._backend())

    def _without_workspace(self) -> Terraform:
        """Terraform for init, which refuses a workspace that a bucket does not have yet; the first apply makes it."""
        if not self.backend_file.exists():
            return self.terraform
        return replace(self.terraform, environment={**self.terraform.environment, "TF_WORKSPACE": ""})

    def _backend(self) -> list[str]:
        """Choose the state's place. Terraform wants the kind of it in the configuration: in a file of its own here."""
        override = self.source / "backend_override.tf"
        if not self.backend_file.exists():
            override.unlink(missing_ok=True)
            return []
        _write(override, '# Written by deploy/terraform.py.\n\nterraform {\n  backend "s3" {}\n}\n')
        return [f"-backend-config={self.backend_file.resolve()}"]

    def init(self) -> None:
        """Initialise Terraform, and fetch the outputs of what is deployed already."""
        self._without_workspace().show("init", "-input=false", *self._backend())
        self._save_outputs()

    def plan(self, zip_file: Path) -> None:
        """Show what `apply` would do."""
        self._prepare()
        self.terraform.show("plan", "-input=false", *self._settings(zip_file))

    def apply(self, zip_file: Path) -> None:
        """Show the plan, ask, deploy."""
        self._prepare()
        try:
            self.terraform.show("apply", *self._settings(zip_file), *_approval())
        finally:
            self._save_outputs()

    def destroy(self, zip_file: Path) -> None:
        """Show what would be destroyed, ask, destroy."""
        self._prepare()
        self.terraform.show("destroy", *self._settings(zip_file), *_approval())
        (self.folder / "outputs.json").unlink(missing_ok=True)

    def _prepare(self) -> None:
        print(f"Preparing Terraform for {self.name}…", flush=True)
        self._without_workspace().run("init", "-input=false", "-no-color", *self._backend())

    def _settings(self, zip_file: Path) -> list[str]:
        return [f"-var-file=env/{self.name}.tfvars", f"-var=package_file={os.path.relpath(zip_file, self.source)}"]

    def _save_outputs(self) -> None:
        """Keep the outputs for the other commands; where nothing is deployed there are none."""
        with suppress(CommandError):
            printed = self.terraform.run("output", "-json")
            if json.loads(printed):
                self.folder.mkdir(parents=True, exist_ok=True)
                _write(self.folder / "outputs.json", printed)


def _upload_package(target: Target, zip_file: Path) -> None:
    s3 = target.client("s3")
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(
            Bucket=provider_compat.PACKAGE_BUCKET, CreateBucketConfiguration={"LocationConstraint": target.region}
        )
    s3.upload_file(str(zip_file), provider_compat.PACKAGE_BUCKET, provider_compat.PACKAGE_KEY)


def _delete_package(target: Target) -> None:
    s3 = target.client("s3")
    with suppress(s3.exceptions.NoSuchBucket):
        s3.delete_object(Bucket=provider_compat.PACKAGE_BUCKET, Key=provider_compat.PACKAGE_KEY)
        s3.delete_bucket(Bucket=provider_compat.PACKAGE_BUCKET)


def _approval() -> list[str]:
    return ["-auto-approve", "-input=false"] if os.environ.get("YES") else []


def _summary(changes: Mapping[str, int]) -> str:
    counts = [
        f"{changes[key]} {word}"
        for key, word in (("add", "created"), ("change", "changed"), ("remove", "removed"))
        if changes[key]
    ]
    return f"{', '.join(counts).capitalize()}." if counts else "Nothing to change."


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


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _write(file: Path, text: str) -> None:
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.replace(file)


def main(arguments: list[str]) -> int:
    """Run `python -m pipeline_cli.deploy.terraform init|plan|apply|destroy|fmt|fmt-check [--env NAME]`."""
    parser = argparse.ArgumentParser(prog="python -m pipeline_cli.deploy.terraform")
    parser.add_argument("command", choices=["init", "plan", "apply", "destroy", "fmt", "fmt-check"])
    parser.add_argument("--env", default=LOCAL)
    chosen = parser.parse_args(arguments)
    if chosen.command in ("fmt", "fmt-check"):
        terraform = Terraform(ROOT, ROOT / "build" / "terraform", os.environ | {"TF_CLI_CONFIG_FILE": os.devnull})
        terraform.show("fmt", "-recursive", *(["-check", "-diff"] if chosen.command == "fmt-check" else []), "infra")
        return 0
    check_name(chosen.env)
    zip_file = package.zip_file(chosen.env)
    if chosen.env == LOCAL:
        stack, port = LocalStack(), emulator.port_from_environment()
        if chosen.command == "init":
            stack.init()
            print("Terraform is ready for the local AWS.")
        elif chosen.command == "plan":
            stack.plan(zip_file, port)
        elif chosen.command == "apply":
            stack.apply(zip_file, port)
        else:
            stack.destroy(zip_file)
        return 0
    _require_credentials()
    account = AccountStack(chosen.env)
    if chosen.command == "init":
        account.init()
    elif chosen.command == "plan":
        account.plan(zip_file)
    elif chosen.command == "apply":
        account.apply(zip_file)
    else:
        if not os.environ.get("YES"):
            terminal.confirm(chosen.env, f"This destroys all that Terraform made for {chosen.env}, data included.")
        account.destroy(zip_file)
    return 0


def _require_credentials() -> None:
    """Fail at once without AWS credentials, which Terraform would tell in many words and minutes later."""
    import boto3
    from botocore.exceptions import NoCredentialsError

    if boto3.Session().get_credentials() is None:
        raise NoCredentialsError


if __name__ == "__main__":
    from pipeline_cli.output.console import run

    run(main)
