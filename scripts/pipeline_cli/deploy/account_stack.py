"""The stack in an AWS account: Terraform runs on `infra/` as it is and itself shows the plan and asks."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline_cli.deploy.target import ROOT
from pipeline_cli.deploy.terraform_command import Terraform
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.files import write_whole

APPROVED = ("-auto-approve", "-input=false")


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
        write_whole(override, '# Written by deploy/account_stack.py.\n\nterraform {\n  backend "s3" {}\n}\n')
        return [f"-backend-config={self.backend_file.resolve()}"]

    def init(self) -> None:
        """Initialise Terraform, and fetch the outputs of what is deployed already."""
        self._without_workspace().show("init", "-input=false", *self._backend())
        self._save_outputs()

    def plan(self, zip_file: Path) -> None:
        """Show what `apply` would do."""
        self._prepare()
        self.terraform.show("plan", "-input=false", *self._settings(zip_file))

    def apply(self, zip_file: Path, *, approved: bool = False) -> None:
        """Show the plan, ask unless it is approved already, deploy."""
        self._prepare()
        try:
            self.terraform.show("apply", *self._settings(zip_file), *(APPROVED if approved else ()))
        finally:
            self._save_outputs()

    def destroy(self, zip_file: Path, *, approved: bool = False) -> None:
        """Show what would be destroyed, ask unless it is approved already, destroy."""
        self._prepare()
        self.terraform.show("destroy", *self._settings(zip_file), *(APPROVED if approved else ()))
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
                write_whole(self.folder / "outputs.json", printed)
