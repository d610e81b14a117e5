"""Failures that only Step Functions knows: runs whose end caused no event, and the error of a failed chunk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from pipeline.ledger import BatchState, Ledger
from pipeline.model.batch_files import is_batch
from pipeline.observability import Metric, count, logger
from pipeline.stages.finalize import broken_run, error_text, finalize

LOOK_BACK = timedelta(days=15)
"""Period that the check covers; longer than a run may last (variable `batch_timeout_hours`: at most 14 days)."""

GRACE = timedelta(minutes=10)
"""Time after a run's end after which the check regards the event about it as lost."""

MAP_FAILED = "States.ExceedToleratedFailureThreshold"


def is_check(event: Mapping[str, Any]) -> bool:
    """Return whether an event is the scheduled one that starts the check."""
    return event.get("detail-type") == "Scheduled Event"


def close_ended_runs(
    table: Table, bucket: Bucket, workflow: Workflow, now: datetime, writer_grace: timedelta
) -> list[str]:
    """Close the ledger entry of each run that ended without closing it, and return the names of these runs.

    Delivery of the event about a run's end is best effort (EventBridge reference, "AWS Step Functions events"). Without
    this check, an entry could stay open, and its batch blocked, for ever.

    Raises
    ------
    ExceptionGroup
        Some runs could not be closed; all others are.
    """
    closed: list[str] = []
    problems: list[Exception] = []
    for name in workflow.broken_runs(now - LOOK_BACK, now - GRACE):
        try:
            if _close(table, bucket, workflow, name, now, writer_grace):
                closed.append(name)
        except Exception as error:  # noqa: BLE001 (raised below, after the others are closed)
            logger().exception("run not closed by the check", execution=name)
            problems.append(error)
    if problems:
        raise ExceptionGroup(f"{len(problems)} runs could not be closed", problems)
    return closed


def _close(table: Table, bucket: Bucket, workflow: Workflow, name: str, now: datetime, writer_grace: timedelta) -> bool:
    """Close the ledger entry of a run that ended, unless that was done; return whether it was open."""
    batch = name.partition("-")[0]
    entry = table.get_ledger(batch) if is_batch(batch) else None
    if entry is None or not _is_open(entry, name):
        return False
    failure = workflow.failure(name)
    ended = broken_run(batch, name, failure.status, failure.error, failure.cause)
    finalize(table, bucket, ended, now, writer_grace)
    count(Metric.RUNS_CLOSED_LATE)
    logger().error("run closed by the check: the event about its end was lost", execution=name)
    return True


def _is_open(entry: Ledger, name: str) -> bool:
    """Return whether a run is still open in the ledger: it is the holder, or the current run and not closed."""
    current = entry.execution == name and entry.state in (BatchState.QUEUED, BatchState.RUNNING)
    return current or entry.holder == name


def with_chunk_error(event: Mapping[str, Any], workflow: Workflow) -> Mapping[str, Any]:
    """Replace the error of the map, which says only that a child failed, by the error of the failed chunk."""
    if event.get("error", {}).get("Error") != MAP_FAILED:
        return event
    failure = workflow.failure_in_map(event["execution"])
    if failure is None:
        return event
    chunk = json.loads(failure.input).get("chunk", {}).get("key", "unknown")
    cause = f"{error_text(failure.cause or '')} (chunk {chunk})"
    return {**event, "error": {"Error": failure.error or MAP_FAILED, "Cause": cause}}
