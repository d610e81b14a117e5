"""If a worker or the driver dies in the middle of a day, the work is repeated with the same output."""

from __future__ import annotations

import errno
import os
import random
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from batches import BATCH, file_name
from comparison import output_of
from pipeline.errors import DiskFullError, MemoryLimitError
from pipeline.joining.customer_data_processor import Options, Outcome, SourceFile, process, process_with
from pipeline.large.storage import LocalSource, LocalStore
from pipeline.large.tasks import TaskLimits
from pipeline.model import data_model
from test_same_outcome import generated

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

OPTIONS = Options(memory_mb=200, threads=2, chunk_records=5)
DAY = generated(random.Random(3), 40, 0.2)


class DyingStore:
    """A store under whose `deaths` first chunk files the worker dies, each time after the file was put."""

    def __init__(self, folder: Path, deaths: int) -> None:
        self.folder = folder
        self.deaths = deaths

    def source(self, name: str) -> LocalSource:
        return LocalStore(self.folder).source(name)

    def put(self, path: Path, name: str) -> None:
        LocalStore(self.folder).put(path, name)
        for number in range(self.deaths if name.startswith("chunks/") else 0):
            try:
                (self.folder / f"death-{number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            os.kill(os.getpid(), signal.SIGKILL)


def run(
    spark: SparkSession, store: LocalStore | DyingStore, directory: Path, sources: dict[object, SourceFile]
) -> Outcome:
    from pipeline.large.engine import SparkEngine
    from pyspark import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[DyingStore.__module__])  # a worker can't import the tests
    files = {kind: LocalSource(source.path) for kind, source in sources.items()}
    limits = TaskLimits(128, directory)
    engine = SparkEngine(spark, BATCH, files, store, split_bytes=700, partitions=2, limits=limits)
    try:
        return process_with(engine, BATCH, sources, directory, OPTIONS)
    finally:
        engine.close()


def sources_in(directory: Path) -> dict[object, SourceFile]:
    found = {}
    for kind, content in DAY.items():
        path = directory / file_name(kind)
        path.write_bytes(content)
        found[kind] = SourceFile(path.name, path)
    return found


@pytest.mark.parametrize("deaths", [1, 3])
def test_a_worker_that_dies_is_replaced(spark: SparkSession, tmp_path: Path, deaths: int) -> None:
    sources = sources_in(tmp_path)
    (tmp_path / "spark").mkdir()

    outcome = run(spark, DyingStore(tmp_path / "spark", deaths), tmp_path / "spark", sources)

    assert output_of(outcome, 5) == output_of(process(BATCH, sources, tmp_path / "duckdb", OPTIONS), 5)
    assert (tmp_path / "spark" / f"death-{deaths - 1}").exists()


def test_a_day_that_failed_half_way_is_run_again_over_what_it_left(spark: SparkSession, tmp_path: Path) -> None:
    sources = sources_in(tmp_path)
    folder = tmp_path / "spark"
    folder.mkdir()

    with pytest.raises(Exception, match="worker exited unexpectedly"):
        run(spark, DyingStore(folder, deaths=99), folder, sources)
    assert list((folder / "chunks").glob("*.jsonl"))
    outcome = run(spark, LocalStore(folder), folder, sources)

    assert output_of(outcome, 5) == output_of(process(BATCH, sources, tmp_path / "duckdb", OPTIONS), 5)


@dataclass(frozen=True)
class FullDisk:
    """A file that does not fit on the disk of a worker."""

    path: Path
    driver: int = field(default_factory=os.getpid)

    @property
    def size(self) -> int:
        return LocalSource(self.path).size

    def read(self, start: int, end: int) -> Iterator[bytes]:
        yield from LocalSource(self.path).read(start, end)
        if os.getpid() != self.driver:
            raise OSError(errno.ENOSPC, "No space left on device")


def test_too_little_disk_or_memory_in_a_task_is_told_in_one_sentence(spark: SparkSession, tmp_path: Path) -> None:
    from pipeline.large.engine import SparkEngine
    from pipeline.large.failures import failures_of_tasks
    from pyspark import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[FullDisk.__module__])
    file = tmp_path / file_name(data_model.CUSTOMERS)
    lines = b"".join(b"%032d%01000d,a,b,c\n" % (number, 0) for number in range(40_000))
    file.write_bytes(DAY[data_model.CUSTOMERS] + b"\n" + lines)
    source = SourceFile(file.name, file)

    def judge(file_on_disk: LocalSource | FullDisk, memory_mb: int) -> None:
        files, limits = {data_model.CUSTOMERS: file_on_disk}, TaskLimits(memory_mb, tmp_path)
        engine = SparkEngine(spark, BATCH, files, LocalStore(tmp_path), split_bytes=1 << 30, limits=limits)
        with failures_of_tasks(f"batch {BATCH}"):
            engine.judge(engine.read(data_model.CUSTOMERS, source))

    with pytest.raises(MemoryLimitError, match=r"^customers_20220131\.csv needs more than the 9\.5 MiB of memory"):
        judge(LocalSource(file), 10)
    with pytest.raises(DiskFullError, match=r"^customers_20220131\.csv needs more disk than there is"):
        judge(FullDisk(file), 128)
    with (
        pytest.raises(DiskFullError, match=r"^batch 20220131 needs more disk than Spark's machines have"),
        failures_of_tasks(f"batch {BATCH}"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
