"""The Glue job for one large day: reads the request that `transform` stored, and stores the results in its place.

A job that is run again, also after it died half way, writes the same objects. The manifest comes after all others.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipeline import ledger
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.joining.customer_data_processor import Options, Outcome, process_with
from pipeline.large.engine import MB, SparkEngine
from pipeline.large.failures import failures_of_tasks
from pipeline.large.places import ObjectSource, ObjectStore
from pipeline.large.plan import Room, buckets_of
from pipeline.large.steps import START, STEPS, STORE, SteppedEngine
from pipeline.observability import logger
from pipeline.reading.csv_file import SourceFile
from pipeline.stages.large_day import OUTCOME, PROGRESS, LargeDayOutcome, LargeDayRequest
from pipeline.stages.run import Run
from pipeline.stages.store import store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, slots=True)
class Sizes:
    """How a day is divided among tasks."""

    split_bytes: int = 64 * MB
    """Bytes of a file that one task reads."""
    task_memory_mb: int = 512
    """DuckDB's memory limit in a task."""


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
    arguments = _arguments(argv)
    if arguments.region:
        os.environ.setdefault("AWS_DEFAULT_REGION", arguments.region)
    bucket, table = Bucket(arguments.bucket), Table(arguments.table)
    request = LargeDayRequest.from_dict(bucket.get_json(arguments.request))
    logger().append_keys(batch=request.run.batch, execution=request.run.execution)
    try:
        with _session(arguments.region) as spark:
            process_day(spark, bucket, table, request, Sizes(arguments.split_bytes, arguments.task_memory_mb))
    except Exception:
        logger().exception("failed")
        raise


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bucket", required=True, help="the bucket's name")
    parser.add_argument("--table", required=True, help="the table's name")
    parser.add_argument("--request", required=True, help="the key of the request")
    parser.add_argument("--region", default="", help="the AWS Region, if the environment does not name it")
    parser.add_argument("--split_bytes", type=int, default=Sizes().split_bytes, help="bytes of a file per task")
    parser.add_argument("--task_memory_mb", type=int, default=Sizes().task_memory_mb, help="DuckDB's memory per task")
    known, _ = parser.parse_known_args(argv)  # Glue adds arguments of its own
    return known


def _session(region: str) -> SparkSession:
    """Start Spark, or return the session that Glue has started."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("pipeline")
    if region:
        builder = builder.config("spark.executorEnv.AWS_DEFAULT_REGION", region)
    return builder.getOrCreate()


def process_day(spark: SparkSession, bucket: Bucket, table: Table, request: LargeDayRequest, sizes: Sizes) -> None:
    """Process a day and store its results, the manifest and then the outcome last."""
    started = time.monotonic()
    run, begin = request.run, _Progress(bucket, table, request.run)
    begin(START)
    with TemporaryDirectory(prefix="large-day-") as directory, failures_of_tasks(f"batch {run.batch}"):
        engine = _engine(spark, bucket.name, request, sizes, Path(directory))
        try:
            outcome = _process(SteppedEngine(engine, begin), request, Path(directory), sizes)
        finally:
            engine.close()
        begin(STORE)
        reply = store(run, bucket, outcome, engine.stored)
    done = LargeDayOutcome(
        execution=run.execution,
        outcome=reply,
        seconds=round(time.monotonic() - started, 1),
    )
    bucket.put_json(run.work_key(OUTCOME), done.as_dict())
    logger().info("day stored", state=outcome.state, chunks=len(outcome.chunks), seconds=done.seconds)


def _engine(
    spark: SparkSession, bucket_name: str, request: LargeDayRequest, sizes: Sizes, directory: Path
) -> SparkEngine:
    run = request.run
    size = sum(source.size for source in run.files.values())
    lists = [_object(bucket_name, key) for _, key in sorted(request.delivered.items())]
    return SparkEngine(
        spark,
        run.batch,
        {kind: ObjectSource(bucket_name, source) for kind, source in run.files.items()},
        run_store(bucket_name, run),
        directory,
        lists,
        # All workers have the driver's disk. If a file took more than half of it, the task's other files would not fit.
        max_unpacked=shutil.disk_usage(directory).free // 2,
        split_bytes=sizes.split_bytes,
        buckets=buckets_of(size, spark.sparkContext.defaultParallelism),
        room=Room(sizes.task_memory_mb),
    )


def _object(bucket_name: str, key: str) -> ObjectSource:
    return ObjectStore(bucket_name, {"": ""}).source(key)


def run_store(bucket_name: str, run: Run) -> ObjectStore:
    """Return the store of a run: results where `stages.store` has them, files for other tasks among the work files."""
    return ObjectStore(
        bucket_name,
        {
            "chunks/": run.work_key("chunks/"),
            "rejects/": run.rejects_prefix(),
            "customers.parquet": run.delivered_key(run.version),
            "": run.work_key("large_day/"),
        },
    )


def _process(engine: SteppedEngine, request: LargeDayRequest, directory: Path, sizes: Sizes) -> Outcome:
    run = request.run
    files = {kind: SourceFile(Path(source.key).name, directory / source.key) for kind, source in run.files.items()}
    options = Options(
        memory_mb=sizes.task_memory_mb,
        threads=1,
        chunk_records=request.chunk_records,
        max_error_messages=request.max_error_messages,
        gate=request.gate,
        rejects_location=run.rejects_prefix,
    )
    return process_with(engine, run.batch, files, directory, options, request.previous_errors)


@dataclass
class _Progress:
    """What is done before each step: look whether the run is still the current one, log the step, and store it."""

    bucket: Bucket
    table: Table
    run: Run
    _step: str = field(default="", init=False)

    def __call__(self, step: str) -> None:
        """Begin a step.

        Raises
        ------
        SupersededError
            A newer set of files has taken over.
        """
        ledger.ensure_current(self.table.get_ledger(self.run.batch), self.run.execution)
        if step == self._step:
            return
        self._step = step
        number = STEPS.index(step) + 1
        logger().info("step", step=step, number=number, of=len(STEPS))
        self.bucket.put_json(
            self.run.work_key(PROGRESS),
            {
                "execution": self.run.execution,
                "step": step,
                "number": number,
                "of": len(STEPS),
                "since": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        )


if __name__ == "__main__":
    main()
