"""Writes docs/commands.md from the commands' own help: `python -m scripts.tests.command_docs`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from pipeline_cli.app import app
from pipeline_cli.terraform.target import ROOT

FILE = ROOT / "docs" / "commands.md"
HEAD = """# The commands

## make

`ENV=local` is the default of each target, `ENV=<name>` an environment of `infra/env/`; `MINISTACK_PORT=4570` chooses
another port for the local AWS. A variable that a target does not read is refused. `make help` also lists the targets
for developers.

{targets}

## pipeline

The program that these targets call, `.venv/bin/pipeline`, has more options; `--help` after a command lists them with
its exit codes. Its target is on standard error, its result alone on standard output, with `--json` for programs. Once
called with `--install-completion`, it completes on Tab. Without a target of their own are:

{commands}
"""


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name; those of a group one by one."""
    group: Any = typer.main.get_command(app)
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        for inner, found in getattr(command, "commands", {"": command}).items():
            yield f"{name} {inner}".rstrip(), found


def text() -> str:
    """The page as it must be now."""
    targets = _targets()
    rows = [
        f"| `{name}` | {_first_sentence(command)} | `{_example(command)}` |"
        for name, command in commands()
        if not {name.replace(" ", "-"), name.replace("deploy ", "tf-")} & targets.keys()
    ]
    made = [
        f"| `make {name}` {arguments} | {what} |".replace("  |", " |") for name, (arguments, what) in targets.items()
    ]
    return HEAD.format(
        targets="\n".join(["| Target | What it does |", "| --- | --- |", *made]),
        commands="\n".join(["| Command | What it does | Example |", "| --- | --- | --- |", *rows]),
    )


DEVELOPERS = re.compile(r"(bench|clean|command-docs|contracts|format|help|lint|lock|test|venv)\b")
"""Targets for who changes the code; CONTRIBUTING.md and `make help` name them."""


def _targets() -> dict[str, tuple[str, str]]:
    """The arguments of each target for operators and what it does, from the Makefile's own help."""
    found = re.findall(r"^([a-z][a-z0-9-]*):.* ## (.*?) ?\| (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return {name: (arguments, what) for name, arguments, what in found if not DEVELOPERS.match(name)}


def _first_sentence(command: Any) -> str:
    return re.split(r"(?<=\.)\s", " ".join(command.help.split("\n\n")[0].split()))[0].replace("|", r"\|")


def _example(command: Any) -> str:
    (example,) = re.findall(r"^\s*Example: (.+?)$", command.help, re.MULTILINE)
    return str(example).replace("|", r"\|")


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
