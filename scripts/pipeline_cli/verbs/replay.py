"""`pipeline replay`: run the present set of files of a batch again."""

from __future__ import annotations

from typing import Annotated

import typer
from pipeline.ledger import BatchState

from pipeline_cli.deployment.batches import waiting_text
from pipeline_cli.deployment.follow import follow_run
from pipeline_cli.deployment.replay import replay
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import target as targets


def command(
    batch: options.Batch,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not follow the run until it is done.")] = False,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Run the present set of files of a batch again, for example after the cause of a failure was fixed.

    Unchanged results and errors are not written or sent again. A run that is under way is not restarted.

    Example: pipeline replay 20220131

    Exit codes: 0 done, 1 nothing to run, or the run FAILED or is HELD, 2 BATCH is not a date.
    """
    target = targets.chosen(env)
    entry, started = replay(target, batch)
    word = "is started" if started else "is already in progress"
    waiting = waiting_text(entry)
    terminal.err().print(f"Run {entry.execution} {word}{f'; it {waiting}' if waiting else ''}.", soft_wrap=True)
    state = entry.state if no_wait else follow_run(target, batch, show=not as_json)
    if as_json:
        terminal.print_json({"batch": batch, "execution": entry.execution, "started": started, "state": state.value})
    if state in (BatchState.FAILED, BatchState.HELD):
        raise CommandError(f"Batch {batch} {state}.", f"See: {hints.command('errors', batch, env=env)}")
