"""How a program begins and ends: signals, a closed pipe, a narrow encoding, and failures in one line."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperCommand

from pipeline_cli.output import hints, terminal
from pipeline_cli.output.errors import CommandError, UsageError
from pipeline_cli.output.explain import explain

BUG = 70
"""Exit code of an exception that nobody expected (EX_SOFTWARE); its traceback is printed."""
WRONG_CALL = 64
"""Exit code of a wrong call of a command that judges (EX_USAGE)."""

_signals: list[int] = []
"""The signals that asked this process to stop."""


class Reporting:
    """A command, or the group of all, that reports an expected failure in one line and exits with its code."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the command line. --version and --help print while it is parsed."""
        try:
            return super().make_context(*args, **kwargs)  # type: ignore[misc]
        except BrokenPipeError:
            _read_no_more()
            raise typer.Exit from None
        except CommandError as error:
            terminal.show_error(error)
            raise typer.Exit(self.exit_code(error)) from error

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)  # type: ignore[misc]
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
            raise typer.Exit(self.exit_code(explained)) from error

    def exit_code(self, failure: CommandError) -> int:
        """Return the exit code of a failure."""
        return failure.exit_code


class JudgingCommand(Reporting, TyperCommand):
    """A command that judges: its exit codes below 64 are verdicts, those from 64 on are about the call or the tool."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the command line."""
        try:
            return super().make_context(*args, **kwargs)
        except typer.TyperException as error:
            setattr(error, "exit_code", WRONG_CALL)  # noqa: B010 (the type has no such attribute)
            raise

    def exit_code(self, failure: CommandError) -> int:
        """Return the exit code of a failure."""
        return WRONG_CALL if isinstance(failure, UsageError) else BUG


def run(command: Callable[..., Any], name: str) -> None:
    """Run a command line under its name; if the reader of a pipe closes early (`pipeline status | head`), exit quietly.

    An exception that nobody expected ends it with the code `BUG`, as 1 has a meaning for some commands.
    """
    # Typer prints help on a console of its own, and rich exits with 1 if its pipe is closed.
    setattr(Console, "on_broken_pipe", terminal.SafeConsole.on_broken_pipe)  # noqa: B010 (mypy refuses the assignment)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    os.umask(0o077)  # whatever it writes, such as results and refused records, is nobody else's
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, TextIOWrapper
        ):  # a console of Windows may lack characters of a name, and of our sentences
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            command(prog_name=name)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _read_no_more()
        sys.exit(0)
    except Exception:  # noqa: BLE001 (its traceback is printed)
        traceback.print_exc()
        sys.exit(BUG)


def _stop(number: int, _: object) -> None:
    """Raise an exception for Ctrl-C and SIGTERM, so that temporary folders are removed and displays restored."""
    _signals.append(number)
    raise KeyboardInterrupt


def _stopped() -> typer.Exit:
    with suppress(BrokenPipeError):
        terminal.err().print("Stopped.")
    return typer.Exit(128 + (_signals or [signal.SIGINT])[-1])


def _missing_variable(error: Exception) -> CommandError | None:
    """Name the missing make variable when a command that make called lacks an argument."""
    name = getattr(getattr(error, "ctx", None), "info_name", None)
    variable = hints.MAKE_TARGETS.get(str(name))
    if not (isinstance(error, typer.BadParameter) and variable and hints.called_by_make()):
        return None
    example = {"BATCH": "20220131", "FILE": "build/day", "DIR": "build/day"}[variable]
    missing = UsageError(f"make {name} needs {variable}=…", f"Example: {hints.command(str(name), example)}")
    missing.exit_code = error.exit_code  # of a command that judges it is another
    return missing


def _read_no_more() -> None:
    """Redirect standard output to the null device, so that the interpreter's flush at exit does not fail too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
