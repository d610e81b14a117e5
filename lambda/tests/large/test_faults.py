"""A worker that dies is replaced, with the same output; a task that fails ends the day with its own sentence."""

from __future__ import annotations

import errno
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
from comparison import assert_same
from pipeline.errors import DiskFullError, MemoryLimitError
from pipeline.large.storage import LocalSource, LocalStore
from test_same_outcome import generated

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

DEATHS = 3
"""One fewer than the attempts that Spark makes of each task."""


class DyingStore(LocalStore):
    """A store under whose first chunk files the worker dies, each time after the file was put."""

    deaths: ClassVar[Path]

    def put(self, path: Path, name: str) -> None:
        LocalStore.put(self, path, name)
        for number in range(DEATHS if name.startswith("chunks/") else 0):
            try:
                (self.deaths / str(number)).touch(exist_ok=False)
            except FileExistsError:
                continue
            os.kill(os.getpid(), signal.SIGKILL)


class FullDisk(LocalSource):
    """A file that does not fit on the disk of a worker."""

    driver = os.getpid()

    def read(self, start: int, end: int) -> Iterator[bytes]:
        yield from LocalSource.read(self, start, end)
        if os.getpid() != self.driver:
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(autouse=True)
def let_workers_have_this_module(spark: SparkSession) -> None:
    from pyspark import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_a_worker_that_dies_is_replaced(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.large.local.LocalStore", DyingStore)
    monkeypatch.setattr(DyingStore, "deaths", tmp_path, raising=False)

    assert_same(spark, generated(random.Random(3), 40, 0.2), 700, chunk_records=5)

    assert len(list(tmp_path.iterdir())) == DEATHS


def test_too_little_disk_in_a_task_is_told_in_one_sentence(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.large.local.LocalSource", FullDisk)

    with pytest.raises(DiskFullError, match=r"^customers_20220131\.csv needs more disk than there is"):
        assert_same(spark, generated(random.Random(3), 4, 0))


@pytest.mark.parametrize(
    ("text", "kind", "needs"),
    [
        ("No space left on device", DiskFullError, "more disk"),
        ("executor 1 exited with code 137", MemoryLimitError, "more memory"),
    ],
)
def test_too_little_room_of_spark_itself_is_told_in_one_sentence(text: str, kind: type[Exception], needs: str) -> None:
    from pipeline.large.failures import failures_of_tasks

    with pytest.raises(kind, match=f"^batch x needs {needs} than Spark's machines have"), failures_of_tasks("batch x"):
        raise OSError(text)
