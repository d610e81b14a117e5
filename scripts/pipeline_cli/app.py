"""The operator's command line: finds the commands, each of which has a module in `verbs/`.

Every command says which target it acts on, prints its result on standard output and everything else on standard error.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pipeline_cli.output import program
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.program import Reporting

COMMANDS = (
    "demo",
    "upload",
    "status",
    "messages",
    "errors",
    "feedback",
    "report",
    "check",
    "logs",
    "redrive",
    "release",
    "replay",
    "backfill",
    "rehearse",
    "doctor",
    "purge",
    "sample",
    "package",
    "deploy",
    "local",
)
"""In the order of the help text; each is a module of `verbs/` with a `command` or, for a group, an `app`."""


class Commands(Reporting, TyperGroup):
    """The group of all commands.

    A command's module is imported when the command is needed: all of them together take most of a second.
    """

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 (the base class sets the signature)
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or None if there is none of this name."""
        # For an unknown name all are loaded, so that the error can suggest a similar one.
        for name in [cmd_name] if cmd_name in COMMANDS else COMMANDS:
            if name not in self.commands:
                self.commands[name] = load(name)
        return super().get_command(ctx, cmd_name)


def load(name: str) -> Any:
    """Return the command of a module of `verbs/`.

    Raises
    ------
    CommandError
        A package that it needs is not installed.
    """
    try:
        module = import_module(f"pipeline_cli.verbs.{name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        hint = "pip install 'csv-pipeline[operator]' installs it; csv-check does without."
        raise CommandError(f"pipeline {name} needs the package {error.name}.", hint) from error
    if hasattr(module, "app"):
        command: Any = typer.main.get_command(module.app)
    else:
        single = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
        single.command(name, cls=getattr(module, "Command", None))(module.command)
        command = typer.main.get_command(single)
    command.name = name
    for one in (command, *getattr(command, "commands", {}).values()):
        # The terminal breaks the lines, not the source.
        one.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in (one.help or "").split("\n\n"))
    return command


app = typer.Typer(
    name="pipeline",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"csv-pipeline {version('csv-pipeline')}")
        raise typer.Exit


@app.callback()
def pipeline(
    env: Annotated[
        str,
        typer.Option(envvar="ENV", metavar="NAME", help="The target: local, or an environment of infra/env/."),
    ] = "local",
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Operate the CSV pipeline: send files, see their results, recover from failures.

    Every command has its own --help with an example and its exit codes.
    """


def main() -> None:
    """Run the operator's command line."""
    program.run(app, "pipeline")


if __name__ == "__main__":
    main()
