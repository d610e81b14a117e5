"""`pipeline replay`: run the present set of files of a batch once more."""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import typer
from pipeline import ledger
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from pipeline.ledger import BatchState, Ledger
from pipeline.model.data_model import is_batch
from pipeline.stages.intake import start_run

from pipeline_cli.commands.status import headline
from pipeline_cli.deploy import target as targets
from pipeline_cli.operations import runs
from pipeline_cli.operations.follow import follow
from pipeline_cli.output import terminal
from pipeline_cli.output.errors import CommandError, UsageError


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


def command(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="The day, YYYYMMDD.")],
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not follow the run until it is done.")] = False,
    env: terminal.EnvOption = "",
    as_json: terminal.JsonOption = False,
) -> None:
    """Run the present set of files of a batch once more, for example after a failure whose cause is gone.

    What is in the table already is not written or sent again; a run that is on its way is left alone.

    Example: pipeline replay 20220131

    Exit codes: 0 done, 1 nothing to run, or the run FAILED, 2 BATCH is no day.
    """
    if not is_batch(batch):
        raise UsageError(f"BATCH is {batch!r}, but a day is written YYYYMMDD.")
    target = targets.load(env)
    terminal.announce(target)
    table = Table(target.output("table_name"), target.client("dynamodb"))
    workflow = Workflow(target.output("state_machine_arn"), target.client("stepfunctions"))
    entry, started = replay(table, workflow, batch)
    word = "is started" if started else "is on its way already"
    terminal.err().print(f"Run {entry.execution} {word}.")
    state = entry.state
    if not no_wait:
        bucket = Bucket(target.output("bucket_name"), target.client("s3"))
        result = follow(bucket, table, [batch], runs.of(target))[0]
        state = result.state
        if result.ledger and not as_json:
            terminal.out().print(headline(result.ledger))
    if as_json:
        terminal.print_json({"batch": batch, "execution": entry.execution, "started": started, "state": state.value})
    if state is BatchState.FAILED:
        raise CommandError(f"Batch {batch} FAILED.", f"See: pipeline errors {batch}")
