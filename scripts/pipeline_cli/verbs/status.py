"""`pipeline status`: show each batch with its files, state, counts and errors."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pipeline.ledger import BatchState
from pipeline.model.batch_files import INCOMING_PREFIX
from pipeline.model.data_model import MODEL

from pipeline_cli.deployment import runs
from pipeline_cli.deployment.batches import BatchStatus, find_batches, headline, not_noticed, read, waiting_text
from pipeline_cli.deployment.following import follow, table
from pipeline_cli.deployment.publishing import behind
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.summary import Numbers
from pipeline_cli.terraform import target as targets

if TYPE_CHECKING:
    from pipeline_cli.terraform.target import Target


def command(
    batch: options.BatchOrAll = None,
    watch: Annotated[
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
    if watch:
        with suppress(KeyboardInterrupt):  # that is how one ends it
            follow(
                target,
                lambda: read(target, [batch] if batch else find_batches(target)[0][:last]),
                terminal.err() if as_json else terminal.out(),
                over=lambda status: status.settled and not (batch and status.missing),
            )
        if batch is None and not as_json:
            return
    if batch is not None:
        status = read(target, [batch])[0]
        if status.ledger is None and not status.files:
            raise CommandError(f"There is no batch {batch}: none of its files has arrived.")
        terminal.print_json(status.as_plain()) if as_json else show_one(target, status)
        return
    batches, foreign = find_batches(target)
    statuses = read(target, batches[:last])
    if as_json:
        terminal.print_json({"batches": [status.as_plain() for status in statuses], "foreign_files": foreign})
        return
    note = terminal.err()
    if statuses:
        terminal.print_table(table(target, statuses))
    else:
        note.print(f"No batch has arrived yet. Send one: {hints.command('upload', 'DIR', env=env)}", soft_wrap=True)
    if len(batches) > last:
        note.print(
            f"[dim]… and {terminal.counted(len(batches) - last, 'older one')}: --last {len(batches)} shows all.[/]"
        )
    if foreign:
        note.print(
            f"[yellow]{terminal.counted(len(foreign), 'file')} without a batch file's name:[/] "
            + hints.command("errors", "unknown", env=env),
            soft_wrap=True,
        )


def show_one(target: Target, status: BatchStatus) -> None:
    """Print everything that is known about one batch."""
    out, entry, env = terminal.out(), status.ledger, target.name
    summary: Mapping[str, Any] = entry.summary if entry else {}
    numbers = Numbers.of(summary)
    if status.unnoticed:
        out.print(f"Batch {status.batch} {terminal.state(status.state)}: {not_noticed(env)}", soft_wrap=True)
    elif entry is None:
        out.print(f"Batch {status.batch} {terminal.state(status.state)}: waits for {terminal.listed(status.missing)}.")
    else:
        out.print(headline(entry), soft_wrap=True)
    if status.state is BatchState.COMPLETED and (late := behind(target)):
        out.print(f"[yellow]But {late}.[/]", soft_wrap=True)
    if waiting := waiting_text(entry):
        out.print(f"[yellow]The run {waiting}.[/]", soft_wrap=True)
    if step := runs.step(target.bucket, entry):
        out.print(f"The Spark job for large days: {step}.", soft_wrap=True)
    if effort := runs.effort(entry):
        out.print(effort, soft_wrap=True)
    if status.corrected and not status.unnoticed:
        out.print("[yellow]A newer set of files lies in the bucket and is not noticed yet.[/]")
    _show_files(status, summary.get("files", {}) if numbers.read else {})
    if entry and entry.history:
        out.print("[dim]Runs (times are UTC):[/]")
        for run in entry.history:
            superseded = run["state"] == BatchState.SUPERSEDED.value
            cause = f": {terminal.shown(run['cause'])}" if run.get("cause") and not superseded else ""
            out.print(
                f"  {terminal.minute(run['finished_at'])}  {run['execution']}  {run['state']}{cause}", soft_wrap=True
            )
    if numbers.refused or status.state is BatchState.FAILED:
        out.print(f"What was wrong: {hints.command('errors', status.batch, env=env)}", soft_wrap=True)
    if status.state is BatchState.HELD:
        out.print(
            f"Held back: {numbers.sentence()}. Correct the files and send them again, or deliver the batch as it is: "
            f"{hints.command('release', status.batch, env=env)}",
            soft_wrap=True,
        )


def _show_files(status: BatchStatus, counts: Mapping[str, Mapping[str, Any]]) -> None:
    numbers = ("Read", "Counted", "Refused")
    shown = terminal.table("File", *numbers, "Size", "Arrived (UTC)", numbers=(*numbers, "Size"))
    for kind in MODEL.kinds:
        source = status.files.get(kind) or (status.ledger.files.get(kind) if status.ledger else None)
        if source is None:
            shown.add_row(f"{kind}_{status.batch}.csv", "", "", "", "", "[yellow]missing[/]")
            continue
        known = counts.get(str(kind), {})
        shown.add_row(
            terminal.shown(source.key.removeprefix(INCOMING_PREFIX)),
            *(f"{int(known[name]):,}" if name in known else "" for name in ("read", "counted", "refused")),
            terminal.size(source.size),
            terminal.minute(source.last_modified),
        )
    terminal.print_table(shown)
