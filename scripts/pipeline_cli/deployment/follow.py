"""Follow a batch from the arrival of its files until its run is over, by polling its ledger entry."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.ledger import CLOSED, BatchState, Ledger
from pipeline.model.data_model import MODEL
from pipeline.model.file_set import set_version

from pipeline_cli.deployment.batches import headline, waiting_text
from pipeline_cli.deployment.runs import Chunks, Runs
from pipeline_cli.deployment.runs import of as runs_of
from pipeline_cli.output import hints, terminal
from pipeline_cli.output.errors import CommandError

if TYPE_CHECKING:
    from pipeline_cli.terraform.target import Target

PICK_UP_SECONDS = 60.0
"""A complete set without a ledger entry after this time means that something is wrong; the display then says so."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a batch: its missing files and its ledger entry.

    `current` is true if the ledger entry is about the set that is in the bucket now. `delivered` counts the chunks of a
    run that is writing its results, if Step Functions returns them.
    """

    batch: str
    missing: Sequence[str]
    ledger: Ledger | None
    current: bool
    delivered: Chunks | None = None

    @property
    def over(self) -> bool:
        """Whether waiting is useless: a file is missing, or the run of the present set has ended."""
        return bool(self.missing) or self.state in CLOSED

    @property
    def state(self) -> BatchState:
        """State of the set that is in the bucket now; WAITING if the ledger entry is about an older set."""
        if self.ledger is None or not self.current:
            return BatchState.WAITING
        return self.ledger.state

    def describe(self) -> str:
        """Describe the progress in a few words."""
        if self.missing:
            return f"{self.batch}: waits for {' and '.join(self.missing)}"
        if self.state is BatchState.WAITING:
            return f"{self.batch}: files are there, about to be noticed"
        if self.state is BatchState.QUEUED:
            return f"{self.batch}: {waiting_text(self.ledger) or 'queued'}"
        if self.state is BatchState.RUNNING and self.ledger is not None:
            if not self.ledger.chunks:
                return f"{self.batch}: reading, validating, joining"
            done = f"{self.delivered.done:,} of " if self.delivered else ""
            return f"{self.batch}: delivering {done}{terminal.counted(self.ledger.chunks, 'chunk')}"
        return f"{self.batch}: {self.state}"


def look(bucket: Bucket, table: Table, batch: str, runs: Runs | None = None) -> Progress:
    """Read the progress of a batch; with `runs`, also how many of its chunks are delivered."""
    files = bucket.find_set(batch)
    missing = [kind for kind in MODEL.kinds if kind not in files]
    ledger = table.get_ledger(batch)
    current = ledger is not None and not missing and ledger.version == set_version(files)
    delivered = None
    if runs and ledger and current and ledger.state is BatchState.RUNNING and ledger.chunks:
        delivered = runs.chunks(str(ledger.execution))
    return Progress(batch, missing, ledger, current, delivered)


def wait(
    bucket: Bucket,
    table: Table,
    batch: str,
    report: Callable[[str], None],
    *,
    runs: Runs | None = None,
    timeout: float = 3600.0,
    env: str = "local",
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Progress:
    """Wait until a batch is over; at each poll `report` gets a sentence about its progress.

    Raises
    ------
    CommandError
        It takes longer than `timeout` seconds. This does not stop the batch.
    """
    start = clock()
    while True:
        progress, waited = look(bucket, table, batch, runs), clock() - start
        unnoticed = progress.state is BatchState.WAITING and not progress.missing and waited > PICK_UP_SECONDS
        report(
            progress.describe()
            + (f" (this takes unusually long: see {hints.command('logs', env=env)})" if unnoticed else "")
        )
        if progress.over:
            return progress
        if waited > timeout:
            raise CommandError(
                f"After {terminal.duration(waited)}: {progress.describe()}.",
                f"It continues; look again with: {hints.command('status', batch, env=env)}",
            )
        # Poll often at first, so that the end of a small batch shows at once; a large one takes minutes anyway.
        sleep(min(2.0, 0.25 + waited / 30))


def follow(target: Target, batches: Sequence[str], timeout: float = 3600.0) -> list[Progress]:
    """Wait for batches one after the other and show their progress."""
    runs = runs_of(target)
    results: list[Progress] = []
    with terminal.spinner() as display:
        for batch in batches:
            task = display.add_task(f"{batch}: …", total=1)
            results.append(
                wait(
                    target.bucket,
                    target.table,
                    batch,
                    lambda text, task=task: display.update(task, description=text),  # type: ignore[misc]
                    runs=runs,
                    timeout=timeout,
                    env=target.name,
                )
            )
            display.update(task, completed=1)
    return results


def follow_run(target: Target, batch: str, *, show: bool) -> BatchState:
    """Follow the run of one batch until it is over and return its state; with `show`, print how it ended."""
    (result,) = follow(target, [batch])
    if show and result.ledger:
        terminal.out().print(headline(result.ledger), soft_wrap=True)
    return result.state
