"""finalize: close the ledger entry of a run, whichever way the run ended, and give the partner the verdict."""

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
from pipeline.ledger import BatchState, Ledger
from pipeline.model.error_codes import ErrorCode
from pipeline.model.items import notice_item
from pipeline.observability import Metric, count, logger
from pipeline.stages.feedback import publish_verdict

_STATES = {"READY": BatchState.COMPLETED, "HELD": BatchState.HELD}
"""How a run ends that did not break, by what transform made of its files; any other outcome is a refusal."""

_CAUSE_LENGTH = 500
_CAUSES = {"TIMED_OUT": "it took longer than a run may", "ABORTED": "it was stopped"}


def finalize(table: Table, bucket: Bucket, event: Mapping[str, Any], now: datetime, quiet: timedelta) -> str:
    """Write COMPLETED, HELD or FAILED with the counts or the cause, and let the next run of the batch begin.

    A run that broke also leaves an error item, which becomes an error message. The verdict is written last. Returns the
    state of the run: SUPERSEDED where a newer set of files took over meanwhile, CLOSED where it was closed already.

    Parameters
    ----------
    event
        What the state machine passes on about the end of a run, or EventBridge's notice of it: a run that timed out
        or was stopped passes none of the state machine's catches.
    quiet
        How long a writer of a run that broke may still be at work.
    """
    ended = ended_run(event)
    run = _Run(ended or event, now, quiet)
    if ended and _is_closed(table.get_ledger(run.batch), run):
        logger().info("run is closed already", execution=run.execution)
        publish_verdict(bucket, table, run.batch)  # whoever closed it may have broken off before this
        return "CLOSED"
    entry = table.update_ledger(run.batch, run.finish)
    state = entry.state if entry.execution == run.execution else BatchState.SUPERSEDED
    if run.cause and state is BatchState.FAILED:
        table.put(_error_item(run.batch, run.execution, run.cause))
    publish_verdict(bucket, table, run.batch)
    _report(entry, state, run)
    return state.value


def ended_run(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """Put EventBridge's notice of a run's end into the form in which the state machine tells of a run that broke.

    None where the event is no such notice.
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
    """Put what Step Functions knows of a run that it ended into the form in which the state machine tells of one."""
    reason = {"Error": error or f"States.{status}", "Cause": cause or _CAUSES.get(status, "")}
    return {"batch": batch, "execution": execution, "error": reason}


def _is_closed(entry: Ledger | None, run: _Run) -> bool:
    """Tell whether the ledger has a run's end already, and not from this very notice, which may come twice."""
    if entry is None:
        return True  # purged: there is nothing left to close
    return entry.cause != run.cause and any(ended["execution"] == run.execution for ended in entry.history)


class _Run:
    """How a run ended, from what the state machine passes on: an outcome, or an error where it broke."""

    def __init__(self, event: Mapping[str, Any], now: datetime, quiet: timedelta) -> None:
        self.batch: str = event["batch"]
        self.execution: str = event["execution"]
        self.cause = _cause(event["error"]) if "error" in event else None
        self.summary: Mapping[str, Any] = event.get("outcome", {}).get("summary", {})
        outcome = event.get("outcome", {}).get("state")
        self._state = BatchState.FAILED if self.cause else _STATES.get(outcome, BatchState.FAILED)
        self._now = now
        # Only a run that broke can leave a writer behind: an orderly one ends after its last chunk.
        self._quiet = quiet if self.cause else timedelta(0)

    def finish(self, entry: Ledger) -> Ledger:
        """Apply the end of the run to the entry; what was completed or held stays so, whatever broke afterwards."""
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
            quiet=self._quiet,
        )


def _fault_of_files(summary: Mapping[str, Any]) -> str | None:
    """Name the files for which the batch is refused or held, where there are any, each with its error code."""
    codes = {
        file["file"]: file.get("file_error") or (ErrorCode.TOO_MANY_REFUSED if file.get("too_many_refused") else None)
        for file in summary.get("files", {}).values()
    }
    return "; ".join(f"{file}: {code}" for file, code in codes.items() if code) or None


def _cause(error: Mapping[str, Any]) -> str:
    """Turn Step Functions' error into a sentence."""
    return f"{error.get('Error', 'Unknown')}: {error_text(str(error.get('Cause', '')))[:_CAUSE_LENGTH]}"


def error_text(cause: str) -> str:
    """Return what an error's Cause says; it is JSON where a Lambda function raised the error."""
    try:
        raised = json.loads(cause)
    except ValueError:
        return cause
    return str(raised.get("errorMessage", cause)) if isinstance(raised, dict) else cause


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


def _report(entry: Ledger, state: BatchState, run: _Run) -> None:
    count(_STATE_METRICS[state])
    if state is not BatchState.SUPERSEDED and entry.started_at and entry.finished_at:
        duration = datetime.fromisoformat(entry.finished_at) - datetime.fromisoformat(entry.started_at)
        count(Metric.BATCH_DURATION, duration.total_seconds(), MetricUnit.Seconds)
    logger().info("run closed", execution=run.execution, state=state.value, cause=run.cause)
