"""Tasks that sort rows and write files: chunk files, rejects, the list of customers.

Each task is a function for `mapPartitions` or, if its input is a DataFrame, for `mapInArrow`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.joining import results
from pipeline.joining.chunks import Chunk, ChunkWriter
from pipeline.joining.refusals import create_judged, refusals, write_rejects
from pipeline.joining.rules_between_records import JUDGED_COLUMNS
from pipeline.large.blocks import Block, Numbered, bucket, load, pack, to_bytes, to_rows, unpack
from pipeline.large.places import Source, Store, copy
from pipeline.large.plan import FilePlan, Room

if TYPE_CHECKING:
    import duckdb

Task = Callable[[Iterable[Numbered]], Iterator[Any]]
Batches = Iterator[pa.RecordBatch]
Written = tuple[str, int]
"""The name of a chunk file and the number of its records."""

_SORTED_ROWS = 50_000
"""Rows of a sorted block."""


def by_range(table: str, cuts: Sequence[str], room: Room, what: str) -> Task:
    """Divide rows by customer reference into ranges that begin at the sorted `cuts`: blocks by number of the range."""

    def task(blocks: Iterable[Numbered]) -> Iterator[Numbered]:
        with room.database(what, has_macros=False) as (connection, _):
            load(connection, unpack(blocks), [table])
            begins = {"cut": pa.array(cuts, pa.string()), "cut_number": range(1, len(cuts) + 1)}
            connection.register("cuts", pa.table(begins))
            query = f"""SELECT {table}.*, coalesce(cut_number, 0) AS in_range
                FROM {table} ASOF LEFT JOIN cuts ON customer_reference >= cut"""
            yield from pack(connection, table, "in_range", query)

    return task


def sort_range(table: str, room: Room, what: str) -> Callable[[int, Iterable[Numbered]], Iterator[Numbered]]:
    """Sort the rows of a range by customer reference: blocks of at most `_SORTED_ROWS`, in order, with its number."""

    def task(number: int, blocks: Iterable[Numbered]) -> Iterator[Numbered]:
        with room.database(what, has_macros=False) as (connection, _):
            load(connection, unpack(blocks), [table])
            rows = connection.sql(f"FROM {table} ORDER BY customer_reference")
            for batch in rows.to_arrow_reader(_SORTED_ROWS):
                yield number, Block(table, batch.num_rows, to_bytes(batch))

    return task


def by_group(before: Sequence[int], rows_per_group: int, start: int, end: int) -> Task:
    """Divide the sorted rows from `start` up to but excluding `end` into groups of consecutive rows.

    Parameters
    ----------
    before
        Number of rows before each range.
    """

    def task(blocks: Iterable[Numbered]) -> Iterator[Numbered]:
        for number, of_range in groupby(blocks, itemgetter(0)):
            position = before[number]
            for _, block in of_range:
                rows = None
                first, last = max(start, position), min(end, position + block.rows)
                while first < last:
                    group = first // rows_per_group
                    count = min(last, (group + 1) * rows_per_group) - first
                    rows = to_rows(block.data) if rows is None else rows
                    yield group, Block(block.table, count, to_bytes(rows.slice(first - position, count)))
                    first += count
                position += block.rows

    return task


def result_chunks(batch: str, store: Store, chunk_records: int, chunks_per_group: int, room: Room) -> Task:
    """Write the chunk files of each group of results."""

    def task(blocks: Iterable[Numbered]) -> Iterator[Written]:
        for group, of_group in groupby(blocks, itemgetter(0)):
            with room.database(f"batch {batch}") as (connection, workdir):
                load(connection, unpack(of_group), ["results"])
                writer = ChunkWriter(workdir / "chunks", chunk_records, group * chunks_per_group)
                results.write_results(connection, batch, writer)
                writer.flush()
                yield from _stored(writer.chunks, store)

    return task


def removal_chunks(batch: str, store: Store, chunk_records: int, number: int, room: Room) -> Task:
    """Write the chunk files that remove the customers of each group.

    Parameters
    ----------
    number
        Number of the first chunk file of the first group.
    """
    files = -(-2 * results.removals_per_chunk(chunk_records) // chunk_records)

    def task(blocks: Iterable[Numbered]) -> Iterator[Written]:
        for group, of_group in groupby(blocks, itemgetter(0)):
            references = [one for _, rows in unpack(of_group) for one in rows.column(0).to_pylist()]
            with room.workdir() as workdir:
                writer = ChunkWriter(workdir / "chunks", chunk_records, number + group * files)
                results.add_removals(batch, sorted(references), writer)
                writer.flush()
                yield from _stored(writer.chunks, store)

    return task


def _stored(chunks: list[Chunk], store: Store) -> Iterator[Written]:
    for chunk in chunks:
        store.put(chunk.path, f"chunks/{chunk.path.name}")
        yield chunk.path.name, chunk.records


def reasons(plan: FilePlan, room: Room) -> Callable[[Batches], Batches]:
    """Create the sentences about the refused records of a partition: the fields of a Refusal."""

    def task(batches: Batches) -> Batches:
        with room.database(plan.file.name) as (connection, _):
            _take_judged(connection, plan, batches)
            found = list(refusals(connection, plan.file, sys.maxsize))
        names = ("line", "code", "reason", "customer_reference", "order_reference")
        types = [pa.int64()] + [pa.string()] * 4
        columns = [
            pa.array([getattr(one, name) for one in found], kind) for name, kind in zip(names, types, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, list(names))

    return task


def rejects(plan: FilePlan, store: Store, folder: str, room: Room) -> Callable[[Batches], Batches]:
    """Write each partition of the refused records as CSV without a header line into the store: part, name."""

    def task(batches: Batches) -> Batches:
        from pyspark import TaskContext

        context = TaskContext.get()
        part = context.partitionId() if context else 0
        with room.database(plan.file.name) as (connection, workdir):
            written, body = workdir / "rejects.csv", workdir / "body.csv"
            _take_judged(connection, plan, batches)
            write_rejects(connection, plan.file, written)
            with written.open("rb") as file, body.open("wb") as target:
                file.readline()
                shutil.copyfileobj(file, target)
            store.put(body, f"{folder}{part:05}.csv")
        yield pa.RecordBatch.from_pydict(
            {"part": pa.array([part], pa.int32()), "name": pa.array([f"{folder}{part:05}.csv"], pa.string())}
        )

    return task


def _take_judged(connection: duckdb.DuckDBPyConnection, plan: FilePlan, batches: Batches) -> None:
    kind = plan.file.kind
    create_judged(connection, kind)
    for batch in batches:
        connection.register("some_judged", pa.Table.from_batches([batch]))
        connection.execute(f"INSERT INTO {kind}_judged SELECT {', '.join(JUDGED_COLUMNS)} FROM some_judged")


def earlier_customers(
    lists: Sequence[Source], buckets: int, room: Room
) -> Callable[[Iterable[int]], Iterator[Numbered]]:
    """Read the lists of customers with the given indexes: blocks of `before`."""

    def task(numbers: Iterable[int]) -> Iterator[Numbered]:
        for number in numbers:
            with room.database("the list of an earlier version", has_macros=False) as (connection, workdir):
                path = copy(lists[number], workdir / "customers.parquet")
                yield from pack(
                    connection,
                    "before",
                    bucket("customer_reference", buckets),
                    f"FROM {results.listed_customers([path])}",
                )

    return task


def reference_list(store: Store, name: str, room: Room) -> Task:
    """Write the references of sorted results as one Parquet file into the store: its name."""
    schema = pa.schema([("customer_reference", pa.string())])

    def task(blocks: Iterable[Numbered]) -> Iterator[str]:
        with room.workdir() as workdir:
            path = workdir / "customers.parquet"
            with pq.ParquetWriter(path, schema) as writer:
                for _, rows in unpack(blocks):
                    writer.write_table(rows.select(["customer_reference"]))
            store.put(path, name)
        yield name

    return task
