"""`pipeline errors`: show the errors of a batch, grouped by error code and file."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline_cli.deployment.feedback import find, group, rejects, show
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.options import UNKNOWN
from pipeline_cli.terraform import target as targets


def command(
    batch: options.BatchOrUnknown,
    examples: Annotated[int, typer.Option(min=0, metavar="N", help="How many examples per code to show.")] = 3,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Show the errors of a batch by code with examples, and where the refused records are.

    Example: pipeline errors 20220131 --examples 10

    Exit codes: 0 shown (also if there are none), 1 no such batch, 2 BATCH is not a date.
    """
    target = targets.chosen(env)
    bucket = target.bucket
    entry = target.table.get_ledger(batch) if batch != UNKNOWN else None
    rows = find(target, batch)
    if entry is None and not rows and batch != UNKNOWN:
        raise CommandError(f"There is no batch {batch}.")
    keys = rejects(bucket, entry)
    summary = entry.summary if entry else {}
    if as_json:
        terminal.print_json(
            {
                "batch": batch,
                "state": entry.state.value if entry else None,
                "errors": rows,
                "by_code": [{"code": g.code, "file": g.file, "count": g.count} for g in group(rows, 0, summary)],
                "rejects": [f"s3://{bucket.name}/{key}" for key in keys],
            }
        )
        return
    show(group(rows, examples, summary))
    out = terminal.out()
    if entry and entry.cause:
        out.print(f"The run failed: {terminal.shown(entry.cause)}", soft_wrap=True)
    if not rows:
        out.print(f"Batch {batch} has no errors." if entry else "No file without a day was reported.")
    for key in keys:
        out.print(f"All refused records, as they were read: s3://{bucket.name}/{key}", soft_wrap=True)
