"""`pipeline status`: show each batch with its files, state, counts and errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Annotated, Any

import typer
from pipeline.aws.s3 import Bucket
from pipeline.ledger import BatchState
from pipeline.model.batch_files import INCOMING_PREFIX
from pipeline.model.data_model import MODEL

from pipeline_cli.deployment import large_day, runs, watch
from pipeline_cli.deployment.batches import (
    STYLES,
    BatchStatus,
    duration_of,
    find_batches,
    headline,
    not_noticed,
    read,
    waiting_text,
)
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.summary import Numbers
from pipeline_cli.terraform import target as targets


def show_all(statuses: Iterable[BatchStatus]) -> None:
    """Print one line per batch."""
    numbers = ("Customers", "Orders", "Items", "Refused", "Errors", "Took", "Finished (UTC)")
    shown = terminal.table("Batch", "State", "Files", *numbers, numbers=numbers)
    for status in statuses:
        entry = status.ledger
        counts = [""] * 5
        if entry and entry.summary:
            found = Numbers.of(entry.summary)
            refused = f"{found.refused:,} of {found.read:,}"
            counts = [f"{found.customers:,}", f"{found.orders:,}", f"{found.items:,}", refused, f"{found.errors:,}"]
            if not found.read:
                counts[:4] = [""] * 4
        seconds = duration_of(entry)
        shown.add_row(
            status.batch,
            f"[{STYLES[status.state]}]{status.state}[/]",
            _files(status),
            *counts,
            terminal.duration(seconds) if seconds is not None else "",
            terminal.minute(entry.finished_at)[5:] if entry else "",
        )
    terminal.print_table(shown)


def _files(status: BatchStatus) -> str:
    if status.missing:
        return f"no {', no '.join(status.missing)}"
    if status.unnoticed:
        return "all 3, not noticed yet"
    return "newer set" if status.corrected else "all 3"


def show_one(status: BatchStatus, bucket: Bucket, env: str) -> None:
    """Print everything that is known about one batch."""
    out, entry = terminal.out(), status.ledger
    if status.unnoticed:
        out.print(f"Batch {status.batch} [yellow]{status.state}[/]: {not_noticed(env)}", soft_wrap=True)
    elif entry is None:
        out.print(f"Batch {status.batch} [yellow]{status.state}[/]: waits for {' and '.join(status.missing)}.")
    else:
        out.print(headline(entry), soft_wrap=True)
    if waiting := waiting_text(entry):
        out.print(f"[yellow]The run {waiting}.[/]", soft_wrap=True)
    if job := large_day.progress(bucket, entry) or large_day.effort(entry):
        out.print(job, soft_wrap=True)
    if status.corrected and not status.unnoticed:
        out.print("[yellow]A newer set of files lies in the bucket and is not noticed yet.[/]")
    summary: Mapping[str, Any] = entry.summary.get("files", {}) if entry else {}
    shown = terminal.table(
        "File", "Size", "Arrived (UTC)", "Read", "Counted", "Refused", numbers=("Size", "Read", "Counted", "Refused")
    )
    read = Numbers.of(entry.summary).read if entry else 0
    for kind in MODEL.kinds:
        source = status.files.get(kind) or (entry.files.get(kind) if entry else None)
        if source is None:
            shown.add_row(f"{kind}_{status.batch}.csv", "", "[yellow]missing[/]")
            continue
        counts = summary.get(kind, {}) if read else {}
        shown.add_row(
            source.key.removeprefix(INCOMING_PREFIX),
            terminal.size(source.size),
            terminal.minute(source.last_modified),
            *(f"{int(counts[name]):,}" if name in counts else "" for name in ("read", "counted", "refused")),
        )
    terminal.print_table(shown)
    if entry and entry.history:
        out.print("[dim]Runs (times are UTC):[/]")
        for run in entry.history:
            superseded = run["state"] == BatchState.SUPERSEDED.value
            cause = f": {terminal.shown(run['cause'])}" if run.get("cause") and not superseded else ""
            out.print(
                f"  {terminal.minute(run['finished_at'])}  {run['execution']}  {run['state']}{cause}", soft_wrap=True
            )
    if Numbers.of(entry.summary if entry else {}).refused or status.state is BatchState.FAILED:
        out.print(f"What was wrong: {hints.command('errors', status.batch, env=env)}", soft_wrap=True)
    if status.state is BatchState.HELD and entry:
        delivers = Numbers.of(entry.summary).sentence()
        out.print(
            f"Held back: {delivers}. Correct the files and send them again, or deliver the batch as it is: "
            f"{hints.command('release', status.batch, env=env)}",
            soft_wrap=True,
        )


def command(
    batch: options.BatchOrAll = None,
    watch_it: Annotated[
        bool, typer.Option("--watch", help="Update the display until all runs are done, or until Ctrl-C.")
    ] = False,
    last: Annotated[int, typer.Option("--last", min=1, metavar="N", help="Show the N newest batches only.")] = 30,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Show each batch: present and missing files, state, counts, refused records, how long it took.

    With --watch the display follows the stage, the step of a Spark job, delivered chunks, counts and times of the runs.
    With --watch and BATCH the command also waits for missing files.

    Example: pipeline status 20220131 --watch

    Exit codes: 0 shown (whatever the state), 1 no such batch, 2 BATCH is not a date.
    """
    target = targets.chosen(env)
    s3, bucket, table = target.client("s3"), target.bucket, target.table
    if watch_it:

        def look() -> list[BatchStatus]:
            return read(bucket, table, [batch] if batch else find_batches(s3, bucket.name)[0][:last])

        console = terminal.err() if as_json else terminal.out()
        step = partial(large_day.step, bucket)
        watch.watch(look, runs.of(target), console, patient=batch is not None, step=step)
        if batch is None and not as_json:
            return
    if batch is not None:
        status = read(bucket, table, [batch])[0]
        if status.ledger is None and not status.files:
            raise CommandError(f"There is no batch {batch}: none of its files has arrived.")
        terminal.print_json(status.as_plain()) if as_json else show_one(status, bucket, env)
        return
    batches, foreign = find_batches(s3, bucket.name)
    statuses = read(bucket, table, batches[:last])
    if as_json:
        terminal.print_json({"batches": [status.as_plain() for status in statuses], "foreign_files": foreign})
        return
    note = terminal.err()
    if statuses:
        show_all(statuses)
    else:
        note.print(f"No batch has arrived yet. Send one: {hints.command('upload', 'DIR', env=env)}", soft_wrap=True)
    if len(batches) > last:
        note.print(f"[dim]… and {len(batches) - last:,} older ones: --last {len(batches)} shows all.[/]")
    if foreign:
        note.print(
            f"[yellow]{terminal.counted(len(foreign), 'file')} without a batch file's name:[/] "
            + hints.command("errors", "unknown", env=env),
            soft_wrap=True,
        )
