"""`pipeline dead-letters`: show the messages in the dead-letter queues and why they failed; delete single ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline_cli.deployment import queues
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import target as targets

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from pipeline_cli.terraform.target import Target

HIDDEN_SECONDS = 900
"""Visibility timeout of the messages: longer than the question whether to delete one waits for an answer."""


def command(
    delete: Annotated[
        str, typer.Option("--delete", metavar="ID", help="Delete the message whose id begins so; asks first.")
    ] = "",
    body: Annotated[bool, typer.Option("--body", help="Also show the bodies of the messages.")] = False,
    yes: options.Yes = False,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Show the messages in the dead-letter queues: which queue, since when, and why. This changes nothing.

    `pipeline redrive` moves them back to be tried again. A message that fails every time is deleted with --delete: read
    its body first, as it is lost then.

    Example: pipeline dead-letters --body

    Exit codes: 0 shown or deleted, 1 no message has that id, several have, or the answer was no.
    """
    target = targets.chosen(env)
    with received(target) as found:
        if delete:
            _delete(target, found, delete, yes=yes)
            return
        known = [_plain(target, output, message) for output, messages in found.items() for message in messages]
    if as_json:
        terminal.print_json(known)
        return
    if not known:
        terminal.err().print("The dead-letter queues are empty.")
        return
    now, table = datetime.now(UTC), terminal.table("Id", "Queue", "Age", "Cause", numbers=("Age",))
    for one in known:
        age = terminal.duration((now - datetime.fromisoformat(one["sent_at"])).total_seconds())
        table.add_row(one["id"][:8], one["queue"], age, terminal.shown(one["cause"]))
    terminal.print_table(table)
    for one in known if body else ():
        terminal.out().print(f"{one['id'][:8]}  {terminal.shown(one['body'])}", soft_wrap=True)
    terminal.err().print(f"To try all of them again: {hints.command('redrive', env=env)}", soft_wrap=True)


@contextmanager
def received(target: Target) -> Iterator[dict[str, list[MessageTypeDef]]]:
    """Receive the messages of each dead-letter queue, by its Terraform output; put them back at the end of the block.

    A dead-letter queue has no dead-letter queue itself, so receiving never moves a message.
    """
    sqs = target.client("sqs")
    found: dict[str, list[MessageTypeDef]] = {output: [] for output in queues.DEAD_LETTERS}
    try:
        for output, messages in found.items():
            for message in queues.receive_each(sqs, target.output(output), HIDDEN_SECONDS):
                messages.append(message)
        yield found
    finally:
        for output, messages in found.items():
            queues.put_back(sqs, target.output(output), messages)


def _plain(target: Target, output: str, message: MessageTypeDef) -> dict[str, Any]:
    """Return a message as plain values; `sent_at` of a FIFO queue is when it was moved to the dead-letter queue."""
    sent = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
    return {
        "queue": queues.name(target.output(output)),
        "id": message["MessageId"],
        "cause": "; ".join([queues.DEAD_LETTERS[output], *_details(message)]),
        "sent_at": sent.isoformat(timespec="seconds"),
        "body": message["Body"],
    }


def _details(message: MessageTypeDef) -> Iterator[str]:
    """Yield what the message says about its cause in its body, as Lambda and publish write it."""
    try:
        body = json.loads(message["Body"])
        if "cause" in body:
            yield f"SQS refused its message: {body['cause']['code']} {body['cause']['message']}"
        context = body["requestContext"]
        yield f"{context['condition']} after {context['approximateInvokeCount']} tries"
    except (ValueError, KeyError, TypeError):
        return


def _delete(target: Target, found: dict[str, list[MessageTypeDef]], start: str, *, yes: bool) -> None:
    """Show the one message whose id begins with `start`, ask, and delete it."""
    chosen = [(output, one) for output, messages in found.items() for one in messages]
    chosen = [(output, one) for output, one in chosen if one["MessageId"].startswith(start)]
    if len(chosen) != 1:
        several = f"{len(chosen)} messages have an id that begins with {start}." if chosen else ""
        raise CommandError(several or f"No message has the id {start}.", "Nothing was deleted.")
    ((output, message),) = chosen
    terminal.out().print(f"{message['MessageId']}: {terminal.shown(message['Body'])}", soft_wrap=True)
    if not (yes or terminal.agreed("Delete this message? Its content is lost.")):
        raise CommandError("Nothing was deleted.")
    target.client("sqs").delete_message(QueueUrl=target.output(output), ReceiptHandle=message["ReceiptHandle"])
    found[output].remove(message)
    terminal.err().print("Deleted.")
