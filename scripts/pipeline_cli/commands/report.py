"""`pipeline report`: one page about a batch that a person can mail on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.ledger import BatchState
from pipeline.model.data_model import is_batch

from pipeline_cli.commands import errors as errors_report
from pipeline_cli.commands.errors import Group
from pipeline_cli.deploy import target as targets
from pipeline_cli.deploy.target import Target
from pipeline_cli.operations import batches, runs
from pipeline_cli.operations.batches import BatchStatus
from pipeline_cli.operations.runs import Stage
from pipeline_cli.output import terminal
from pipeline_cli.output.errors import CommandError, UsageError
from pipeline_cli.report import distribution
from pipeline_cli.report import page as report_page
from pipeline_cli.report.distribution import Distribution

EXAMPLES = 3
STANDARD_OUTPUT = Path("-")


@dataclass(frozen=True, slots=True)
class Report:
    """What the page tells: nothing in it names a person."""

    target: str
    made_at: datetime
    status: BatchStatus
    errors: Sequence[Group]
    rejects: Sequence[str]
    results: Distribution | None
    stages: Sequence[Stage]


def gather(target: Target, batch: str) -> Report:
    """Read everything that is known about a batch from the ledger, the table, the bucket and Step Functions.

    Raises
    ------
    CommandError
        There is no such batch.
    """
    now = datetime.now(UTC)
    dynamodb = target.client("dynamodb")
    bucket = Bucket(target.output("bucket_name"), target.client("s3"))
    table = Table(target.output("table_name"), dynamodb)
    (found,) = batches.read(bucket, table, [batch])
    entry = found.ledger
    faults = errors_report.find(dynamodb, table.name, batch)
    if entry is None and not found.files and not faults:
        raise CommandError(f"There is no batch {batch}: none of its files has arrived.")
    results = None
    if entry and entry.version and entry.state is BatchState.COMPLETED:
        results = distribution.read(bucket, batch, entry.version)
    return Report(
        target=target.name,
        made_at=now,
        status=found,
        errors=errors_report.group(faults, EXAMPLES, entry.summary if entry else None),
        rejects=[f"s3://{bucket.name}/{key}" for key in errors_report.rejects(bucket, entry)],
        results=results,
        stages=runs.of(target).stages(entry.execution, now) if entry and entry.execution else [],
    )


def command(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="The day, YYYYMMDD.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the page there; - is stdout. \\[default: report_BATCH.html]"),
    ] = None,
    env: terminal.EnvOption = "",
) -> None:
    """Write one HTML page about a batch, to be read in a browser, printed or mailed on.

    What arrived, what was refused and why, the totals and how they reconcile, how orders and amounts spread over the
    customers, how long each stage took, and every version of the day. The page needs no network and names nobody.

    Example: pipeline report 20220131 --out report.html

    Exit codes: 0 written, 1 no such batch, 2 BATCH is no day or FILE can't be written.
    """
    if not is_batch(batch):
        raise UsageError(f"BATCH is {batch!r}, but a day is written YYYYMMDD.")
    target = targets.load(env)
    terminal.announce(target)
    page = report_page.render(gather(target, batch))
    if out == STANDARD_OUTPUT:
        typer.echo(page, nl=False)
        return
    file = out or Path(f"report_{batch}.html")
    file.write_text(page, encoding="utf-8")
    terminal.out().print(f"Written: {file}", soft_wrap=True, markup=False)
