"""Run the present set of files of a batch once more."""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import UTC, datetime

from pipeline import ledger
from pipeline.aws.dynamodb import Table
from pipeline.aws.workflow import Workflow
from pipeline.ledger import BatchState, Ledger
from pipeline.stages.intake import start_run

from pipeline_cli.output.errors import CommandError


def replay(table: Table, workflow: Workflow, batch: str) -> tuple[Ledger, bool]:
    """Want the batch's set of files once more and start its run; False where a run of it is on its way already.

    A run that the ledger believes to be on its way, but that was aborted or timed out, no longer counts. Safe to
    repeat.

    Raises
    ------
    CommandError
        The batch was never complete, so there is nothing to run.
    """
    known = table.get_ledger(batch)
    if known is None or known.version is None:
        missing = known.missing if known else []
        detail = f"its set still lacks {' and '.join(missing)}" if missing else "the pipeline knows no such batch"
        raise CommandError(f"Batch {batch} can't run again: {detail}.")
    change = functools.partial(_again, ended=_ended(workflow, known), now=datetime.now(UTC))
    entry = table.update_ledger(batch, change)
    started = start_run(table, workflow, entry)
    return table.get_ledger(batch) or entry, started


def _ended(workflow: Workflow, entry: Ledger) -> str | None:
    """Return the name of the run that the entry believes to be at work, where it is over."""
    if entry.state is not BatchState.RUNNING or workflow.stopped_at(str(entry.execution)) is None:
        return None
    return entry.execution


def _again(entry: Ledger, ended: str | None, now: datetime) -> Ledger:
    """Queue the set once more; the run `ended` no longer stands in the way."""
    if entry.state is BatchState.RUNNING and entry.execution == ended:
        # The holder stays: the new run takes the batch from it when its last writer has surely stopped.
        entry = replace(entry, state=BatchState.FAILED)
    return ledger.replay(entry, now)
