"""Large days: request the Spark job for the files of a run, and load its result."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pipeline import ledger
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.errors import LargeDayOutcomeError
from pipeline.joining.gate import Gate
from pipeline.observability import logger
from pipeline.stages.run import Run
from pipeline.stages.store import record_delivery

if TYPE_CHECKING:
    from pipeline.reading.decimal_marks import DecimalMark

REQUEST = "large_day/request.json"
"""Name of the work file that tells the job what to do."""

OUTCOME = "large_day/outcome.json"
"""Name of the work file with the run (`execution`) and what `store` returned (`outcome`); written last."""

PROGRESS = "large_day/progress.json"
"""Name of the work file in which the job says how far it is, for people."""

DPUS = {"G.1X": 1, "G.2X": 2, "G.4X": 4, "G.8X": 8}
"""Data processing units of a worker (AWS Glue API, "JobRun structure", WorkerType)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeDayRequest:
    """What the job needs to know about a run.

    `delivered` has the keys of the lists of whose results may be in the table, `previous_errors` the sort keys
    of the errors that the table holds. With `gate` None the batch is never held.
    """

    run: Run
    delivered: Mapping[str, str]
    previous_errors: frozenset[str]
    gate: Gate | None
    max_error_messages: int
    chunk_records: int
    decimal_mark: DecimalMark

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "run": self.run.as_dict(),
            "previous_errors": sorted(self.previous_errors),
            "gate": self.gate.as_dict() if self.gate else None,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LargeDayRequest:
        """Create the request from the values that `as_dict` returns."""
        read = {
            "run": Run.from_event(values["run"]),
            "previous_errors": frozenset(values["previous_errors"]),
            "gate": Gate.from_dict(values["gate"]) if values["gate"] else None,
        }
        return cls(**{**values, **read})


def submit_job(request: LargeDayRequest, bucket: Bucket, table: Table, reason: str) -> None:
    """Store the request for the job, and record in the ledger that the job processes the files.

    Raises
    ------
    SupersededError
        A newer set of files has taken over.
    """
    run = request.run
    bucket.put_json(run.work_key(REQUEST), request.as_dict())
    table.update_ledger(run.batch, functools.partial(ledger.submit_job, execution=run.execution))
    logger().info("day left to the job for large days", execution=run.execution, reason=reason)


def load_result(run: Run, job_run: Mapping[str, Any], bucket: Bucket, table: Table) -> dict[str, Any]:
    """Load the job's result, and return what `transform` returns for a small day.

    Parameters
    ----------
    job_run
        AWS Glue's description of the job run, as the state machine gets it.

    Raises
    ------
    LargeDayOutcomeError
        There is no result of this run, or its manifest does not name all chunk files.
    SupersededError
        A newer set of files has taken over.
    """
    found = bucket.find_json(run.work_key(OUTCOME))
    if found is None:
        raise LargeDayOutcomeError(f"the job for large days has ended, but {run.work_key(OUTCOME)} is not there")
    if found["execution"] != run.execution:
        raise LargeDayOutcomeError(
            f"{run.work_key(OUTCOME)} is the result of run {found['execution']}, not of {run.execution}"
        )
    reply: dict[str, Any] = found["outcome"]
    listed = len(bucket.find_json(reply["manifest"]) or ())
    if listed != reply["chunks"]:
        raise LargeDayOutcomeError(
            f"the job has written {reply['chunks']} chunk files, but {reply['manifest']} names {listed}"
        )
    record_delivery(run, bucket, table, reply, large_day=job_facts(job_run))
    return reply


def job_facts(job_run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the ledger keeps of a job run: `run` (its id), `seconds` and `dpu_seconds`, both whole numbers.

    Glue reports DPU-seconds only for jobs with auto scaling or flexible execution. For others they are the seconds of
    all workers.
    """
    seconds = int(job_run.get("ExecutionTime", 0))
    dpus = int(job_run.get("NumberOfWorkers", 0)) * DPUS.get(str(job_run.get("WorkerType")), 1)
    return {
        "run": str(job_run.get("Id", "")),
        "seconds": seconds,
        "dpu_seconds": round(job_run.get("DPUSeconds") or seconds * dpus),
    }
