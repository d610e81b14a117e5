"""transform: read, validate and join one set of files into chunk files for delivery."""

from __future__ import annotations

import functools
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pipeline import ledger
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from pipeline.errors import DayTooLargeError, PreviousVersionLostError, ResourceLimitError
from pipeline.joining.gate import FileFacts, Gate, days_before
from pipeline.ledger import Ledger
from pipeline.model.batch_files import DELIVERED_PREFIX, SETTINGS_KEY
from pipeline.model.error_codes import ErrorCode
from pipeline.observability import logger
from pipeline.settings import TransformSettings, VerdictSettings, published
from pipeline.stages.large_day import LargeDayRequest, submit_job
from pipeline.stages.run import Run
from pipeline.stages.scratch import scratch_folder
from pipeline.stages.store import record_delivery, store

if TYPE_CHECKING:
    from pipeline.joining.customer_data_processor import Outcome
    from pipeline.reading.decimal_marks import DecimalMark

MB_PER_CPU = 1_769
"""Memory at which Lambda gives a function one whole CPU (Lambda developer guide, configure function memory)."""

_DUCKDB_SHARE = 0.6
"""DuckDB's share of the memory; the rest is for Python, the SDK and what DuckDB's limit does not cover."""


def transform(
    run: Run, bucket: Bucket, table: Table, workflow: Workflow, settings: TransformSettings, *, too_large: bool = False
) -> dict[str, Any]:
    """Turn the files of a run into chunks of table writes, and return what the state machine does next.

    `next` is DONE (the other fields are those of `store`), WAIT if an older run still holds the batch, or TOO_LARGE if
    the job for large days must process the files; its request is stored then. A run reads the exact object versions
    that completed the set.

    Parameters
    ----------
    too_large
        Whether an earlier call has shown that the function can't process the files: it was killed or timed out.

    Raises
    ------
    SupersededError
        A newer set of files has taken over.
    SourceChangedError
        A file of the set is gone.
    PreviousVersionLostError
        A list of whose results an earlier version delivered is gone.
    DayTooLargeError
        The files do not fit into the function, and large days are switched off.
    """
    now = datetime.now(UTC)
    entry = _begin(run, table, workflow, now, timedelta(seconds=settings.writer_grace_seconds))
    if seconds := ledger.wait_seconds(entry, run.execution, now):
        logger().info("run waits for an older one", execution=run.execution, seconds=seconds)
        return {"next": "WAIT", "wait_seconds": seconds}
    bucket.put_json(SETTINGS_KEY, published(settings))
    delivered = _delivered(run, entry, bucket)
    gate = None if entry.released == run.version else find_gate(run.batch, table, settings)
    try:
        if too_large:
            raise DayTooLargeError(f"batch {run.batch} needs more time or memory than the function has")
        with scratch_folder() as directory:
            outcome = _process(run, bucket, table, delivered, settings, directory, gate)
            reply = store(run, bucket, outcome)
    except (DayTooLargeError, ResourceLimitError) as error:
        if not settings.large_days:
            raise DayTooLargeError(f"{error}; or set large_days, so that a Spark job processes such days") from error
        request = LargeDayRequest(
            run=run,
            delivered=delivered,
            previous_errors=table.error_sort_keys(run.batch),
            gate=gate,
            max_error_messages=settings.max_error_messages,
            chunk_records=settings.chunk_records,
            decimal_mark=cast("DecimalMark", settings.decimal_mark),
        )
        submit_job(request, bucket, table, str(error))
        return {"next": "TOO_LARGE"}
    record_delivery(run, bucket, table, reply)
    return reply


def _begin(run: Run, table: Table, workflow: Workflow, now: datetime, writer_grace: timedelta) -> Ledger:
    """Make the run the holder of the batch if it need not wait, also if the holder ended without closing.

    The holder did so if it was aborted or timed out.
    """
    entry = table.get_ledger(run.batch)
    if entry and entry.holder and entry.holder != run.execution:
        holder = workflow.status(entry.holder)
        if not holder.running:
            until = holder.ended_at + writer_grace if holder.ended_at else None
            revoke = functools.partial(ledger.revoke, execution=entry.holder, blocked_until=until)
            table.update_ledger(run.batch, revoke)
    return table.update_ledger(run.batch, functools.partial(ledger.begin, execution=run.execution, now=now))


def _delivered(run: Run, entry: Ledger, bucket: Bucket) -> dict[str, str]:
    """Return the keys of the lists of whose results may be in the table, by name; at most two of this release."""
    keys = {name: run.delivered_key(name) for name in entry.delivered}
    lost = [name for name, key in keys.items() if bucket.size(key) is None]
    if lost:
        raise PreviousVersionLostError(
            f"batch {run.batch}: the list of references that version {', '.join(lost)} delivered is gone from "
            f"{DELIVERED_PREFIX}, so what a correction must remove is unknown"
        )
    return keys


def find_gate(batch: str, table: Table, settings: VerdictSettings) -> Gate:
    """Return what holds a batch: the limits, and the days that were delivered before it."""
    found = {day: ledger.delivered_files(item) for day, item in table.ledger_items(days_before(batch)).items()}
    history = {
        day: {kind: FileFacts(int(facts["records"]), facts["has_final_line_end"]) for kind, facts in files.items()}
        for day, files in found.items()
    }
    return Gate(settings.max_refused_percent, settings.min_day_percent, settings.max_removed_percent, history)


def _process(
    run: Run,
    bucket: Bucket,
    table: Table,
    delivered: Mapping[str, str],
    settings: TransformSettings,
    directory: Path,
    gate: Gate | None,
) -> Outcome:
    """Download the files and process them; with `gate` None the batch is never held.

    Raises
    ------
    DayTooLargeError
        The files do not fit into the function, or they have at least `large_day_bytes` bytes.
    ResourceLimitError
        Processing the files needs more memory or disk than there is.
    """
    # Importing DuckDB takes long, and only this step needs it.
    from pipeline.joining.customer_data_processor import Options, Previous, SourceFile, process, refuse
    from pipeline.reading.dialect import RefusedFileError

    memory_mb, threads = duckdb_limits(settings.aws_lambda_function_memory_size)
    options = Options(
        memory_mb=memory_mb,
        threads=threads,
        chunk_records=settings.chunk_records,
        max_error_messages=settings.max_error_messages,
        gate=gate,
        rejects_location=run.rejects_prefix,
        decimal_mark=cast("DecimalMark", settings.decimal_mark),
        keep_files=False,
    )
    errors = table.error_sort_keys(run.batch)
    unreadable = {
        kind: RefusedFileError(ErrorCode.UNREADABLE_FILE, reason=source.unreadable)
        for kind, source in run.files.items()
        if source.unreadable
    }
    if unreadable:
        files = {kind: SourceFile(Path(source.key).name, directory) for kind, source in run.files.items()}
        return refuse(run.batch, files, unreadable, directory, options, errors)
    free_bytes = shutil.disk_usage(directory).free
    needed = _needed_bytes(run, free_bytes, settings) + sum(bucket.size(key) or 0 for key in delivered.values())
    paths = bucket.download_all(dict(run.files.items()), directory)
    files = {kind: SourceFile(Path(source.key).name, paths[kind]) for kind, source in run.files.items()}
    lists = [bucket.fetch(key, directory / f"{version}.parquet") for version, key in delivered.items()]
    # If one file took more than half of the free space in /tmp, the others and the join would not fit.
    max_unpacked = (free_bytes - needed) // 2
    options = replace(options, max_unpacked=max_unpacked)
    outcome = process(run.batch, files, directory, options, Previous(errors, lists))
    for file in outcome.summary.files.values():
        if file.file_error == ErrorCode.FILE_TOO_LARGE:
            raise DayTooLargeError(
                f"{file.file} holds more than the {max_unpacked:,} bytes that one file may have in /tmp: "
                "raise transform.storage_mb"
            )
    return outcome


def _needed_bytes(run: Run, free_bytes: int, settings: TransformSettings) -> int:
    """Return how many bytes the files of a run take.

    Raises
    ------
    DayTooLargeError
        These are more than `free_bytes`, the free bytes in /tmp, or at least `large_day_bytes`.
    """
    needed = sum(source.size for source in run.files.values())
    if needed > free_bytes:
        raise DayTooLargeError(
            f"the files of batch {run.batch} take {needed:,} bytes, but /tmp has room for {free_bytes:,}: "
            "raise transform.storage_mb"
        )
    if settings.large_days and 0 < settings.large_day_bytes <= needed:
        raise DayTooLargeError(
            f"the files of batch {run.batch} take {needed:,} bytes, and days from {settings.large_day_bytes:,} bytes "
            "count as large"
        )
    return needed


def duckdb_limits(function_mb: int) -> tuple[int, int]:
    """Return the memory in MB and the threads that DuckDB may use in a function of `function_mb`."""
    return int(function_mb * _DUCKDB_SHARE), math.ceil(function_mb / MB_PER_CPU)
