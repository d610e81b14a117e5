"""Read the data of the pages from the ledger, the table, the bucket and Step Functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.ledger import BatchState

from pipeline_cli.deployment import batch_errors, batches, runs
from pipeline_cli.deployment.batch_errors import Group
from pipeline_cli.deployment.batches import BatchStatus
from pipeline_cli.deployment.runs import Stage
from pipeline_cli.report import distribution
from pipeline_cli.report.distribution import Distribution

if TYPE_CHECKING:
    from pipeline_cli.terraform.target import Target

EXAMPLES = 3
"""How many errors of each code the page of a day quotes."""


@dataclass(frozen=True, slots=True)
class DayReport:
    """The data of a day's page; it contains no names of customers.

    `rejects` are the S3 URIs of the files with all refused records. `results` is None if nothing was delivered or the
    chunk files have expired.
    """

    target: str
    made_at: datetime
    status: BatchStatus
    errors: Sequence[Group] = ()
    rejects: Sequence[str] = ()
    results: Distribution | None = None
    stages: Sequence[Stage] = ()

    @property
    def known(self) -> bool:
        """Whether anything is known about the day: a file, a ledger entry or an error."""
        return bool(self.status.ledger or self.status.files or self.errors)


@dataclass(frozen=True, slots=True)
class Overview:
    """The data of the page of all days; `days` are newest first, `pages` has the links to the days with a page."""

    target: str
    made_at: datetime
    days: Sequence[BatchStatus]
    foreign_files: int = 0
    pages: Mapping[str, str] = field(default_factory=dict)


def gather_day(target: Target, batch: str) -> DayReport:
    """Read everything that is known about a batch."""
    now = datetime.now(UTC)
    bucket, table = target.bucket, target.table
    (found,) = batches.read(bucket, table, [batch])
    entry = found.ledger
    faults = batch_errors.find(target.client("dynamodb"), table.name, batch)
    results = None
    if entry and entry.version and entry.state is BatchState.COMPLETED:
        results = distribution.read(bucket, batch, entry.version)
    return DayReport(
        target=target.name,
        made_at=now,
        status=found,
        errors=batch_errors.group(faults, EXAMPLES, entry.summary if entry else None),
        rejects=[f"s3://{bucket.name}/{key}" for key in batch_errors.rejects(bucket, entry)],
        results=results,
        stages=runs.of(target).stages(entry.execution, now) if entry and entry.execution else [],
    )


def gather_overview(target: Target) -> Overview:
    """Read the status of all batches that have objects in the bucket."""
    found, foreign = batches.find_batches(target.client("s3"), target.bucket.name)
    days = batches.read(target.bucket, target.table, found)
    return Overview(target.name, datetime.now(UTC), days, len(foreign))
