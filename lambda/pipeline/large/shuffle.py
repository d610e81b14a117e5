"""Shuffle blocks with Spark, and exchange them with its DataFrames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
from pyspark import RDD, StorageLevel
from pyspark.sql import DataFrame

from pipeline.large.blocks import Block, Numbered, bucket, load, pack, to_rows
from pipeline.large.plan import Room

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Blocks: TypeAlias = "RDD[Numbered]"
"""Blocks with their numbers, as a distributed collection."""
_BATCH = "spark.sql.execution.arrow.maxRecordsPerBatch"


class Shuffle:
    """Moves blocks between tasks, and keeps what is used more than once on the workers' disks.

    Parameters
    ----------
    buckets
        Number of buckets; the same for all tables of a day, so that they can be joined within a bucket.
    """

    def __init__(self, spark: SparkSession, buckets: int, room: Room) -> None:
        self._spark = spark
        self._room = room
        self._kept: list[Any] = []
        self.buckets = buckets
        _configure(spark, buckets)

    def each(self, values: Any, task: Callable[[Iterator[Any]], Iterator[Any]]) -> RDD[Any]:
        """Process each value in a task of its own."""
        return self._spark.sparkContext.parallelize(values, max(len(values), 1)).mapPartitions(task)

    def divide(self, blocks: Blocks, partitions: int | None = None) -> Blocks:
        """Send each block to the partition with its number; None for the buckets."""
        return blocks.partitionBy(partitions or self.buckets, int)

    def in_buckets(self, task: Callable[[Iterator[Numbered]], Iterator[Any]], *blocks: Blocks) -> RDD[Any]:
        """Process each bucket in a task, which gets the blocks of all given relations."""
        # Spark joins relations that are divided in the same way without another shuffle.
        return self._spark.sparkContext.union(list(blocks)).mapPartitions(task)

    def keep(self, rdd: RDD[Any]) -> RDD[Any]:
        """Persist what tasks return; what is lost with a worker is computed again."""
        self._kept.append(rdd.persist(StorageLevel.DISK_ONLY))
        return rdd

    def keep_frame(self, rows: DataFrame) -> DataFrame:
        """Persist the rows of a DataFrame; rows that are lost with a worker are computed again.

        As with `DataFrame.localCheckpoint`, the query plan is cut here: otherwise the plans of a day would contain each
        other, and Spark would spend most of its time on printing them. Unlike with it, lost rows can be recomputed.
        """
        kept = rows.persist(StorageLevel.DISK_ONLY)
        self._kept.append(kept)
        return self._cut(kept)

    def _cut(self, rows: DataFrame) -> DataFrame:
        java: Any = rows._jdf
        plan = self._spark._jsparkSession.internalCreateDataFrame(java.queryExecution().toRdd(), java.schema(), False)
        return DataFrame(plan, self._spark)

    def to_frame(self, data: RDD[bytes], columns: str) -> DataFrame:
        """Return the rows of Arrow streams as a DataFrame."""
        rows = self._spark.createDataFrame(data.map(lambda one: (one,)), "data BINARY", verifySchema=False)
        # One stream at a time: otherwise Spark would collect thousands of them in memory.
        batch = self._spark.conf.get(_BATCH)
        self._spark.conf.set(_BATCH, "1")
        try:
            return self._cut(rows.mapInArrow(_unpack, columns))
        finally:
            self._spark.conf.set(_BATCH, batch)

    def from_query(self, query: str, table: str, key: str) -> Blocks:
        """Run a query on Spark's views, and return its rows as blocks in the bucket of a key."""
        room, buckets = self._room, self.buckets

        def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            with room.database(table, has_macros=False) as (connection, _):
                load(connection, ((table, pa.Table.from_batches([batch])) for batch in batches), [table])
                for number, block in pack(connection, table, bucket(key, buckets), f"FROM {table}"):
                    yield pa.RecordBatch.from_pydict(
                        {
                            "number": pa.array([number], pa.int32()),
                            "records": pa.array([block.rows], pa.int64()),
                            "data": pa.array([block.data], pa.binary()),
                        }
                    )

        found = self._spark.sql(query).mapInArrow(task, "number INT, records BIGINT, data BINARY").rdd
        return self.divide(found.map(lambda row: (row.number, Block(table, row.records, bytes(row.data)))))

    def close(self) -> None:
        """Free what was persisted."""
        for one in self._kept:
            one.unpersist()


def _unpack(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for data in batch.column(0).to_pylist():
            yield from to_rows(data).to_batches()


def schema(columns: dict[str, str]) -> str:
    """Return the columns of a relation as a Spark schema."""
    return ", ".join(f"{name} {type_name}" for name, type_name in columns.items())


def _configure(spark: SparkSession, partitions: int) -> None:
    """Configure Spark for exact decimals, errors instead of NULL, and small Arrow batches."""
    for name, value in {
        "spark.sql.shuffle.partitions": str(partitions),
        "spark.sql.ansi.enabled": "true",
        "spark.sql.decimalOperations.allowPrecisionLoss": "false",
        _BATCH: "5000",
        "spark.sql.maxPlanStringLength": "10000",
    }.items():
        spark.conf.set(name, value)
