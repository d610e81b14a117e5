"""`pipeline messages`: show the messages that wait in the output queue, or take them out."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline_cli.deployment.messages import LOOKED_AT, Received, drain, line, look
from pipeline_cli.output import options, terminal
from pipeline_cli.terraform import target as targets

LOOK_MESSAGES = 100


def command(
    drain_it: Annotated[bool, typer.Option("--drain", help="Print each message, then delete it.")] = False,
    limit: Annotated[
        int | None,
        typer.Option("--max", min=1, metavar="N", help="Stop after N messages. \\[default: 100, with --drain all]"),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Look even if that may move messages to the dead-letter queue.")
    ] = False,
    yes: options.Yes = False,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Show the messages in the output queue and leave them there, or --drain the queue. With --json: one body per line.

    Looking hides the messages from consumers for a moment and counts as a receive. The command therefore refuses to
    look once a message has nearly reached the queue's limit of receives. It remembers that in this checkout, so look
    from one checkout only. It shows only the first 10 messages of a message group, as a FIFO queue holds back the rest;
    --drain shows all. --drain takes the messages away from the consumers, so it asks for the environment's name first,
    except on local.

    Example: pipeline messages --drain --json > messages.jsonl

    Exit codes: 0 shown, 1 some messages could not be put back or deleted, or the answer was no.
    """
    target = targets.chosen(env)
    sqs, url = target.client("sqs"), target.output("output_queue_url")
    out, note = terminal.out(), terminal.err()

    def show(message: Received) -> None:
        if as_json:
            terminal.print_line(message.body)
        else:
            out.print(line(message), soft_wrap=True)

    if drain_it:
        if not (yes or target.is_local):
            terminal.confirm(target.name, f"This takes messages from the consumers of {target.description}.")
        count = drain(sqs, url, show, limit)
        if limit is None:
            (target.folder / LOOKED_AT).unlink(missing_ok=True)
        note.print(f"{terminal.counted(count, 'message')} taken out of the queue.")
        return
    seen = look(target, limit or LOOK_MESSAGES, anyway=anyway)
    for message in seen.messages:
        show(message)
    more = max(0, seen.waiting - len(seen.messages))
    rest = f"; {more:,} more wait, --drain shows all" if more else ""
    note.print(f"{terminal.counted(len(seen.messages), 'message')} shown and left in the queue{rest}.")
    if seen.exhausted:
        note.print(
            f"[yellow]{terminal.counted(seen.exhausted, 'message')} came out of the queue so often that this was the "
            f"last look until it is empty: after {seen.max_receives} receives SQS moves a message to the dead-letter "
            "queue.[/]",
            soft_wrap=True,
        )
