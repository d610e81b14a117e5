"""`pipeline release`: deliver a HELD batch as it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import ledger
from pipeline.ledger import BatchState, Ledger
from pipeline.model.data_model import MODEL
from pipeline.model.file_set import set_version
from pipeline.stages.intake import start_run

from pipeline_cli.deployment.following import show_run
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.summary import Numbers, totals_sentence
from pipeline_cli.terraform import target as targets

if TYPE_CHECKING:
    from pipeline.aws.dynamodb import Table
    from pipeline.aws.s3 import Bucket
    from pipeline.aws.workflow import Workflow


def command(
    batch: options.Batch,
    yes: options.Yes = False,
    no_wait: options.NoWait = False,
    env: options.Env = "",
) -> None:
    """Deliver a HELD batch as it is, although many of its records were refused or it is less than it should be.

    Says what will be delivered and removed and asks first, except on local. Exactly these files run again without being
    held. A corrected file is better, and needs no release.

    Example: pipeline release 20220131

    Exit codes: 0 done, 1 the batch is not HELD, its files have changed, the answer was no, or the run FAILED, 2 BATCH
    is not a date.
    """
    target = targets.chosen(env)
    held = find_held(target.table, target.bucket, batch)
    delivers = f"This delivers batch {batch}: {Numbers.of(held.summary).sentence()}; {totals_sentence(held.summary)}."
    if removed := int(held.summary.get(f"removed_{MODEL.root}", 0)):
        who = terminal.counted(removed, MODEL.root.singular, MODEL.root)
        delivers += f" This removes {who} that an earlier version delivered."
    if yes or target.is_local:
        terminal.err().print(delivers, soft_wrap=True)
    else:
        terminal.confirm(target.name, delivers)
    entry = release(target.table, target.workflow, held)
    terminal.err().print(f"Run {entry.execution} is started.")
    show_run(target, entry, no_wait=no_wait)


def find_held(table: Table, bucket: Bucket, batch: str) -> Ledger:
    """Return the ledger entry of a batch that can be released.

    Raises
    ------
    CommandError
        The batch is not HELD, or its files have changed since.
    """
    entry = table.get_ledger(batch)
    if entry is None or entry.state is not BatchState.HELD:
        state = entry.state.value if entry else "not known"
        raise CommandError(f"Batch {batch} is {state}, not HELD: there is nothing to release.")
    files = entry.counted(bucket.find_set(batch))
    if entry.lacking(files) or set_version(files) != entry.version:
        raise CommandError(f"The files of batch {batch} have changed since it was held: nothing was released.")
    return ledger.refresh_versions(entry, files)


def release(table: Table, workflow: Workflow, held: Ledger) -> Ledger:
    """Queue the held set again, as a run that is not held, and start it.

    If this is interrupted before the run is started, `replay` starts it.

    Raises
    ------
    CommandError
        The batch was replayed or corrected meanwhile.
    """
    version = str(held.version)
    now = datetime.now(UTC)
    entry = table.update_ledger(
        held.batch, lambda entry: ledger.release(ledger.refresh_versions(entry, held.files), version=version, now=now)
    )
    if entry.released != version or entry.version != version:
        raise CommandError(f"Batch {held.batch} is {entry.state} by now: nothing was released.")
    start_run(table, workflow, entry)
    return table.get_ledger(held.batch) or entry
