"""Tasks that write files for the driver or for deliver, and one that reads lists of references, for `mapInArrow`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.joining import results, second_pass
from pipeline.joining.chunks import ChunkWriter
from pipeline.large.reading import ROWS, Task
from pipeline.large.storage import Source, Store, copy
from pipeline.large.tasks import TaskLimits
from pipeline.reading.csv_file import CsvFile

if TYPE_CHECKING:
    import duckdb

WRITTEN = "name STRING, records BIGINT"
"""A file that a task has written: its name in the store, and its records. In the order of names the rows are sorted."""
_WRITTEN = pa.schema({"name": pa.string(), "records": pa.int64()})
ITEMS = "line_number BIGINT, item STRING"
_ITEMS = pa.schema({"line_number": pa.int64(), "item": pa.string()})

Writer = Callable[["duckdb.DuckDBPyConnection", Path], list[tuple[Path, int]]]
"""Writes the rows of a relation into files in a folder; returns the files with their numbers of records."""


def files(table: str, schema: pa.Schema, write: Writer, store: Store, prefix: str, limits: TaskLimits) -> Task:
    """Let `write` write the rows of a partition, which it finds in `table`; return the rows about the files (WRITTEN).

    The rows of a partition are sorted, and all of them precede those of the next partition.
    """

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        context = TaskContext.get()
        partition = context.partitionId() if context else 0
        with limits.database(f"writing {table}") as (connection, workdir):
            connection.register(table, pa.RecordBatchReader.from_batches(schema, batches))
            written = []
            for number, (path, records) in enumerate(write(connection, workdir)):
                name = f"{prefix}-{partition:07}-{number:07}{path.suffix}"
                store.put(path, name)
                written.append({"name": name, "records": records})
        yield pa.RecordBatch.from_pylist(written, _WRITTEN)

    return task


def chunk_files(table: str, batch: str, chunk_records: int) -> Writer:
    """Write chunk files that put (`results`) or remove (`removed`) results."""
    write_all = {"results": results.write_results, "removed": results.write_removals}[table]

    def write(connection: duckdb.DuckDBPyConnection, workdir: Path) -> list[tuple[Path, int]]:
        chunks = ChunkWriter(workdir / "chunks", chunk_records)
        write_all(connection, batch, chunks)
        chunks.flush()
        return [(chunk.path, chunk.records) for chunk in chunks.chunks]

    return write


def one_file(name: str, write_all: Callable[[duckdb.DuckDBPyConnection, Path], None]) -> Writer:
    """Write one file."""

    def write(connection: duckdb.DuckDBPyConnection, workdir: Path) -> list[tuple[Path, int]]:
        write_all(connection, workdir / name)
        return [(workdir / name, 0)]

    return write


def error_items(file: CsvFile, schema: pa.Schema, batch: str, limits: TaskLimits) -> Task:
    """Return the error items of refused records as JSON, with their lines (ITEMS)."""

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with limits.database(file.name) as (connection, _):
            connection.register("chosen", pa.RecordBatchReader.from_batches(schema, batches))
            items = second_pass.errors(connection, batch, file, "SELECT * FROM chosen")
            rows = [{"line_number": item["line"], "item": json.dumps(item)} for item in items]
        yield pa.RecordBatch.from_pylist(rows, _ITEMS)

    return task


def listed_references(lists: list[Source], limits: TaskLimits) -> Task:
    """Read the lists with the given numbers: the references in them."""

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in chain.from_iterable(batch.column(0).to_pylist() for batch in batches):
            with limits.database("the references of an earlier version") as (connection, workdir):
                path = copy(lists[number], workdir / "references.parquet")
                yield from connection.sql(results.listed([path])).to_arrow_reader(ROWS)

    return task
