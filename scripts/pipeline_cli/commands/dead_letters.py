"""`pipeline dead-letters`: what was set aside and why, and dropping what will never be sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from pipeline_cli.deploy import target as targets
from pipeline_cli.operations import dead_letters
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import CommandError


def command(
    delete: Annotated[
        str, typer.Option("--delete", metavar="ID", help="Delete the letter with this id, or the start of one; asks.")
    ] = "",
    body: Annotated[bool, typer.Option("--body", help="Show the messages themselves too.")] = False,
    yes: options.Yes = False,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Show what lies in the dead-letter queues: which queue, since when, why. Looking changes nothing.

    Redrive puts letters back to be tried again. A letter that fails each time is deleted with --delete, once its body
    was looked at: what it says is then lost.

    Example: pipeline dead-letters --body

    Exit codes: 0 shown or deleted, 1 no letter has that id, several have, or the answer was no.
    """
    target = targets.chosen(env)
    with dead_letters.letters(target) as found:
        known = [letter for mine in found.values() for letter in mine]
    if delete:
        _delete(target, [letter for letter in known if letter.id.startswith(delete)], delete, yes=yes)
        return
    if as_json:
        terminal.print_json([letter.as_plain() for letter in known])
        return
    if not known:
        terminal.err().print("The dead-letter queues are empty.")
        return
    now, shown = datetime.now(UTC), terminal.table("Id", "Queue", "Age", "Cause", numbers=("Age",))
    for letter in known:
        age = terminal.duration((now - letter.sent_at).total_seconds())
        shown.add_row(letter.id[:8], letter.queue, age, terminal.shown(letter.cause))
    terminal.out().print(shown)
    if body:
        for letter in known:
            terminal.out().print(f"{letter.id[:8]}  {terminal.shown(letter.body)}", soft_wrap=True)
    terminal.err().print(f"To try all of them again: {hints.command('redrive', env=env)}", soft_wrap=True)


def _delete(target: targets.Target, chosen: list[dead_letters.DeadLetter], start: str, *, yes: bool) -> None:
    if len(chosen) != 1:
        several = f"{len(chosen)} letters have an id that begins with {start}." if chosen else ""
        raise CommandError(several or f"No letter has the id {start}.", "Nothing was deleted.")
    (letter,) = chosen
    terminal.out().print(f"{letter.id}  {letter.queue}: {terminal.shown(letter.body)}", soft_wrap=True)
    if not (yes or terminal.agreed("Delete this letter? What it says is lost.")):
        raise CommandError("Nothing was deleted.")
    if not dead_letters.delete(target, letter.id):
        raise CommandError("The letter is hidden: somebody else has received it.", "Look again in a minute.")
    terminal.err().print("Deleted.")
