"""Deliver a HELD batch as it is: run the same set of files again without the limit on refused records."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline import ledger
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from pipeline.ledger import BatchState, Ledger
from pipeline.model.data_model import MODEL
from pipeline.model.file_set import set_version
from pipeline.stages.intake import start_run

from pipeline_cli.output.errors import CommandError


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
    files = bucket.find_set(batch)
    if len(files) < len(MODEL.kinds) or set_version(files) != entry.version:
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
