"""`pipeline release`: deliver a HELD batch as it is."""

from __future__ import annotations

from typing import Annotated

import typer
from pipeline.ledger import BatchState

from pipeline_cli.deployment.follow import follow_run
from pipeline_cli.deployment.release import find_held, release
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.summary import Numbers, amount
from pipeline_cli.terraform import target as targets


def command(
    batch: options.Batch,
    yes: options.Yes = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not follow the run until it is done.")] = False,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Deliver a HELD batch as it is, although many of its records were refused.

    Says what will be delivered and asks first, except on local. The same files run again and are not held this time. A
    corrected file is better, and needs no release.

    Example: pipeline release 20220131

    Exit codes: 0 done, 1 the batch is not HELD, its files have changed, the answer was no or the run FAILED, 2 BATCH is
    not a date.
    """
    target = targets.chosen(env)
    held = find_held(target.table, target.bucket, batch)
    total = amount(str(held.summary["total_amount"]))
    delivers = f"This delivers batch {batch}: {Numbers.of(held.summary).sentence()}; customers spent {total} in all."
    if yes or target.is_local:
        terminal.err().print(delivers, soft_wrap=True)
    else:
        terminal.confirm(target.name, delivers)
    entry = release(target.table, target.workflow, held)
    terminal.err().print(f"Run {entry.execution} is started.")
    state = entry.state if no_wait else follow_run(target, batch, show=not as_json)
    if as_json:
        terminal.print_json({"batch": batch, "execution": entry.execution, "state": state.value})
    if state is BatchState.FAILED:
        raise CommandError(f"Batch {batch} FAILED.", f"See: {hints.command('errors', batch, env=env)}")
