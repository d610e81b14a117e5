"""The operator's command line: finds the commands, each of which has a module in `verbs/`.

Every command says which target it acts on, prints its result on standard output and everything else on standard error.
Expected failures end in one line and an exit code, not in a traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from pipeline_cli.output import hints, terminal
from pipeline_cli.output.errors import CommandError, UsageError
from pipeline_cli.output.explain import explain

COMMANDS = (
    "demo",
    "upload",
    "status",
    "messages",
    "consume",
    "errors",
    "feedback",
    "report",
    "check",
    "logs",
    "dead-letters",
    "redrive",
    "republish",
    "release",
    "replay",
    "doctor",
    "purge",
    "sample",
    "package",
    "deploy",
    "local",
)
"""In the order of the help text; each is a module of `verbs/` with a `command` or, for a group, an `app`."""


class Commands(TyperGroup):
    """The group of all commands: reports an expected failure in one line and exits with its code.

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
                self.commands[name] = _load(name)
        return super().get_command(ctx, cmd_name)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the command line. --version and --help print while it is parsed."""
        try:
            return super().make_context(*args, **kwargs)
        except BrokenPipeError:
            _read_no_more()
            raise typer.Exit from None

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _stopped() from None
        except BrokenPipeError:
            _read_no_more()
            raise typer.Exit from None
        except Exception as error:
            if _signals:  # a library has made another exception of it, as DuckDB does
                raise _stopped() from error
            explained = _missing_variable(error) or explain(error, str(ctx.params.get("env") or ""))
            if explained is None:
                raise
            terminal.show_error(explained)
            raise typer.Exit(explained.exit_code) from error


_signals: list[int] = []
"""The signals that asked this process to stop."""


def _stop(number: int, _: object) -> None:
    """Raise an exception for Ctrl-C and SIGTERM, so that temporary folders are removed and displays restored."""
    _signals.append(number)
    raise KeyboardInterrupt


def _stopped() -> typer.Exit:
    terminal.err().print("Stopped.")
    return typer.Exit(128 + (_signals or [signal.SIGINT])[-1])


def _load(name: str) -> Any:
    module = import_module(f"pipeline_cli.verbs.{name.replace('-', '_')}")
    if hasattr(module, "app"):
        command: Any = typer.main.get_command(module.app)
    else:
        single = typer.Typer(add_completion=False, rich_markup_mode="rich")
        single.command(name)(module.command)
        command = typer.main.get_command(single)
    command.name = name
    for one in (command, *getattr(command, "commands", {}).values()):
        # The terminal breaks the lines, not the source.
        one.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in (one.help or "").split("\n\n"))
    return command


def _missing_variable(error: Exception) -> CommandError | None:
    """Name the missing make variable when a command that make called lacks an argument."""
    name = getattr(getattr(error, "ctx", None), "info_name", None)
    variable = hints.MAKE_TARGETS.get(str(name))
    if not (isinstance(error, typer.BadParameter) and variable and hints.called_by_make()):
        return None
    example = {"BATCH": "20220131", "FILE": "build/day"}[variable]
    return UsageError(f"make {name} needs {variable}=…", f"Example: {hints.command(str(name), example)}")


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
    """Run the command line. If the reader of a pipe closes early (`pipeline status | head`), exit quietly."""
    # Typer prints help on a console of its own, and rich exits with 1 if its pipe is closed.
    setattr(Console, "on_broken_pipe", terminal.SafeConsole.on_broken_pipe)  # noqa: B010 (mypy refuses the assignment)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    os.umask(0o077)  # whatever it writes, such as results and refused records, is nobody else's
    try:
        try:
            app(prog_name="pipeline")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _read_no_more()
        sys.exit(0)


def _read_no_more() -> None:
    """Redirect standard output to the null device, so that the interpreter's flush at exit does not fail too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
