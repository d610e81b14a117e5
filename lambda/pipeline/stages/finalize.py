"""finalize: close the ledger entry of a run, however the run ended, and write the partner's verdict."""

from __future__ import annotations

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
    ended = ended_run(event)
    run = _RunEnd(ended or event, now, writer_grace)
    if ended and _is_closed(table.get_ledger(run.batch), run):
        logger().info("run is closed already", execution=run.execution)
        publish_verdict(bucket, table, run.batch)  # the call that closed it may have failed before this
        return "CLOSED"
    entry = table.update_ledger(run.batch, run.finish)
    state = entry.state if entry.execution == run.execution else BatchState.SUPERSEDED
    if run.cause and state is BatchState.FAILED:
        table.put(_error_item(run.batch, run.execution, run.cause))
    publish_verdict(bucket, table, run.batch)
    _report(entry, state, run)
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


def _is_closed(entry: Ledger | None, run: _RunEnd) -> bool:
    """Return whether the run was closed before, other than by an earlier delivery of this same event."""
    if entry is None:
        return True  # purged: there is nothing left to close
    return entry.cause != run.cause and any(ended["execution"] == run.execution for ended in entry.history)


class _RunEnd:
    """The end of a run, from the state machine's input: an outcome, or an error if it failed."""

    def __init__(self, event: Mapping[str, Any], now: datetime, writer_grace: timedelta) -> None:
        self.batch: str = event["batch"]
        self.execution: str = event["execution"]
        self.cause = _cause(event["error"]) if "error" in event else None
        self.summary: Mapping[str, Any] = event.get("outcome", {}).get("summary", {})
        outcome = event.get("outcome", {}).get("state")
        self._state = BatchState.FAILED if self.cause else _STATES.get(outcome, BatchState.FAILED)
        self._now = now
        # Only a failed run can leave a writer behind; any other run ends after its last chunk.
        self._writer_grace = writer_grace if self.cause else timedelta(0)

    def finish(self, entry: Ledger) -> Ledger:
        """Apply the end of the run to the entry; COMPLETED and HELD are kept even if a later step failed."""
        if entry.execution == self.execution and entry.state in _STATES.values():
            return entry
        cause = self.cause or _fault_of_files(self.summary)
        return ledger.finish(
            entry,
            self.execution,
            self._state,
            self._now,
            summary=self.summary,
            cause=cause,
            writer_grace=self._writer_grace,
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


_STATE_METRICS = {
    BatchState.COMPLETED: Metric.BATCHES_COMPLETED,
    BatchState.HELD: Metric.BATCHES_HELD,
    BatchState.FAILED: Metric.BATCHES_FAILED,
    BatchState.SUPERSEDED: Metric.BATCHES_SUPERSEDED,
}


def _report(entry: Ledger, state: BatchState, run: _RunEnd) -> None:
    count(_STATE_METRICS[state])
    if state is not BatchState.SUPERSEDED and entry.started_at and entry.finished_at:
        duration = datetime.fromisoformat(entry.finished_at) - datetime.fromisoformat(entry.started_at)
        count(Metric.BATCH_DURATION, duration.total_seconds(), MetricUnit.Seconds)
    logger().info("run closed", execution=run.execution, state=state.value, cause=run.cause)
