"""`pipeline replay`: run the present set of files of a batch again."""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import ledger
from pipeline.ledger import BatchState, Ledger
from pipeline.model.file_set import FileSet
from pipeline.stages.intake import start_run

from pipeline_cli.deployment.batches import not_noticed, read, waiting_text
from pipeline_cli.deployment.following import show_run
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import target as targets

if TYPE_CHECKING:
    from pipeline.aws.workflow import Workflow

    from pipeline_cli.terraform.target import Target


def command(
    batch: options.Batch,
    no_wait: options.NoWait = False,
    env: options.Env = "",
) -> None:
    """Run the present set of files of a batch again, for example after the cause of a failure was fixed.

    Unchanged results and errors are not written or sent again. A run that is under way is not restarted.

    Example: pipeline replay 20220131

    Exit codes: 0 done, 1 nothing to run, or the run FAILED or is HELD, 2 BATCH is not a date.
    """
    target = targets.chosen(env)
    entry, started = replay(target, batch)
    waiting = waiting_text(entry)
    word = ("is started" if started else "is already in progress") + (f"; it {waiting}" if waiting else "")
    terminal.err().print(f"Run {entry.execution} {word}.", soft_wrap=True)
    show_run(target, entry, no_wait=no_wait)


def replay(target: Target, batch: str) -> tuple[Ledger, bool]:
    """Queue the batch's set of files again and start its run. Safe to repeat.

    Return the ledger entry, and whether a run was started: not if one is under way already. A run that was aborted or
    timed out does not count as under way, even if its ledger entry is still open.

    Raises
    ------
    CommandError
        The batch was never complete, so there is nothing to run.
    """
    known = target.table.get_ledger(batch)
    if known is None or known.version is None:
        raise CommandError(f"Batch {batch} can't run again: {_why_not(target, batch)}")
    table, workflow = target.table, target.workflow
    files = target.bucket.find_set(batch)
    change = functools.partial(_again, files=files, ended=_ended(workflow, known), now=datetime.now(UTC))
    entry = table.update_ledger(batch, change)
    started = start_run(table, workflow, entry)
    return table.get_ledger(batch) or entry, started


def _why_not(target: Target, batch: str) -> str:
    (status,) = read(target, [batch])
    if status.unnoticed:
        return not_noticed(target.name)
    if status.ledger is None and not status.files:
        return "the pipeline knows no such batch."
    return f"its set still lacks {terminal.listed(status.missing)}."


def _ended(workflow: Workflow, entry: Ledger) -> str | None:
    """Return the name of the entry's run if the entry is RUNNING but the run has ended; else None."""
    if entry.state is not BatchState.RUNNING or workflow.status(str(entry.execution)).running:
        return None
    return entry.execution


def _again(entry: Ledger, files: FileSet, ended: str | None, now: datetime) -> Ledger:
    """Queue the set again, with the present locations of its files, even if the entry is RUNNING the run `ended`."""
    if entry.state is BatchState.RUNNING and entry.execution == ended:
        # The holder stays: the new run takes the batch over when the last writer of the old run has certainly stopped.
        entry = replace(entry, state=BatchState.FAILED)
    if entry.state in (BatchState.QUEUED, BatchState.RUNNING):
        return entry
    return ledger.replay(ledger.refresh_versions(entry, entry.counted(files)), now)
