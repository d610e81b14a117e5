"""The operator's command line: one module a command, gathered here.

Every command says which target it acts on, prints its result on standard output and all else on standard error. What
can be expected to fail ends in one line and an exit code, never in a traceback.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pipeline_cli.commands import (
    check,
    demo,
    local,
    logs,
    messages,
    purge,
    redrive,
    replay,
    report,
    sample,
    status,
    upload,
)
from pipeline_cli.commands import errors as errors_report
from pipeline_cli.deploy import target as targets
from pipeline_cli.output.explain import explain
from pipeline_cli.output.terminal import show_error

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo.command,
    "upload": upload.command,
    "status": status.command,
    "messages": messages.command,
    "errors": errors_report.command,
    "report": report.command,
    "check": check.command,
    "logs": logs.command,
    "redrive": redrive.command,
    "replay": replay.command,
    "purge": purge.command,
    "sample": sample.command,
}


class ExpectedFailures(TyperGroup):
    """The group of all commands: turns an expected failure into one line and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            explained = explain(error, str(ctx.params.get("env") or ""))
            if explained is None:
                raise
            show_error(explained)
            raise typer.Exit(explained.exit_code) from error


app = typer.Typer(
    name="pipeline",
    cls=ExpectedFailures,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def pipeline(
    env: Annotated[
        str,
        typer.Option(envvar="ENV", metavar="NAME", help="The target: local, or an environment of infra/env/."),
    ] = targets.LOCAL,
) -> None:
    """Operate the CSV pipeline: send files, see what became of them, put right what went wrong.

    Every command has its own --help with an example and its exit codes.
    """


for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(local.app, name="local")


def main() -> None:
    """Entry point of the console script."""
    app(prog_name="pipeline")


if __name__ == "__main__":
    main()
