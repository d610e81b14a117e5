"""Tasks that write files: chunk files, rejects, lists of references. Each is a function for `mapInArrow`.

The rows of a task's partition are sorted, and all of them precede those of the next partition.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pyarrow as pa

from pipeline.joining import results, second_pass
from pipeline.joining.chunks import ChunkWriter
from pipeline.large.reading import ROWS, Task
from pipeline.large.splits import FilePlan
from pipeline.large.storage import Source, Store, copy
from pipeline.large.tasks import TaskLimits

WRITTEN = "partition INT, number INT, name STRING, records BIGINT"
"""A file that a task has written: its partition, its number in it, its name in the store, and its records."""
_WRITTEN = pa.schema({"partition": pa.int32(), "number": pa.int32(), "name": pa.string(), "records": pa.int64()})
_REFERENCES = pa.schema({"reference": pa.string()})
_WRITERS = {"results": results.write_results, "removed": results.write_removals}


def chunk_files(table: str, batch: str, store: Store, chunk_records: int, limits: TaskLimits) -> Task:
    """Write a partition of `results` or `removed` as chunk files."""

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in _readers(batches):
            with limits.database(f"batch {batch}") as (connection, workdir):
                connection.register(table, rows)
                chunks = ChunkWriter(workdir / "chunks", chunk_records)
                _WRITERS[table](connection, batch, chunks)
                chunks.flush()
                files = [(chunk.path, chunk.records) for chunk in chunks.chunks]
                yield _stored(files, store, f"chunks/{table}")

    return task


def rejects(plan: FilePlan, store: Store, limits: TaskLimits) -> Task:
    """Write the refused records of a partition as CSV without a header line."""
    kind = plan.file.kind

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in _readers(batches):
            with limits.database(plan.file.name) as (connection, workdir):
                connection.register(f"{kind}_refused", rows)
                written, body = workdir / "rejects.csv", workdir / "body.csv"
                second_pass.write_rejects(connection, plan.file, written)
                with written.open("rb") as file, body.open("wb") as target:
                    file.readline()
                    shutil.copyfileobj(file, target)
                yield _stored([(body, 0)], store, f"large_day/{kind}-rejects")

    return task


def reference_list(table: str, store: Store, limits: TaskLimits) -> Task:
    """Write the references of all rows, which are in one partition, as one Parquet file (`reference_name`)."""

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with limits.database("the references of the results") as (connection, workdir):
            connection.register(table, pa.RecordBatchReader.from_batches(_REFERENCES, batches))
            results.write_references(connection, table, workdir / "references.parquet")
            store.put(workdir / "references.parquet", reference_name(table))
        yield from ()

    return task


def reference_name(table: str) -> str:
    """Return the name in the store of the list of a relation's references."""
    return f"large_day/{table}.parquet"


def listed_references(lists: list[Source], limits: TaskLimits) -> Task:
    """Read the lists with the given numbers: the references in them."""

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in chain.from_iterable(batch.column(0).to_pylist() for batch in batches):
            with limits.database("the references of an earlier version") as (connection, workdir):
                path = copy(lists[number], workdir / "references.parquet")
                yield from connection.sql(results.listed([path])).to_arrow_reader(ROWS)

    return task


def _readers(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatchReader]:
    """Yield one reader of all batches, which DuckDB can query once; nothing if the partition has no rows."""
    for first in batches:
        yield pa.RecordBatchReader.from_batches(first.schema, chain([first], batches))


def _stored(files: list[tuple[Path, int]], store: Store, prefix: str) -> pa.RecordBatch:
    """Put files with their numbers of records into the store, and return the rows about them (WRITTEN)."""
    from pyspark import TaskContext

    context = TaskContext.get()
    partition = context.partitionId() if context else 0
    rows = []
    for number, (path, records) in enumerate(files):
        name = f"{prefix}-{partition:05}-{number:05}{path.suffix}"
        store.put(path, name)
        rows.append({"partition": partition, "number": number, "name": name, "records": records})
    return pa.RecordBatch.from_pylist(rows, _WRITTEN)
