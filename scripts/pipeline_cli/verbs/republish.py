"""`pipeline republish`: send the messages of a batch again, for consumers that lost them."""

from __future__ import annotations

from pipeline.ledger import BatchState

from pipeline_cli.deployment.removed_customers import removed_customers
from pipeline_cli.deployment.republish import republisher
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import target as targets


def command(
    batch: options.Batch,
    yes: options.Yes = False,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Send the messages of a batch again: its current results and errors, and removals of customers.

    Each message keeps its first message_id, so a consumer that stores these ids ignores what it has already. A removal
    is sent for every customer whom the batch has lost by a correction. The command reads the whole table. It asks for
    the environment's name first, except on local.

    Example: pipeline republish 20220131

    Exit codes: 0 sent, 1 no such batch, a run of it is under way, publish failed, or the answer was no, 2 BATCH is not
    a date.
    """
    target = targets.chosen(env)
    entry = target.table.get_ledger(batch)
    if entry is None or entry.version is None:
        raise CommandError(f"Batch {batch} has no results: no set of files of it was complete.")
    if entry.state in (BatchState.QUEUED, BatchState.RUNNING):
        raise CommandError(
            f"A run of batch {batch} is under way, and what it changes could be overtaken.",
            f"Wait for its end: {hints.command('status', batch, env=env)}",
        )
    if not (yes or target.is_local):
        terminal.confirm(target.name, f"This sends all messages of batch {batch} to the consumers once more.")
    count = republisher(target).republish_batch(batch, removed_customers(target.bucket, entry))
    if as_json:
        terminal.print_json({"batch": batch, "messages": count})
    else:
        terminal.out().print(f"{terminal.counted(count, 'message')} of batch {batch} sent again.")
