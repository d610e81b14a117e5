"""The Glue job for one large day: reads the request that `transform` stored, and stores the results in its place.

A job that is run again, also after it died half way, writes the same objects. The manifest comes after all others.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyspark.sql import SparkSession

from pipeline import ledger
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.joining.customer_data_processor import DayProcessor, Options
from pipeline.large.engine import START, STEPS, STORE, SparkEngine
from pipeline.large.failures import failures_of_tasks
from pipeline.large.storage import ObjectSource, ObjectStore, copy
from pipeline.large.tasks import TaskLimits
from pipeline.model.batch_files import CONTROL
from pipeline.observability import logger
from pipeline.reading.csv_file import SourceFile
from pipeline.stages.large_day import OUTCOME, PROGRESS, LargeDayRequest
from pipeline.stages.run import Run
from pipeline.stages.store import store


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job with the arguments that Glue passes to the script.

    Raises
    ------
    SupersededError
        A newer set of files has taken over.
    SourceChangedError
        A file of the set is gone.
    ResourceLimitError
        The workers have too little memory or disk.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bucket", required=True, help="the bucket's name")
    parser.add_argument("--table", required=True, help="the table's name")
    parser.add_argument("--request", required=True, help="the key of the request")
    parser.add_argument("--region", required=True, help="the AWS Region")
    arguments, _ = parser.parse_known_args(argv)  # Glue adds arguments of its own
    os.environ.setdefault("AWS_DEFAULT_REGION", arguments.region)
    bucket, table = Bucket(arguments.bucket), Table(arguments.table)
    request = LargeDayRequest.from_dict(bucket.get_json(arguments.request))
    logger().append_keys(batch=request.run.batch, execution=request.run.execution)
    # Glue has started a session, which this returns.
    builder = SparkSession.builder.appName("pipeline").config("spark.executorEnv.AWS_DEFAULT_REGION", arguments.region)
    try:
        with builder.getOrCreate() as spark:
            process_day(spark, bucket, table, request, TaskLimits())
    except Exception:
        logger().exception("failed")
        raise


def process_day(
    spark: SparkSession, bucket: Bucket, table: Table, request: LargeDayRequest, limits: TaskLimits
) -> None:
    """Process a day and store its results, the manifest and then the outcome last."""
    run, begin = request.run, _progress(bucket, table, request.run)
    begin(START)
    with TemporaryDirectory(prefix="large-day-") as directory, failures_of_tasks(f"batch {run.batch}"):
        folder = Path(directory)
        engine = SparkEngine(
            spark,
            run.batch,
            {kind: ObjectSource(bucket.name, source) for kind, source in run.files.items()},
            ObjectStore(bucket.name, run.work_key("")),
            [ObjectStore(bucket.name, "").source(key) for _, key in sorted(request.delivered.items())],
            # All workers have the driver's disk. If a file took more than half of it, others would not fit.
            replace(limits, max_unpacked=shutil.disk_usage(folder).free // 2),
            request.decimal_mark,
            begin,
        )
        files = {kind: SourceFile(Path(source.key).name, folder / kind) for kind, source in run.files.items()}
        if CONTROL in files:  # the driver reads it; all others are read in tasks
            copy(ObjectSource(bucket.name, run.files[CONTROL]), files[CONTROL].path)
        options = Options(
            memory_mb=0,
            threads=0,
            chunk_records=request.chunk_records,
            max_error_messages=request.max_error_messages,
            gate=request.gate,
            rejects_location=run.rejects_prefix,
        )
        outcome = DayProcessor(engine, run.batch, folder, options, request.previous_errors).process(files)
        begin(STORE)
        reply = store(run, bucket, outcome, engine.stored)
    bucket.put_json(run.work_key(OUTCOME), {"execution": run.execution, "outcome": reply})
    logger().info("day stored", state=outcome.state, chunks=len(outcome.chunks))


def _progress(bucket: Bucket, table: Table, run: Run) -> Callable[[str], None]:
    """Return what is done before each step: look whether the run is still the current one, and say which step it is."""
    step_before = ""

    def begin(step: str) -> None:
        nonlocal step_before
        ledger.ensure_current(table.get_ledger(run.batch), run.execution)
        if step != step_before:
            step_before = step
            place: dict[str, Any] = {"step": step, "number": STEPS.index(step) + 1, "of": len(STEPS)}
            logger().info("step", **place)
            since = datetime.now(UTC).isoformat(timespec="seconds")
            bucket.put_json(run.work_key(PROGRESS), {"execution": run.execution, **place, "since": since})

    return begin


if __name__ == "__main__":
    main()
