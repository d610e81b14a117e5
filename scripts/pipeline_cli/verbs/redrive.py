"""`pipeline redrive`: move the messages in the dead-letter queues back to their source queues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from pipeline_cli.deployment.queues import name as queue_name
from pipeline_cli.deployment.queues import waiting
from pipeline_cli.deployment.redrive import redrive_all
from pipeline_cli.deployment.republish import republisher
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import target as targets


def command(env: options.Env = "", as_json: options.Json = False) -> None:
    """Move the messages in the dead-letter queues back to their source, to be tried again. Safe to repeat.

    For changes that the publish function failed to send, the present content of the table is sent. A message that can't
    be sent does not stop the others. The command names what is left and why.

    Example: pipeline redrive

    Exit codes: 0 all dead-letter queues are empty, 1 a message is left in one.
    """
    target = targets.chosen(env)
    results = redrive_all(target)
    queue = target.output("publish_dead_letter_queue_url")
    republished = republisher(target).republish(queue)
    left = waiting(target.client("sqs"), queue).total
    if as_json:
        terminal.print_json(
            {"queues": [asdict(result) for result in results], "publish": asdict(republished) | {"left": left}}
        )
    else:
        table = terminal.table("Dead-letter queue", "Moved", "Left", "Back to", numbers=("Moved", "Left"))
        for result in results:
            table.add_row(result.queue, f"{result.moved:,}", f"{result.left:,}", result.source)
        records = terminal.counted(republished.records, "record")
        table.add_row(queue_name(queue), f"{republished.messages:,}", f"{left:,}", f"the output queue ({records})")
        terminal.out().print(table)
    problems = [problem for result in results for problem in _problems(result.queue, result.left, result.failed, env)]
    problems += _problems(queue_name(queue), left - republished.expired, republished.failed, env)
    if republished.expired:
        again = hints.command("republish", "BATCH", env=env)
        problems.append(
            f"{terminal.counted(republished.expired, 'message')} in {queue_name(queue)} expired: the table's stream no "
            f"longer keeps those changes (24 hours). The table is right; {again} sends its results of a day again, "
            f"then delete these messages ({hints.command('dead-letters', '--delete', 'ID', env=env)})"
        )
    if problems:
        raise CommandError(". ".join(problems) + ".")


def _problems(queue: str, left: int, failed: Sequence[str], env: str) -> Iterator[str]:
    """Yield sentences that say how many messages are left in a queue and why."""
    if failed:
        see = hints.command("dead-letters", env=env)
        yield f"{terminal.counted(len(failed), 'message')} in {queue} can't be sent ({failed[0]}): see {see}"
    if hidden := left - len(failed):
        # SQS counts are approximate: messages that were just moved may still count as hidden until the next run.
        hidden_ones = terminal.counted(hidden, "message")
        yield f"{hidden_ones} in {queue} hidden, as another client has received it: run again in 60 s"
