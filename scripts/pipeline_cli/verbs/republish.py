"""`pipeline republish`: send the messages of a batch again, for consumers that lost them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.aws.s3 import Bucket
from pipeline.ledger import BatchState, Ledger
from pipeline.model.batch_files import DELIVERED_PREFIX

from pipeline_cli.deployment.republisher import republisher
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.files import temporary_folder
from pipeline_cli.terraform import target as targets

FETCH = 10_000
MEMORY_MB = 1000


def command(
    batch: options.Batch,
    yes: options.Yes = False,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Send the messages of a batch again: its current results and errors, and the removals by its corrections.

    Each message keeps its first message_id, so a consumer that stores these ids ignores what it has already. The
    command reads the whole table, and asks for the environment's name first, except on local.

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
    count = republisher(target).republish_batch(batch, removed(target.bucket, entry))
    if as_json:
        terminal.print_json({"batch": batch, "messages": count})
    else:
        terminal.out().print(f"{terminal.counted(count, 'message')} of batch {batch} sent again.")


def removed(bucket: Bucket, entry: Ledger) -> Iterator[str]:
    """Yield the references in the results of earlier versions that those of the versions in the table no longer have.

    A version that was superseded before it delivered has a list, too. So a reference may be one that consumers were
    never sent.
    """
    from pipeline.joining.results import dropped  # importing DuckDB takes long
    from pipeline.reading.sql import open_database

    with temporary_folder("removed-") as directory:
        present, earlier = list[Path](), list[Path]()
        for key in bucket.keys(f"{DELIVERED_PREFIX}{entry.batch}/"):
            file = bucket.fetch(key, directory / Path(key).name)
            (present if file.stem in entry.delivered else earlier).append(file)
        if not (present and earlier):
            return
        with open_database(directory, MEMORY_MB, threads=2) as connection:
            rows = connection.execute(dropped(earlier, present))
            while found := rows.fetchmany(FETCH):
                yield from (row[0] for row in found)
