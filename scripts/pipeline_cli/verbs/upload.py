"""`pipeline upload`: send partner files to `incoming/` and follow their batch until it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pipeline.ledger import BatchState
from pipeline.model.batch_files import parse_file_name, today

from pipeline_cli.deployment.batches import headline
from pipeline_cli.deployment.follow import Progress, follow
from pipeline_cli.deployment.recognise import Upload, plan
from pipeline_cli.deployment.send import batches_of, send_with_display
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import target as targets


def as_plain(uploads: Sequence[Upload], results: Sequence[Progress]) -> dict[str, Any]:
    """Return the uploads and the state of their batches as plain values for JSON."""
    return {
        "uploaded": [{"file": str(upload.path), "key": upload.key} for upload in uploads],
        "batches": [
            {
                "batch": result.batch,
                "state": result.state.value,
                "missing": list(result.missing),
                "cause": result.ledger.cause if result.ledger and result.current else None,
            }
            for result in results
        ],
    }


def command(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE... | DIR", help="Files, or a folder of files.")],
    date: Annotated[
        str,
        typer.Option("--date", metavar="YYYYMMDD", help="The day of files without a date in their name; else today."),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Send files unchecked, under their own names.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not follow the batch until it is done.")] = False,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to follow.")] = 3600.0,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Send files to incoming/ and follow their batch until it is done.

    A file that is not named like a batch file (customers_YYYYMMDD.csv, orders_…, items_…, also .gz) is recognised by
    its header and sent under the right name. If a file can't be recognised, the command says why and sends nothing.

    Example: pipeline upload customers_20220131.csv orders_20220131.csv items_20220131.csv

    Exit codes: 0 sent (and COMPLETED, or waiting for missing files), 1 the batch FAILED or is HELD, or the timeout was
    reached, 2 a file was refused.
    """
    uploads, left_out = plan([path.expanduser() for path in paths], date or today(), force=force)
    target = targets.chosen(env)
    note = terminal.err()
    for sentence in left_out:
        note.print(f"[yellow]Left out:[/] {terminal.shown(sentence)}.", soft_wrap=True)
    for upload in uploads:
        if upload.note:
            note.print(
                f"{terminal.shown(upload.path)} is sent as [bold]{upload.name}[/]: {upload.note}.", soft_wrap=True
            )
    s3, batches = target.client("s3"), batches_of(uploads)
    bucket, table = target.bucket, target.table
    before = {batch: entry.execution for batch in batches if (entry := table.get_ledger(batch))}
    send_with_display(s3, bucket.name, uploads)
    results: list[Progress] = []
    if not no_wait and batches:
        results = follow(target, batches, timeout)
    if as_json:
        terminal.print_json(as_plain(uploads, results))
    else:
        _show(uploads, results, before, env)
        if batches and no_wait:
            terminal.out().print(
                f"Sent. Follow it with: {hints.command('status', batches[0], env=env)}", soft_wrap=True
            )
    for state in (BatchState.FAILED, BatchState.HELD):
        if failed := [result.batch for result in results if result.state is state]:
            raise CommandError(
                f"Batch {' and '.join(failed)} {state}.", f"See: {hints.command('errors', failed[0], env=env)}"
            )


def _show(uploads: Sequence[Upload], results: Sequence[Progress], before: Mapping[str, str | None], env: str) -> None:
    """Print the result for each file; `before` has the run of each batch that the ledger contained before."""
    out = terminal.out()
    for upload in uploads:
        if parse_file_name(upload.name) is None:
            name = terminal.shown(upload.name)
            out.print(
                f"{name} is no batch file's name: the pipeline will answer it with an error message.", soft_wrap=True
            )
    for result in results:
        text = result.describe() if result.missing or result.ledger is None else headline(result.ledger)
        out.print(text, soft_wrap=True)
        if result.ledger and result.current and before.get(result.batch) == result.ledger.execution:
            again = hints.command("replay", result.batch, env=env)
            out.print(f"That was before: the set is the same, so nothing runs again ({again} does).", soft_wrap=True)
