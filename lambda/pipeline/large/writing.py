"""Tasks that write files for the driver or for deliver, and one that reads lists of references, for `mapInArrow`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.joining import results
from pipeline.joining.chunks import Chunk
from pipeline.large.reading import ROWS, ReadOne, Task
from pipeline.large.storage import Source, Store, copy
from pipeline.large.tasks import TaskLimits

if TYPE_CHECKING:
    import duckdb

WRITTEN = "name STRING, records BIGINT"
"""A file that a task has written: its name in the store, and its records. In the order of names the rows are sorted."""
_WRITTEN = pa.schema({"name": pa.string(), "records": pa.int64()})

Writer = Callable[["duckdb.DuckDBPyConnection", Path], list[Chunk]]
"""Writes the rows of a relation into files in a folder, and returns the files."""


def files(table: str, schema: pa.Schema, write: Writer, store: Store, prefix: str, limits: TaskLimits) -> Task:
    """Let `write` write the rows of a partition, which it finds in `table`; return the rows about the files (WRITTEN).

    The rows of a partition are sorted, and all of them precede those of the next partition.
    """

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        partition = TaskContext.get().partitionId()
        with limits.database(f"writing {table}") as (connection, workdir):
            connection.register(table, pa.RecordBatchReader.from_batches(schema, batches))
            written = []
            for number, file in enumerate(write(connection, workdir)):
                name = f"{prefix}-{partition:07}-{number:07}{file.path.suffix}"
                store.put(file.path, name)
                written.append({"name": name, "records": file.records})
        yield pa.RecordBatch.from_pylist(written, _WRITTEN)

    return task


def listed_references(lists: list[Source], limits: TaskLimits) -> ReadOne:
    """Read the references in each list."""

    def read(number: int) -> Iterator[pa.RecordBatch]:
        with limits.database("the references of an earlier version") as (connection, workdir):
            path = copy(lists[number], workdir / "references.parquet")
            yield from connection.sql(results.listed([path])).to_arrow_reader(ROWS)

    return read
