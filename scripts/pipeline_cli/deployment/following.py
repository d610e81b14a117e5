"""Follow batches until their runs are over: one live table with stage, chunks, counts and times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from time import monotonic, sleep
from typing import TYPE_CHECKING

from pipeline.ledger import BatchState, Ledger
from pipeline.model.data_model import MODEL
from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipeline_cli.deployment import runs
from pipeline_cli.deployment.batches import BatchStatus, duration_of, headline, read, waiting_text
from pipeline_cli.deployment.runs import STAGES, Runs
from pipeline_cli.output import hints, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.summary import Numbers

if TYPE_CHECKING:
    from pipeline_cli.terraform.target import Target

PICK_UP_SECONDS = 60.0
"""A complete set without a ledger entry after this time means that something is wrong; the display then says so."""

PROGRESS = "Progress or result"

FOLLOW_SECONDS = 3600.0
"""How long a command follows what it has started."""

Over = Callable[[BatchStatus], bool]
SETTLED: Over = attrgetter("settled")


def wait(
    look: Callable[[], Sequence[BatchStatus]],
    show: Callable[[Sequence[BatchStatus], float], None] = lambda *_: None,
    over: Over = SETTLED,
    timeout: float | None = None,
) -> Sequence[BatchStatus]:
    """Look at batches until all are over, or until `timeout` seconds have passed; `show` gets each look and its time.

    Return what the last look has found.
    """
    start = monotonic()
    while True:
        statuses, waited = look(), monotonic() - start
        show(statuses, waited)
        if all(map(over, statuses)) or (timeout is not None and waited > timeout):
            return statuses
        # Look often at first, so that the end of a small batch shows at once; a large one takes minutes anyway.
        sleep(min(2.0, 0.25 + waited / 30))


def follow(
    target: Target,
    look: Callable[[], Sequence[BatchStatus]],
    console: Console | None = None,
    over: Over = SETTLED,
    timeout: float | None = None,
) -> Sequence[BatchStatus]:
    """Show batches in a live table until all are over; return what the last look has found.

    Raises
    ------
    CommandError
        It takes longer than `timeout` seconds. This does not stop the batches.
    """
    with Live(console=console or terminal.err(), auto_refresh=False, transient=console is None) as live:

        def show(statuses: Sequence[BatchStatus], waited: float) -> None:
            live.update(table(target, statuses, waited), refresh=True)

        statuses = wait(look, show, over, timeout)
    if late := [status.batch for status in statuses if not over(status)]:
        raise CommandError(
            f"Batch {' and '.join(late)} takes longer than {terminal.duration(timeout or 0)}.",
            f"It continues; look again with: {hints.command('status', late[0], env=target.name)}",
        )
    return statuses


def show_run(target: Target, entry: Ledger, *, no_wait: bool) -> None:
    """Follow a run that a command has queued until it is over, unless `no_wait`, and print how it ended.

    Raises
    ------
    CommandError
        It FAILED, is HELD, or takes longer than `FOLLOW_SECONDS`.
    """
    if no_wait:
        return
    (result,) = follow(target, lambda: read(target, [entry.batch]), timeout=FOLLOW_SECONDS)
    if result.ledger:
        terminal.out().print(headline(result.ledger), soft_wrap=True)
    raise_unless_completed({entry.batch: result.state}, target.name)


def raise_unless_completed(states: Mapping[str, BatchState], env: str) -> None:
    """Raise CommandError if one of these batches FAILED or is HELD."""
    for state in (BatchState.FAILED, BatchState.HELD):
        if batches := [batch for batch, found in states.items() if found is state]:
            see = hints.command("errors", batches[0], env=env)
            raise CommandError(f"Batch {' and '.join(batches)} {state}.", f"See: {see}")


def table(target: Target, statuses: Sequence[BatchStatus], waited: float = 0.0) -> Table:
    """Build a table with a line per batch: state, progress or result, errors and times.

    `waited` is for how many seconds a command has followed them.
    """
    known, now, numbers = Runs(target), datetime.now(UTC), ("Errors", "Took", "Finished (UTC)")
    shown = terminal.table("Batch", "State", PROGRESS, *numbers, numbers=numbers, wraps=PROGRESS)
    for status in statuses:
        entry = status.ledger
        seconds = duration_of(entry, now)
        shown.add_row(
            status.batch,
            terminal.state(status.state),
            _progress(target, status, known, now, waited),
            f"{Numbers.of(entry.summary).errors:,}" if entry and entry.summary else "",
            terminal.duration(seconds) if seconds is not None else "",
            terminal.minute(entry.finished_at)[5:] if entry else "",
        )
    return shown


def _progress(target: Target, status: BatchStatus, known: Runs, now: datetime, waited: float) -> str:
    """Describe the progress or the result of a batch."""
    entry = status.ledger
    if status.missing:
        return f"waits for {terminal.listed(status.missing)}"
    if entry is None or status.corrected:
        files = f"all {len(MODEL.kinds)} files" if status.unnoticed else "newer files"
        late = f"; this takes unusually long: {hints.command('logs', env=target.name)}"
        return f"{files} are there, not noticed yet{late if waited > PICK_UP_SECONDS else ''}"
    if waiting := waiting_text(entry):
        return waiting
    if entry.state is BatchState.RUNNING:
        stages = known.stages(str(entry.execution), now)
        parts = [STAGES[stages[-1].name] if stages else "started"]
        if entry.chunks:
            counted = known.chunks(str(entry.execution))
            done = f"{counted.done:,} of " if counted and counted.total else ""
            parts.append(done + terminal.counted(entry.chunks, "chunk"))
        elif at := runs.step(target.bucket, entry):
            parts.append(at)
        return ", ".join(parts)
    if entry.state is BatchState.COMPLETED:
        return Numbers.of(entry.summary).in_short()
    return terminal.shown(entry.cause or "")
