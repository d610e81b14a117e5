"""The code that runs in Spark tasks: DuckDB reads splits and writes chunk files with the function's own SQL.

Each function that is typed `Task` returns a function for `mapInArrow`, which maps the record batches of a partition to
others. Its docstring ends with the columns of its output.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.joining import results
from pipeline.joining.chunks import Chunk, ChunkWriter
from pipeline.joining.control_totals import key, owner
from pipeline.joining.refusals import collect_candidates, create_judged, refusals, write_rejects
from pipeline.joining.rules_between_records import CANDIDATE_COLUMNS, JUDGED_COLUMNS
from pipeline.joining.sentences import create_sentences
from pipeline.large.places import Source, Store, copy
from pipeline.large.plan import FilePlan, Room
from pipeline.model.data_model import KINDS, ROW_ID
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.plain import NotPlainError, plain_records_sql
from pipeline.reading.rules import MAX_REFERENCE
from pipeline.reading.steps import records_sql

if TYPE_CHECKING:
    import duckdb

Batches = Iterator[pa.RecordBatch]
Task = Callable[[Batches], Batches]

ROWS = 20_000
"""Rows per batch that a task returns to Spark."""
LINE_ROWS = 500
"""The same for rows that contain whole lines, which may be long."""

_ROW_GROUP = 100_000

FIRST_READING = {
    "part": "STRING",
    "split": "INT",
    "is_blank": "BOOLEAN",
    "code": "STRING",
    "reference": "STRING",
    "parent": "STRING",
    "records": "BIGINT",
    "amount": "DECIMAL(38,4)",
    "block": "BIGINT",
    "bits": "BIGINT",
}
"""Columns of the first reading. As a split is read only once, three kinds of rows share the relation, by `part`.

'good': the good records; record by record for kinds with an identity, otherwise summed by parent.
'total': the control totals by `is_blank` and `code`.
'ids': a bitmap of the row ids that are numbers, in blocks of 32; other ids are in block -1, which proves nothing.
"""

KEYS = {"split": "INT", "part": "STRING", "key": "STRING"}
"""Columns of the keys of candidates by split. `part` is 'own' for records that break a rule by themselves; otherwise it
is 'reference', 'parent' or 'id', and records with this `key` are candidates."""


def schema(columns: dict[str, str]) -> str:
    """Return the columns of a relation as a Spark schema."""
    return ", ".join(f"{name} {type_name}" for name, type_name in columns.items())


def first_reading(plan: FilePlan, room: Room) -> Task:
    """Read each split once: FIRST_READING."""
    kind = plan.file.kind
    number, has_id = "NULL::UBIGINT", "false"
    if plan.file.has_row_ids:
        number, has_id = f"TRY_CAST({ROW_ID} AS UBIGINT)", f"{ROW_ID} <> ''"
    columns_of_records = f"""is_blank, code::VARCHAR AS code, is_good, amount, {key(kind)} AS reference,
        {owner(kind)} AS parent, {number} AS number, {has_id} AS has_id"""
    good = "SELECT reference, parent, 1 AS records, NULL AS amount FROM records WHERE is_good"
    if not KINDS[kind].identity:
        good = """SELECT NULL AS reference, parent, count(*) AS records, sum(amount) AS amount FROM records
            WHERE is_good GROUP BY parent"""
    columns = {name: f"NULL::{type_name.replace('STRING', 'VARCHAR')}" for name, type_name in FIRST_READING.items()}

    def rows(part: str, split: int, query: str, *names: str) -> str:
        values = columns | {"part": f"'{part}'", "split": str(split)} | {name: name for name in names}
        typed = [f"({values[name]})::{sql} AS {name}" for name, sql in FIRST_READING.items()]
        return f"SELECT {', '.join(typed)} FROM ({query})"

    def read(connection: duckdb.DuckDBPyConnection, split_number: int, workdir: Path) -> Batches:
        split = plan.splits[split_number]
        _create_records(connection, plan.load(split, workdir), columns_of_records, split.lines)
        parts = [
            rows("good", split_number, good, "reference", "parent", "records", "amount"),
            rows(
                "total",
                split_number,
                """SELECT is_blank, code, count(*) AS records, sum(amount) AS amount FROM records
                GROUP BY is_blank, code""",
                "is_blank",
                "code",
                "records",
                "amount",
            ),
            rows(
                "ids",
                split_number,
                """SELECT block, count(*) AS records, bit_or(1::BIGINT << (number & 31)::INTEGER) AS bits
                FROM (SELECT number, coalesce((number >> 5)::BIGINT, CASE WHEN has_id THEN -1 END) AS block
                    FROM records WHERE is_good)
                WHERE block IS NOT NULL GROUP BY block""",
                "block",
                "records",
                "bits",
            ),
        ]
        yield from connection.sql(" UNION ALL ".join(parts)).to_arrow_reader(ROWS)

    return _splits(read, plan, room)


def _create_records(connection: duckdb.DuckDBPyConnection, file: CsvFile, columns: str, lines: int) -> None:
    """Create the table `records` of a split, by the fast path if it reads every line and all references are clean."""
    if file.is_plain:
        with suppress(*NotPlainError):
            connection.execute(f"CREATE TABLE records AS SELECT {columns} FROM ({plain_records_sql(file)})")
            # The fast path does not check references to a parent. Unlike in the function, the parents are not here.
            is_unclean = f"strlen(parent) > {MAX_REFERENCE} OR parent = '' OR trimmed(parent) <> parent"
            question = f"SELECT count(*) = {lines} AND count(*) FILTER ({is_unclean}) = 0 FROM records"
            # All rows are fetched: as long as a result is open, `connection.sql` refuses to run.
            if connection.execute(question).fetchall() == [(True,)]:
                return
        connection.execute("DROP TABLE IF EXISTS records")
    connection.execute(f"CREATE TABLE records AS SELECT {columns} FROM ({records_sql(file)})")


def row_ids(plan: FilePlan, room: Room) -> Task:
    """Read the row ids of the good records of each split: split, id."""

    def read(connection: duckdb.DuckDBPyConnection, split_number: int, workdir: Path) -> Batches:
        file = plan.load(plan.splits[split_number], workdir)
        yield from connection.sql(
            f"""SELECT {split_number}::INTEGER AS split, {ROW_ID} AS id FROM ({records_sql(file)})
            WHERE is_good AND {ROW_ID} <> ''"""
        ).to_arrow_reader(ROWS)

    return _splits(read, plan, room)


def answers(plan: FilePlan, question: Callable[[Any], str], room: Room) -> Task:
    """Run a query with a boolean (or NULL) result on each split: answer."""

    def read(connection: duckdb.DuckDBPyConnection, split_number: int, workdir: Path) -> Batches:
        file = plan.load(plan.splits[split_number], workdir)
        (answer,) = connection.execute(question(file)).fetchone() or (None,)
        yield pa.RecordBatch.from_pydict({"answer": pa.array([answer], pa.bool_())})

    return _splits(read, plan, room)


def _splits(read: Callable[[duckdb.DuckDBPyConnection, int, Path], Batches], plan: FilePlan, room: Room) -> Task:
    """Return a task that calls `read` for each split whose number is in the first column."""
    name = plan.file.name

    def task(batches: Batches) -> Batches:
        for batch in batches:
            for split_number in batch.column(0).to_pylist():
                with room.database(name) as (connection, workdir):
                    yield from read(connection, int(split_number), workdir)

    return task


def candidates(plan: FilePlan, room: Room) -> Task:
    """Read the splits that the given KEYS (sorted by split) name again, in order: CANDIDATE_COLUMNS."""
    kind = plan.file.kind
    conditions = {
        "reference": f"{key(kind)} IN (SELECT key FROM keys WHERE part = 'reference')",
        "parent": f"{owner(kind)} IN (SELECT key FROM keys WHERE part = 'parent')",
        "id": f"{ROW_ID} IN (SELECT key FROM keys WHERE part = 'id')",
    }

    def read(split_number: int, keys: pa.Table) -> Batches:
        parts = set(pc.unique(keys.column("part")).to_pylist())
        with room.database(plan.file.name) as (connection, workdir):
            connection.register("keys_of_split", keys)
            connection.execute("CREATE TABLE keys AS SELECT part, key FROM keys_of_split")
            file = plan.load(plan.splits[split_number], workdir)
            collect_candidates(connection, file, [sql for part, sql in conditions.items() if part in parts])
            yield from connection.sql(f"SELECT {', '.join(CANDIDATE_COLUMNS)} FROM {kind}_candidates").to_arrow_reader(
                LINE_ROWS
            )

    def task(batches: Batches) -> Batches:
        for split_number, keys in _groups(batches, "split"):
            yield from read(split_number, keys)

    return task


def _groups(batches: Iterable[pa.RecordBatch], column: str) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows with the same value in a column; the input is sorted by it."""
    current: int | None = None
    held: list[pa.RecordBatch] = []
    for batch in batches:
        values = batch.column(batch.schema.get_field_index(column))
        for value in pc.unique(values).to_pylist():
            if held and value != current:
                yield int(current or 0), pa.Table.from_batches(held)
                held = []
            current = value
            held.append(batch.filter(pc.equal(values, value)))
    if held:
        yield int(current or 0), pa.Table.from_batches(held)


def reasons(plan: FilePlan, room: Room) -> Task:
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


def rejects(plan: FilePlan, store: Store, folder: str, room: Room) -> Task:
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
    create_sentences(connection)
    create_judged(connection, kind)
    for batch in batches:
        connection.register("some_judged", pa.Table.from_batches([batch]))
        connection.execute(f"INSERT INTO {kind}_judged SELECT {', '.join(JUDGED_COLUMNS)} FROM some_judged")


def numbers(before: dict[int, int], rows_per_chunk: int, chunks_per_group: int) -> Task:
    """Add chunk numbers to sorted rows; `before` is the number of rows before each partition: chunk, chunk_group."""

    def task(batches: Batches) -> Batches:
        from pyspark import TaskContext

        context = TaskContext.get()
        position = before.get(context.partitionId() if context else 0, 0)
        for batch in batches:
            chunk = pc.divide(pa.array(range(position, position + batch.num_rows), pa.int64()), rows_per_chunk)
            position += batch.num_rows
            columns = [*batch.columns, chunk, pc.divide(chunk, chunks_per_group)]
            yield pa.RecordBatch.from_arrays(columns, [*batch.schema.names, "chunk", "chunk_group"])

    return task


def result_chunks(batch: str, store: Store, chunk_records: int, chunks_per_group: int, room: Room) -> Task:
    """Write the chunk files of sorted results, one group of chunks at a time: name, records."""

    def write(group: int, rows: pa.Table) -> Batches:
        with room.database(f"batch {batch}") as (connection, workdir):
            connection.register("results", rows)
            writer = ChunkWriter(workdir / "chunks", chunk_records, group * chunks_per_group)
            results.write_results(connection, batch, writer)
            writer.flush()
            yield _stored(writer.chunks, store)

    return _groups_of_chunks(write)


def removal_chunks(batch: str, store: Store, chunk_records: int, number: int, room: Room) -> Task:
    """Write the chunk files that remove customers, one group of chunks at a time: name, records.

    Parameters
    ----------
    number
        Number of the first chunk file of the first group.
    """
    files = removal_files(chunk_records)

    def write(group: int, rows: pa.Table) -> Batches:
        with room.workdir() as workdir:
            writer = ChunkWriter(workdir / "chunks", chunk_records, number + group * files)
            results.add_removals(batch, rows.column("customer_reference").to_pylist(), writer)
            writer.flush()
            yield _stored(writer.chunks, store)

    return _groups_of_chunks(write)


def removal_files(chunk_records: int) -> int:
    """Return how many chunk files one group of removals fills."""
    return -(-2 * results.removals_per_chunk(chunk_records) // chunk_records)


def _groups_of_chunks(write: Callable[[int, pa.Table], Batches]) -> Task:
    def task(batches: Batches) -> Batches:
        for group, rows in _groups(batches, "chunk_group"):
            yield from write(group, rows)

    return task


def _stored(chunks: list[Chunk], store: Store) -> pa.RecordBatch:
    for chunk in chunks:
        store.put(chunk.path, f"chunks/{chunk.path.name}")
    return pa.RecordBatch.from_pydict(
        {
            "name": pa.array([chunk.path.name for chunk in chunks], pa.string()),
            "records": pa.array([chunk.records for chunk in chunks], pa.int64()),
        }
    )


def references(lists: list[Source], room: Room) -> Task:
    """Read the lists of customers whose indexes are in the first column: customer_reference."""

    def task(batches: Batches) -> Batches:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                with room.workdir() as workdir:
                    path = copy(lists[number], workdir / "customers.parquet")
                    with pq.ParquetFile(path) as file:
                        yield from file.iter_batches(ROWS, columns=["customer_reference"])

    return task


def reference_list(store: Store, name: str, room: Room) -> Task:
    """Write the references of a partition as a Parquet file into the store: name."""
    schema = pa.schema([("customer_reference", pa.string())])

    def task(batches: Batches) -> Batches:
        with room.workdir() as workdir:
            path = workdir / "customers.parquet"
            with pq.ParquetWriter(path, schema) as writer:
                for rows in _larger(batches):
                    writer.write_table(rows)
            store.put(path, name)
        yield pa.RecordBatch.from_pydict({"name": pa.array([name], pa.string())})

    return task


def _larger(batches: Batches) -> Iterator[pa.Table]:
    """Join batches, as each becomes a row group of the Parquet file."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= _ROW_GROUP:
            yield pa.Table.from_batches(held)
            held, rows = [], 0
    if held:
        yield pa.Table.from_batches(held)


def packed(batches: Batches) -> Batches:
    """Serialise batches for the driver: rows."""
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        yield pa.RecordBatch.from_pydict({"rows": pa.array([sink.getvalue().to_pybytes()], pa.binary())})
