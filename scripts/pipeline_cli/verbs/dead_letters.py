"""`pipeline dead-letters`: show the messages in the dead-letter queues and why they failed; delete single ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from pipeline_cli.deployment import dead_letters
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import target as targets


def command(
    delete: Annotated[
        str, typer.Option("--delete", metavar="ID", help="Delete the message with this id or start of id; asks first.")
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
    with dead_letters.received(target) as found:
        known = [message for mine in found.values() for message in mine]
    if delete:
        _delete(target, [message for message in known if message.id.startswith(delete)], delete, yes=yes)
        return
    if as_json:
        terminal.print_json([message.as_plain() for message in known])
        return
    if not known:
        terminal.err().print("The dead-letter queues are empty.")
        return
    now, shown = datetime.now(UTC), terminal.table("Id", "Queue", "Age", "Cause", numbers=("Age",))
    for message in known:
        age = terminal.duration((now - message.sent_at).total_seconds())
        shown.add_row(message.id[:8], message.queue, age, terminal.shown(message.cause))
    terminal.out().print(shown)
    if body:
        for message in known:
            terminal.out().print(f"{message.id[:8]}  {terminal.shown(message.body)}", soft_wrap=True)
    terminal.err().print(f"To try all of them again: {hints.command('redrive', env=env)}", soft_wrap=True)


def _delete(target: targets.Target, chosen: list[dead_letters.DeadLetter], start: str, *, yes: bool) -> None:
    if len(chosen) != 1:
        several = f"{len(chosen)} messages have an id that begins with {start}." if chosen else ""
        raise CommandError(several or f"No message has the id {start}.", "Nothing was deleted.")
    (message,) = chosen
    terminal.out().print(f"{message.id}  {message.queue}: {terminal.shown(message.body)}", soft_wrap=True)
    if not (yes or terminal.agreed("Delete this message? Its content is lost.")):
        raise CommandError("Nothing was deleted.")
    if not dead_letters.delete(target, message.id):
        raise CommandError("The message is hidden: another receiver has it.", "Look again in a minute.")
    terminal.err().print("Deleted.")
