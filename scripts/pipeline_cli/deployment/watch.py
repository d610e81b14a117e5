"""A live table of batches while they run: stage, chunks, counts, times."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pipeline.ledger import BatchState, Ledger
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from pipeline_cli.deployment.batches import STYLES, BatchStatus, duration_of, waiting_text
from pipeline_cli.deployment.runs import STAGES, Runs
from pipeline_cli.output import terminal
from pipeline_cli.output.summary import Numbers

LOOK_SECONDS = 1.0
BAR_WIDTH = 16


def watch(
    look: Callable[[], Sequence[BatchStatus]],
    runs: Runs,
    console: Console,
    *,
    patient: bool,
    step: Callable[[Ledger], str | None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show batches until none is under way, or until Ctrl-C; with `patient`, also wait for missing files.

    `step` names the step of a run's Spark job, if it has one.
    """
    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                statuses = look()
                live.update(table(statuses, runs, datetime.now(UTC), step), refresh=True)
                if all(status.settled and not (patient and status.missing) for status in statuses):
                    return
                sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            return


def table(
    statuses: Sequence[BatchStatus],
    runs: Runs,
    now: datetime,
    step: Callable[[Ledger], str | None] = lambda _: None,
) -> Table:
    """Build a table with a line per batch: state, progress or result, errors and duration."""
    numbers = ("Errors", "Took")
    shown = terminal.table("Batch", "State", "Progress", *numbers, numbers=numbers)
    for status in statuses:
        entry = status.ledger
        seconds = duration_of(entry, now)
        shown.add_row(
            status.batch,
            f"[{STYLES[status.state]}]{status.state}[/]",
            _progress(status, runs, now, step),
            f"{Numbers.of(entry.summary).errors:,}" if entry and entry.summary else "",
            terminal.duration(seconds) if seconds is not None else "",
        )
    return shown


def _progress(status: BatchStatus, runs: Runs, now: datetime, step: Callable[[Ledger], str | None]) -> RenderableType:
    """Describe the progress or the result of a batch."""
    entry = status.ledger
    if status.missing:
        return f"waits for {' and '.join(status.missing)}"
    if entry is None or status.corrected:
        return "files are there, about to be noticed"
    if waiting := waiting_text(entry):
        return waiting
    if entry.state is BatchState.RUNNING:
        stage = _stage(entry, runs, now)
        at = step(entry)
        return f"{stage}, {at}" if at else stage
    numbers = Numbers.of(entry.summary)
    if entry.state is BatchState.COMPLETED:
        refused = f"{numbers.refused:,} of {numbers.read:,} records refused"
        return f"{terminal.counted(numbers.customers, 'customer')}; {refused}"
    return terminal.shown(entry.cause or "")


def _stage(entry: Ledger, runs: Runs, now: datetime) -> RenderableType:
    """Name the stage of a run, with its chunks as counted by Step Functions, or else by the ledger."""
    stages = runs.stages(str(entry.execution), now)
    stage = STAGES[stages[-1].name] if stages else "started"
    if not entry.chunks:
        return stage
    counted = runs.chunks(str(entry.execution))
    if counted is None or not counted.total:
        return f"{stage}, {terminal.counted(entry.chunks, 'chunk')}"
    line = Table.grid(padding=(0, 1))
    bar = ProgressBar(counted.total, counted.done, width=BAR_WIDTH)
    line.add_row(stage, bar, f"{counted.done:,} of {counted.total:,}")
    return line
