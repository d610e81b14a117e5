"""`pipeline backfill`: start the runs of days whose files are in the bucket, but whose events never came.

Their files lay there before the first deployment, or came while the trigger was off.
"""

from __future__ import annotations

import functools
from typing import Annotated

import typer
from pipeline.ledger import BatchState
from pipeline.stages.intake import record_set, start_run

from pipeline_cli.deployment.batches import find_batches, read
from pipeline_cli.deployment.following import follow, raise_unless_completed, table
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import UsageError
from pipeline_cli.terraform import target as targets
from pipeline_cli.terraform.target import Target


def command(
    first: Annotated[str, typer.Option("--from", metavar="YYYYMMDD", help="The first day; without: the oldest.")] = "",
    last: Annotated[str, typer.Option("--to", metavar="YYYYMMDD", help="The last day; without: the newest.")] = "",
    at_a_time: Annotated[int, typer.Option("--at-a-time", min=1, metavar="N", help="Runs at the same time.")] = 5,
    yes: options.Yes = False,
    env: options.Env = "",
) -> None:
    """Start the runs of days whose files are all in the bucket without the pipeline having noticed.

    Shows these days and asks. The oldest days run first, a few at a time, so that each is compared with the days before
    it. Days that lack a file are shown and left alone. If it is interrupted, call it again.

    Example: pipeline backfill --from 20220101 --to 20220131

    Exit codes: 0 all days COMPLETED, or there was none, 1 a day FAILED or is HELD, or the answer was no, 2 a wrong day.
    """
    for name, day in (("--from", first), ("--to", last)):
        if day:
            options.check_day(day, name)
    if last and first > last:
        raise UsageError(f"--from {first} is after --to {last}.")
    target = targets.chosen(env)
    chosen = [batch for batch in sorted(find_batches(target)[0]) if first <= batch <= (last or batch)]
    statuses = read(target, chosen)
    days = [status for status in statuses if status.corrected and status.state not in _UNDER_WAY]
    waiting = [status for status in statuses if status.missing and status.files]
    if days or waiting:
        terminal.print_table(table(target, [*days, *waiting]))
    if not days:
        terminal.out().print("There is nothing to start: the pipeline knows every complete day.")
        return
    if not (yes or target.is_local):
        terminal.confirm(target.name, f"This starts {terminal.counted(len(days), 'run')}, {at_a_time} at a time.")
    ended: dict[str, BatchState] = {}
    for start in range(0, len(days), at_a_time):
        block = [status.batch for status in days[start : start + at_a_time]]
        for batch in block:
            begin(target, batch)
        ended |= {status.batch: status.state for status in follow(target, functools.partial(read, target, block))}
    completed = list(ended.values()).count(BatchState.COMPLETED)
    terminal.out().print(f"{terminal.counted(len(days), 'day')} ran, {completed} of them COMPLETED.")
    raise_unless_completed(ended, target.name)


_UNDER_WAY = (BatchState.QUEUED, BatchState.RUNNING)


def begin(target: Target, batch: str) -> None:
    """Record the files of a batch in the ledger, as intake does for an event, and start the run of a complete set."""
    control_file = str(targets.variables(target.name)["control_file"])
    record = functools.partial(record_set, files=target.bucket.find_set(batch), due=False, control_file=control_file)
    start_run(target.table, target.workflow, target.table.update_ledger(batch, record))
