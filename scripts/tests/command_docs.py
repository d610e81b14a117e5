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

Every target of the Makefile; it first prepares what it needs. `ENV=local` is the default of each, `ENV=<name>` an
environment of `infra/env/`; `MINISTACK_PORT=4570` chooses another port for the local AWS. A variable that a target does
not read is refused. The targets that operate the pipeline call the program below, which has more options.

{targets}

## pipeline

What `.venv/bin/pipeline` can do, in the words of its own `--help`. Every command says on standard error which target it
acts on; its result alone is on standard output. An expected failure is one sentence and an exit code. Each that acts
on a target takes `--env NAME`: local, or an environment of `infra/env/`; without it, the variable `ENV`, else local.
Once called with the option `--install-completion`, it completes commands and options on Tab.

<!-- made by: make command-docs -->
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
    return "\n".join([HEAD.format(targets=_targets()), *(_section(name, command) for name, command in commands())])


def _targets() -> str:
    """A table of the targets, from the Makefile's own help."""
    found = re.findall(r"^([a-z][a-z0-9-]*):.* ## (.*?) ?\| (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    rows = [f"| `make {name}` {arguments} | {what} |" for name, arguments, what in found]
    return "\n".join(["| Target | What it does |", "| --- | --- |", *rows])


def _section(name: str, command: Any) -> str:
    paragraphs = [" ".join(part.split()) for part in command.help.split("\n\n")]
    example = next(part for part in paragraphs if part.startswith("Example: "))
    codes = next(part for part in paragraphs if part.startswith("Exit codes: "))
    description = "\n\n".join(part for part in paragraphs if part not in (example, codes))
    rows = [
        f"| {_names(found)} | {_plain(found.help)} |" for found in command.params if found.name not in ("help", "env")
    ]
    table = ["| Option | What it does |", "| --- | --- |", *rows, ""] if rows else []
    return "\n".join(
        [
            f"### {name}",
            "",
            description,
            "",
            "```sh",
            example.removeprefix("Example: "),
            "```",
            "",
            *table,
            f"{codes}.".replace("..", "."),
            "",
        ]
    )


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar}`".replace("|", r"\|")
    flag = getattr(parameter, "is_flag", False)
    value = "" if flag else f" {parameter.metavar}"
    return ", ".join(f"`{name}{value}`" for name in parameter.opts)


def _plain(text: str) -> str:
    return re.sub(r"\\?\[/?(dim|bold)?\]", "", text.replace(r"\[", "[")).replace("|", r"\|")


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
