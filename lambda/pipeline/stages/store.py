"""Store what a run will deliver; the function and the job for large days write the same objects."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import ledger
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.errors import OutputTooLargeError
from pipeline.ledger import Ledger
from pipeline.observability import Metric, count, logger
from pipeline.stages.run import Run

if TYPE_CHECKING:
    from pipeline.joining.customer_data_processor import Outcome

MAX_REPLY_BYTES = 200_000
"""Of the 256 KiB that a state's output may have (Step Functions quotas); the run's files are in it too."""

MANIFEST = "manifest.json"
"""Name of the work file with the keys of the chunk files."""

_EXAMPLES = "examples.json"
"""Name of the work file with the first errors of each code, for the verdict."""


def store(run: Run, bucket: Bucket, outcome: Outcome, stored: Collection[Path] = ()) -> dict[str, Any]:
    """Upload the files for delivery, the manifest last, so that it never names a file that is not there.

    Returns what the state machine gets from transform: `next` (DONE), `state`, `manifest` (its key), `chunks` (their
    number), `delivered` (the names of the lists of whose results will be in the table until all is removed that the run
    removes; none without results) and `summary`.

    Parameters
    ----------
    stored
        The paths of files that are in the bucket already.
    """
    chunks = [(chunk.path, run.work_key(f"chunks/{chunk.path.name}"), chunk.records) for chunk in outcome.chunks]
    rejects = [(path, f"{run.rejects_prefix()}{path.name}") for path in outcome.rejects.values()]
    # Without results (held or refused), the list that this version may have stored in an earlier run stays.
    lists = {run.version: outcome.references, run.removed_name: outcome.removed}
    delivered = {name: path for name, path in lists.items() if path}
    files = [
        *((path, key) for path, key, _ in chunks),
        *rejects,
        *((path, run.delivered_key(name)) for name, path in delivered.items()),
    ]
    bucket.upload_all((path, key) for path, key in files if path not in stored)
    examples, manifest = run.work_key(_EXAMPLES), run.work_key(MANIFEST)
    bucket.put_json(examples, outcome.examples)
    bucket.put_json(manifest, [{"key": key, "records": records} for _, key, records in chunks])
    summary = {**outcome.summary.as_dict(), "examples": examples}
    return {
        "next": "DONE",
        "state": outcome.state,
        "manifest": manifest,
        "chunks": len(chunks),
        "delivered": list(delivered),
        "summary": summary,
    }


def record_delivery(
    run: Run, bucket: Bucket, table: Table, reply: Mapping[str, Any], large_day: Mapping[str, Any] | None = None
) -> None:
    """Record in the ledger that the chunk files of a run are about to be delivered; `reply` is what `store` returned.

    Lists of earlier versions are deleted then, as those of the run contain them. What earlier runs removed is kept, for
    consumers that want everything once more.

    Raises
    ------
    SupersededError
        A newer set of files has taken over.
    """
    before: Sequence[str] = ()

    def change(entry: Ledger) -> Ledger:
        nonlocal before
        before = entry.delivered
        return ledger.deliver(entry, run.execution, reply["chunks"], reply["delivered"], large_day)

    after = table.update_ledger(run.batch, change).delivered
    bucket.delete(run.delivered_key(name) for name in before if name not in after and not ledger.is_removed_list(name))


def bounded(reply: dict[str, Any]) -> dict[str, Any]:
    """Return a reply for the state machine if it is small enough.

    Raises
    ------
    OutputTooLargeError
        It is not. An output that Step Functions finds too large would end the run past all Catch rules.
    """
    size = len(json.dumps(reply))
    if size > MAX_REPLY_BYTES:
        raise OutputTooLargeError(f"the reply has {size:,} bytes, and a state may hold {MAX_REPLY_BYTES:,} of it")
    return reply


def superseded(run: Run) -> dict[str, Any]:
    """Return what the state machine gets from transform if a newer set has taken over: nothing to deliver."""
    logger().info("run superseded", execution=run.execution)
    return {"next": "DONE", "state": "SUPERSEDED", "chunks": 0, "summary": {}}


def report_counts(run: Run, reply: Mapping[str, Any]) -> None:
    """Emit metrics and a log line about what a run will deliver; `reply` is what `store` returned."""
    files = reply["summary"]["files"].values()
    count(Metric.RECORDS_READ, sum(file["read"] for file in files))
    count(Metric.RECORDS_REFUSED, sum(file["refused"] for file in files))
    logger().info("set transformed", execution=run.execution, state=reply["state"], chunks=reply["chunks"])
