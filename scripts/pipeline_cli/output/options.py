"""Options and arguments that several commands share, each declared once."""

from __future__ import annotations

import re
from typing import Annotated

import typer
from pipeline.model.batch_files import is_batch

from pipeline_cli.output.errors import UsageError

UNKNOWN = "unknown"
"""The batch of files without a day in their name."""


def check_day(text: str, name: str = "BATCH") -> str:
    """Check that a text is a plausible day written YYYYMMDD, and return it.

    Raises
    ------
    UsageError
        It is not; the message names the argument `name`.
    """
    if re.fullmatch(r"[0-9]{8}", text) is None:
        raise UsageError(f"{name} is {text!r}, but a day is written YYYYMMDD.")
    if not is_batch(text):
        raise UsageError(f"{name} is {text!r}, which is no day from 2000 to a year from now.")
    return text


def day(text: str | None) -> str | None:
    """Check an argument that may be left out."""
    return text and check_day(text)


def _day_or_unknown(text: str) -> str:
    return text if text == UNKNOWN else check_day(text)


def _chosen_env(ctx: typer.Context, value: str | None) -> str:
    """Return the command's own --env, else the one before the command, else the variable ENV, else local."""
    return value or ctx.find_root().params.get("env") or "local"


Batch = Annotated[str, typer.Argument(metavar="BATCH", callback=day, help="The day, YYYYMMDD.")]
BatchOrUnknown = Annotated[
    str,
    typer.Argument(
        metavar="BATCH", callback=_day_or_unknown, help="The day, YYYYMMDD; unknown: files with no day in their name."
    ),
]
BatchOrAll = Annotated[
    str | None, typer.Argument(metavar="BATCH", callback=day, help="The day, YYYYMMDD; without: all days.")
]
Env = Annotated[
    str,
    typer.Option(
        "--env",
        metavar="NAME",
        callback=_chosen_env,
        help="The target: local, or an environment of infra/env/. [dim]\\[default: $ENV, else local][/]",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", envvar="YES", show_envvar=False, help="Do not ask.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not follow the batch until it is done.")]
