"""`pipeline logs`: show the logs of all functions, merged in order of time."""

from __future__ import annotations

import heapq
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from botocore.exceptions import ClientError
from pipeline.aws.clients import error_code

from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import UsageError
from pipeline_cli.terraform import target as targets

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LEVELS = {"DEBUG": "dim", "INFO": "cyan", "WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}
ALWAYS_THERE = {
    "level", "location", "message", "timestamp", "service", "cold_start", "function_name", "function_memory_size",
    "function_arn", "function_request_id", "xray_trace_id", "exception_name", "exception", "stack_trace",
    "errorMessage", "errorType", "stackTrace", "requestId",
}  # fmt: skip
"""Fields of a JSON log line that are shown in a place of their own or not at all."""
NOISE = ("START RequestId", "END RequestId", "REPORT RequestId", "INIT_START", "XRAY TraceId", '{"_aws"')
"""How Lambda's own lines begin, and metrics in the embedded metric format."""


class Event(NamedTuple):
    """One line of a log: its time (in milliseconds since 1970), function and text."""

    moment: int
    function: str
    text: str


def command(
    batch: options.BatchOrAll = None,
    since: Annotated[str, typer.Option(metavar="TIME", help="How far back: 90s, 15m, 2h, 3d.")] = "1h",
    full: Annotated[bool, typer.Option("--full", help="Also show tracebacks.")] = False,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Show the logs of all functions in order of time (UTC). With --json: the log lines unchanged.

    Example: pipeline logs 20220131 --since 2h

    Exit codes: 0 shown, 2 BATCH is not a date or TIME not a duration.
    """
    start = time.time() - seconds(since)
    target = targets.chosen(env)
    logs, groups = target.client("logs"), target.output("log_group_names")
    sources = [read(logs, function, group, start, batch or "") for function, group in groups.items()]
    found = False
    for event in heapq.merge(*sources, key=lambda event: event.moment):
        found = True
        if as_json:
            terminal.print_line(event.text)
        elif full or not is_trace(event.text):
            terminal.out().print(line(event, full=full), soft_wrap=True)
    if not found:
        about = f" about {batch}" if batch else ""
        further = hints.command("logs", *([batch] if batch else []), "--since", "2d", env=env)
        text = f"Nothing was logged in the last {since}{about}. Look further back: {further}"
        terminal.err().print(text, soft_wrap=True)


def read(logs: CloudWatchLogsClient, function: str, group: str, since: float, batch: str) -> Iterator[Event]:
    """Yield the log lines of a function since a time that name the batch; all of them if it is empty.

    A function that never ran may have no log group yet.
    """
    named: Any = {"filterPattern": f'"{batch}"'} if batch else {}
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=int(since * 1000), **named)
    try:
        for event in pages.search("events[]"):
            text = event["message"].rstrip("\n")
            if batch in text and not text.startswith(NOISE):
                yield Event(event["timestamp"], function, text)
    except ClientError as error:
        if error_code(error) != "ResourceNotFoundException":
            raise


def seconds(text: str) -> float:
    """Parse a duration such as `90s`, `15m`, `2h` or `3d` into seconds.

    Raises
    ------
    UsageError
        The text is not a duration.
    """
    match = re.fullmatch(r"([0-9]+)([smhd])", text)
    if match is None:
        raise UsageError(f"--since is {text!r}, but a length of time is written 90s, 15m, 2h or 3d.")
    return min(int(match[1]) * UNITS[match[2]], time.time())  # nothing is older than 1970


def line(event: Event, *, full: bool = False) -> str:
    """Format an event as one line of markup; with `full`, its traceback follows."""
    try:
        fields = json.loads(event.text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        fields = {"message": event.text}
    moment = datetime.fromtimestamp(event.moment / 1000, UTC).strftime("%m-%d %H:%M:%S.%f")[:-3]
    level = str(fields.get("level", ""))
    message = _short(fields.get("message", fields.get("errorMessage", "")))
    trace = str(fields.get("exception", ""))
    error = without_trace(trace) or fields.get("exception_name") or fields.get("errorType")
    more = " ".join(f"{name}={_short(value)}" for name, value in fields.items() if name not in ALWAYS_THERE)
    parts = [
        f"[dim]{moment}Z[/] [magenta]{event.function:<9}[/] [{LEVELS.get(level, 'dim')}]{level:<7}[/]",
        terminal.shown(message if full else without_trace(message)),
        f"[dim]{terminal.shown(more)}[/]" if more else "",
        f"[red]{terminal.shown(error)}[/]" if error else "",
    ]
    text = " ".join(part for part in parts if part)
    return f"{text}\n[dim]{terminal.shown(trace)}[/]" if full and trace else text


def is_trace(text: str) -> bool:
    """Return whether a line is part of a traceback that was logged line by line, but not its last line, the error."""
    return text.startswith((" ", "Traceback ")) and not without_trace(text)


def without_trace(text: str) -> str:
    """Join a text into one line without the lines of a traceback: of an exception, its name and message remain."""
    lines = re.split(r"[\r\n]+", text)
    return " ".join(line for line in lines if line and not line.startswith((" ", "Traceback ")))


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
