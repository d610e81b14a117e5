"""finalize: close the ledger entry of a run, however the run ended, and write the partner's verdict."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from pipeline import ledger
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.errors import EventError
from pipeline.joining.gate import held_by
from pipeline.ledger import BatchState, Ledger
from pipeline.model.error_codes import ErrorCode
from pipeline.model.items import notice_item
from pipeline.observability import Metric, count, logger
from pipeline.stages.feedback import publish_verdict

_STATES = {"READY": BatchState.COMPLETED, "HELD": BatchState.HELD}
"""The final state of a run without error, by the outcome of transform; any other outcome means FAILED."""

_METRICS = {
    BatchState.COMPLETED: Metric.BATCHES_COMPLETED,
    BatchState.HELD: Metric.BATCHES_HELD,
    BatchState.FAILED: Metric.BATCHES_FAILED,
    BatchState.SUPERSEDED: Metric.BATCHES_SUPERSEDED,
}
_CAUSE_LENGTH = 500
_CAUSES = {"TIMED_OUT": "it took longer than a run may", "ABORTED": "it was stopped"}


def finalize(table: Table, bucket: Bucket, event: Mapping[str, Any], now: datetime, writer_grace: timedelta) -> str:
    """Set the state of the run to COMPLETED, HELD or FAILED, with the counts or the cause, and release the batch.

    For a failed run it also stores an error item, which becomes an error message. The verdict is written last. Returns
    the state of the run: SUPERSEDED if a newer set of files has taken over, CLOSED if the run was closed before.

    Parameters
    ----------
    event
        The state machine's input about the end of a run, or EventBridge's event about it: if a run times out or is
        aborted, the state machine's Catch rules do not apply.
    writer_grace
        How long a writer of a failed run may still be running.

    Raises
    ------
    EventError
        The event about a run's end lacks its name, status or input.
    """
    notice = ended_run(event)
    end = notice or event
    batch, execution = end["batch"], end["execution"]
    cause = _cause(end["error"]) if "error" in end else None
    if notice and _is_closed(table.get_ledger(batch), execution, cause):
        logger().info("run is closed already", execution=execution)
        publish_verdict(bucket, table, batch)  # the call that closed it may have failed before this
        return "CLOSED"
    close = functools.partial(_close, end=end, cause=cause, now=now, writer_grace=writer_grace)
    entry = table.update_ledger(batch, close)
    state = entry.state if entry.execution == execution else BatchState.SUPERSEDED
    if cause and state is BatchState.FAILED:
        table.put(_error_item(batch, execution, cause))
    publish_verdict(bucket, table, batch)
    count(_METRICS[state])
    if state is not BatchState.SUPERSEDED and entry.started_at and entry.finished_at:
        duration = datetime.fromisoformat(entry.finished_at) - datetime.fromisoformat(entry.started_at)
        count(Metric.BATCH_DURATION, duration.total_seconds(), MetricUnit.Seconds)
    logger().info("run closed", execution=execution, state=state.value, cause=cause)
    return state.value


def ended_run(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """Convert EventBridge's event about a run's end into the input that the state machine sends for a failed run.

    None for any other event.
    """
    if event.get("detail-type") != "Step Functions Execution Status Change":
        return None
    try:
        detail = event["detail"]
        batch = json.loads(detail["input"])["batch"]
        return broken_run(batch, detail["name"], detail["status"], detail.get("error"), detail.get("cause"))
    except (KeyError, TypeError, ValueError) as fault:
        raise EventError(f"a notice of a run's end without its name, status or input: {fault}") from fault


def broken_run(batch: str, execution: str, status: str, error: str | None, cause: str | None) -> dict[str, Any]:
    """Return the input that the state machine sends for a failed run, for a run that Step Functions ended."""
    reason = {"Error": error or f"States.{status}", "Cause": cause or _CAUSES.get(status, "")}
    return {"batch": batch, "execution": execution, "error": reason}


def _is_closed(entry: Ledger | None, execution: str, cause: str | None) -> bool:
    """Return whether the run was closed before, other than by an earlier delivery of this same event."""
    if entry is None:
        return True  # purged: there is nothing left to close
    return entry.cause != cause and any(ended["execution"] == execution for ended in entry.history)


def _close(entry: Ledger, end: Mapping[str, Any], cause: str | None, now: datetime, writer_grace: timedelta) -> Ledger:
    """Apply the end of a run to the entry; COMPLETED and HELD are kept even if a later step failed."""
    execution, outcome = end["execution"], end.get("outcome", {})
    if entry.execution == execution and entry.state in _STATES.values():
        return entry
    summary = outcome.get("summary", {})
    return ledger.finish(
        entry,
        execution,
        BatchState.FAILED if cause else _STATES.get(outcome.get("state"), BatchState.FAILED),
        now,
        summary=summary,
        cause=cause or _fault_of_files(summary),
        # Only a failed run can leave a writer behind; any other run ends after its last chunk.
        writer_grace=writer_grace if cause else timedelta(0),
    )


def _fault_of_files(summary: Mapping[str, Any]) -> str | None:
    """Return the files because of which the batch is refused or held, each with its error code; None if none."""
    codes = {
        file["file"]: [file["file_error"]] if file.get("file_error") else held_by(file)
        for file in summary.get("files", {}).values()
    }
    return "; ".join(f"{file}: {', '.join(found)}" for file, found in codes.items() if found) or None


def _cause(error: Mapping[str, Any]) -> str:
    """Format an error of Step Functions as a sentence."""
    return f"{error.get('Error', 'Unknown')}: {error_text(str(error.get('Cause', '')))[:_CAUSE_LENGTH]}"


def error_text(cause: str) -> str:
    """Return the message in an error's Cause, which is JSON if a Lambda function or a Glue job failed."""
    try:
        raised = json.loads(cause)
    except ValueError:
        return cause
    if not isinstance(raised, dict):
        return cause
    return str(raised.get("errorMessage") or raised.get("ErrorMessage") or cause)


def _error_item(batch: str, execution: str, cause: str) -> dict[str, Any]:
    return notice_item(
        batch,
        "batch",
        ErrorCode.RUN_FAILED,
        f"batch {batch} was not processed: run {execution} failed ({cause}). The operator has been alarmed; "
        "the files need not be sent again unless they ask for it",
    )
