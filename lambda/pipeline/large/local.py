"""Spark on the local machine, for `pipeline check --engine spark` and the tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.joining.customer_data_processor import Options, Outcome, Previous, process_with
from pipeline.large.engine import SPLIT_BYTES, SparkEngine
from pipeline.large.failures import failures_of_tasks
from pipeline.large.storage import LocalSource, LocalStore
from pipeline.large.tasks import TaskLimits
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import SourceFile

_TRIES = 4
"""Attempts of a task; 4 is also the default on a cluster (`spark.task.maxFailures`)."""


def local_session(cores: int, workdir: Path, memory_mb: int = 1024) -> SparkSession:
    """Start a local Spark that listens only on the loopback interface, or return the running session.

    Parameters
    ----------
    workdir
        Folder for Spark's temporary files.
    memory_mb
        Memory of the Java process, which is both driver and worker.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    session: SparkSession = (
        SparkSession.builder.master(f"local[{cores},{_TRIES}]")
        .appName("pipeline")
        .config("spark.driver.memory", f"{memory_mb}m")
        .config("spark.driver.extraJavaOptions", "-XX:+UseSerialGC")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.local.dir", str(workdir))
        .config("spark.sql.warehouse.dir", str(workdir / "warehouse"))
        .getOrCreate()
    )
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
    partitions: int | None = None,
) -> Outcome:
    """Read, validate and join the three files of a day on Spark, with the same outcome as DuckDB alone.

    Parameters
    ----------
    options
        `memory_mb` is DuckDB's limit in each task.
    split_bytes
        Bytes of a file that one task reads.
    partitions
        Number of partitions of joins and sorts; None for a number that fits the files.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    before = previous or Previous()
    engine = SparkEngine(
        spark,
        batch,
        {kind: LocalSource(source.path) for kind, source in files.items()},
        LocalStore(workdir),
        [LocalSource(path) for path in before.references],
        options.max_unpacked,
        split_bytes,
        partitions,
        TaskLimits(options.memory_mb, workdir),
        options.decimal_mark,
    )
    try:
        with failures_of_tasks(f"batch {batch}"):
            return process_with(engine, batch, files, workdir, options, before.error_sort_keys)
    finally:
        engine.close()
