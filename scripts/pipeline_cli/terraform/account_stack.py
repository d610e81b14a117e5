"""The stack in an AWS account: Terraform runs directly on `infra/`, and what is approved is what is applied."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.files import write_whole
from pipeline_cli.terraform.target import ROOT, variables
from pipeline_cli.terraform.terraform_command import Terraform

NO_CHANGES, CHANGES = 0, 2
"""Exit codes of `terraform plan -detailed-exitcode`."""


@dataclass(frozen=True)
class AccountStack:
    """The stack in an AWS account: the unchanged `infra/` with the environment's variables."""

    name: str
    source: Path = ROOT / "infra"
    builds: Path = ROOT / "build"

    @property
    def folder(self) -> Path:
        """The folder of this environment's build products."""
        return self.builds / self.name

    @property
    def terraform(self) -> Terraform:
        """Terraform on `infra/`."""
        # Each environment has a workspace of its own, so their states are separate.
        return Terraform(self.source, self.folder / "terraform", os.environ | {"TF_WORKSPACE": self.name})

    @property
    def backend_file(self) -> Path:
        """The file that names the bucket of the state; it does not exist while the state is on this machine."""
        return self.source / "env" / f"{self.name}.s3.tfbackend"

    def move_state(self) -> None:
        """Move the state from this machine to the bucket that the backend file names."""
        self._without_workspace().show("init", "-input=false", "-migrate-state", "-force-copy", *self._backend())

    def init(self) -> None:
        """Initialise Terraform and fetch the outputs of the deployed stack, if there is one."""
        self._without_workspace().show("init", "-input=false", *self._backend())
        self._save_outputs()

    def plan(self, zip_file: Path) -> None:
        """Show what `apply` would do."""
        self._prepare()
        self.terraform.show("plan", "-input=false", *self._settings(zip_file))

    def apply(self, zip_file: Path, approve: Callable[[], object]) -> None:
        """Show the plan, call `approve`, which raises an exception if the answer is no, and deploy exactly that."""
        self._prepare()
        self._refuse_another_name()
        try:
            self._change(approve, *self._settings(zip_file))
        finally:
            self._save_outputs()

    def destroy(self, zip_file: Path, approve: Callable[[], object]) -> None:
        """Show what would be destroyed, call `approve`, and destroy it."""
        self._prepare()
        if self._change(approve, "-destroy", *self._settings(zip_file)):
            (self.folder / "outputs.json").unlink(missing_ok=True)

    def _change(self, approve: Callable[[], object], *settings: str) -> bool:
        """Plan, ask, and apply the plan; return whether there was anything to do."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "approved.tfplan"
        options = ("-input=false", "-detailed-exitcode", f"-out={file.resolve()}")
        try:
            code = self.terraform.show("plan", *options, *settings, succeeds=(NO_CHANGES, CHANGES))
            if code == NO_CHANGES:
                return False
            approve()
            self.terraform.show("apply", "-input=false", str(file.resolve()))
        finally:
            file.unlink(missing_ok=True)
        return True

    def _refuse_another_name(self) -> None:
        """Refuse to rename a deployed stack: Terraform would delete its bucket, and stop half-way as that has content.

        Raises
        ------
        CommandError
            The environment's `name` is not the one that is deployed.
        """
        deployed = self._outputs().get("dashboard_name", {}).get("value")
        named = f"{variables(self.name, self.source.parent).get('name')}-{self.name}"
        if deployed and deployed != named:
            raise CommandError(
                f"{deployed} is deployed, and infra/env/{self.name}.tfvars now calls it {named}: renaming would delete "
                "its bucket and its table.",
                f"Keep the name. To move, deploy {named} as another environment, then empty and destroy this one.",
            )

    def _without_workspace(self) -> Terraform:
        """Terraform for `init`, which fails if the bucket has no such workspace; the first apply creates it."""
        if not self.backend_file.exists():
            return self.terraform
        return replace(self.terraform, environment={**self.terraform.environment, "TF_WORKSPACE": ""})

    def _backend(self) -> list[str]:
        """Return the options that select the backend.

        The type of the backend must stand in the configuration, so this writes an override file with it.
        """
        override = self.source / "backend_override.tf"
        if not self.backend_file.exists():
            override.unlink(missing_ok=True)
            return []
        write_whole(override, '# Written by `pipeline deploy`.\n\nterraform {\n  backend "s3" {}\n}\n')
        return [f"-backend-config={self.backend_file.resolve()}"]

    def _prepare(self) -> None:
        print(f"Preparing Terraform for {self.name}…", flush=True)
        self._without_workspace().run("init", "-input=false", "-no-color", *self._backend())

    def _settings(self, zip_file: Path) -> list[str]:
        return [f"-var-file=env/{self.name}.tfvars", f"-var=package_file={os.path.relpath(zip_file, self.source)}"]

    def _outputs(self) -> dict[str, dict[str, str]]:
        """Return the outputs of what is deployed; none if nothing is."""
        with suppress(CommandError):
            found: dict[str, dict[str, str]] = json.loads(self.terraform.run("output", "-json"))
            return found
        return {}

    def _save_outputs(self) -> None:
        """Save the outputs for the other commands; if nothing is deployed, there are none."""
        if outputs := self._outputs():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / "outputs.json", json.dumps(outputs))
