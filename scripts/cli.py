"""The operator's command line: one module a command, gathered here.

Every command says which target it acts on, prints its result on standard output and all else on standard error. What
can be expected to fail ends in one line and an exit code, never in a traceback.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import botocore.exceptions as aws
import typer
from pipeline.errors import PipelineError
from typer.core import TyperGroup

from scripts import (
    check,
    demo,
    errors_report,
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
from scripts import target as targets
from scripts.errors import CommandError, UsageError
from scripts.terminal import err

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

NO_CREDENTIALS = "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"
NOT_THERE = "NoSuchBucket", "ResourceNotFoundException", "QueueDoesNotExist", "StateMachineDoesNotExist"


def explain(error: Exception, env: str = "") -> CommandError | None:
    """Put a failure that is to be expected into a sentence and what to do; None for one that is a fault of ours."""
    where = f" ENV={env}" if env and env != targets.LOCAL else ""
    match error:
        case CommandError():
            return error
        case aws.NoCredentialsError() | aws.PartialCredentialsError() | aws.CredentialRetrievalError():
            return CommandError("There are no AWS credentials.", "Sign in (aws sso login) or set AWS_PROFILE.")
        case aws.ProfileNotFound() | aws.NoRegionError() | aws.TokenRetrievalError() | aws.SSOError():
            return CommandError(f"{error}.".replace("..", "."), "Check AWS_PROFILE and sign in again (aws sso login).")
        case aws.EndpointConnectionError() | aws.ConnectTimeoutError() | aws.ConnectionClosedError():
            return CommandError(f"{error}".rstrip(".") + ".", f"Is it up? make tf-apply{where} starts what is missing.")
        case aws.ClientError():
            return _explain_reply(error, where)
        case PipelineError() | aws.BotoCoreError():
            return CommandError(f"{type(error).__name__}: {error}.")
        case FileNotFoundError() | PermissionError() | IsADirectoryError() | NotADirectoryError():
            return UsageError(f"{error.filename}: {error.strerror}.")
    return None


def _explain_reply(error: aws.ClientError, where: str) -> CommandError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in NO_CREDENTIALS:
        return CommandError("The AWS credentials are not valid (any more).", "Sign in again (aws sso login).")
    if code.removeprefix("AWS.SimpleQueueService.").replace("NonExistentQueue", "QueueDoesNotExist") in NOT_THERE:
        return CommandError(f"{error}.".replace("..", "."), f"Is the stack applied? make tf-apply{where}")
    return CommandError(f"{error}.".replace("..", "."))


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
            err().print(f"[bold red]Error:[/] {_escaped(str(explained))}", soft_wrap=True)
            raise typer.Exit(explained.exit_code) from error


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")


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
