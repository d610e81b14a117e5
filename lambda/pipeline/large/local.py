"""Spark on the local machine, for `pipeline check --engine spark` and the tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.joining.customer_data_processor import DayProcessor, Options, Outcome, Previous
from pipeline.large.engine import SparkEngine
from pipeline.large.failures import failures_of_tasks
from pipeline.large.storage import LocalSource, LocalStore
from pipeline.large.tasks import SPLIT_BYTES, TaskLimits
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import SourceFile


def local_session(cores: int, workdir: Path, memory_mb: int = 1024) -> SparkSession:
    """Start a local Spark that listens only on the loopback interface, or return the running session.

    One Java process with `memory_mb` is both driver and worker; its temporary files are in `workdir`.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    settings = {
        "spark.driver.memory": f"{memory_mb}m",
        "spark.driver.extraJavaOptions": "-XX:+UseSerialGC",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(workdir),
        "spark.sql.warehouse.dir": str(workdir / "warehouse"),
    }
    master = f"local[{cores},4]"  # 4 attempts of each task, as on a cluster
    builder = SparkSession.builder.master(master).appName("pipeline").config(map=settings)
    session: SparkSession = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def process(
    spark: SparkSession,
    batch: str,
    files: Mapping[RecordKind, SourceFile],
    workdir: Path,
    options: Options,
    previous: Previous | None = None,
    *,
    split_bytes: int = SPLIT_BYTES,
) -> Outcome:
    """Process a day on Spark, with the same outcome as DuckDB alone; `options.memory_mb` is for DuckDB in each task."""
    workdir.mkdir(parents=True, exist_ok=True)
    before = previous or Previous()
    engine = SparkEngine(
        spark,
        batch,
        {kind: LocalSource(source.path) for kind, source in files.items()},
        LocalStore(workdir),
        [LocalSource(path) for path in before.references],
        TaskLimits(options.memory_mb, workdir, split_bytes, options.max_unpacked),
        options.decimal_mark,
    )
    with failures_of_tasks(f"batch {batch}"):
        return DayProcessor(engine, batch, workdir, options, before.error_sort_keys).process(files)
