"""`pipeline redrive`: put what lies in the dead-letter queues back to where it came from."""

from __future__ import annotations

from dataclasses import asdict

from pipeline_cli.deploy import target as targets
from pipeline_cli.operations.queues import name as queue_name
from pipeline_cli.operations.queues import waiting
from pipeline_cli.operations.redrive import redrive_all
from pipeline_cli.operations.republish import republish_all
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError


def command(env: options.Env = "", as_json: options.Json = False) -> None:
    """Put what lies in the dead-letter queues back to its source, to be tried again. Safe to repeat.

    What publish gave up is sent as it stands in the table now.

    Example: pipeline redrive

    Exit codes: 0 all dead-letter queues are empty, 1 something is left in one.
    """
    target = targets.chosen(env)
    results = redrive_all(target)
    republished = republish_all(target)
    unsent = waiting(target.client("sqs"), target.output("publish_dead_letter_queue_url")).total
    if as_json:
        terminal.print_json(
            {"queues": [asdict(result) for result in results], "publish": asdict(republished) | {"left": unsent}}
        )
    else:
        table = terminal.table("Dead-letter queue", "Moved", "Left", "Back to", numbers=("Moved", "Left"))
        for result in results:
            table.add_row(result.queue, f"{result.moved:,}", f"{result.left:,}", result.source)
        records = terminal.counted(republished.records, "record")
        table.add_row(
            queue_name(target.output("publish_dead_letter_queue_url")),
            f"{republished.letters:,}",
            f"{unsent:,}",
            f"the output queue ({records})",
        )
        terminal.out().print(table)
    left = [result.queue for result in results if result.left]
    if left:
        raise CommandError(f"Not empty: {', '.join(left)}.", "Run the command again.")
    if unsent:
        raise CommandError(
            f"{terminal.counted(unsent, 'failure')} of publish name nothing that the table's stream still keeps.",
            "It keeps 24 hours. The table is right; to send its results again see docs/adr/0001-exactly-once.md.",
        )
