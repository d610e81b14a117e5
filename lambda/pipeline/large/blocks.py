"""Blocks: many rows of one table as one Arrow stream, so that Spark shuffles few large values instead of many rows.

Each block has a number, the partition that it goes to. Rows with the same key are in blocks with the same number (a
bucket), so DuckDB can group and join them within one task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model.data_model import MODEL

if TYPE_CHECKING:
    import duckdb

_PACKED_ROWS = 1_000_000
"""Rows of a query that are divided into blocks at a time."""
HELD_BYTES = 256 << 20
"""Bytes of blocks that a task holds in memory outside DuckDB."""

_SPLIT = {"split": "INTEGER"}
_SUM = {"records": "BIGINT", "amount": "DECIMAL(38,4)"}
_OF_A_KIND = {
    # The good records of a kind with an identity, in the bucket of the reference.
    "good": _SPLIT | {"reference": "VARCHAR", "parent": "VARCHAR"},
    # The good records of a split, summed by parent, in the bucket of the parent.
    "by_parent": _SPLIT | {"parent": "VARCHAR"} | _SUM,
    # The control totals of a split, in bucket 0.
    "totals": _SPLIT | {"is_blank": "BOOLEAN", "code": "VARCHAR"} | _SUM,
    # The row ids of a split as a bitmap in blocks of 64, in the bucket of the block's number.
    "id_bits": {"id_block": "UBIGINT", "records": "BIGINT", "bits": "UBIGINT"},
    # The row ids themselves; they are read only if the bitmap does not prove that they are distinct.
    "ids": _SPLIT | {"id": "VARCHAR"},
    # The candidates that break no rule by themselves, in the bucket of the reference.
    "judged": {"reference": "VARCHAR", "parent": "VARCHAR", "is_accepted": "BOOLEAN"},
}
TABLES = {f"{kind}_{name}": columns for kind in MODEL.kinds for name, columns in _OF_A_KIND.items()} | {
    # The keys of candidates, by split. `part` is 'own' for records that break a rule by themselves; otherwise it is
    # 'reference', 'parent' or 'id', and records with this `key` are candidates.
    "keys": _SPLIT | {"part": "VARCHAR", "key": "VARCHAR"},
    # References of which the accepted records are needed as a DataFrame.
    "asked": {"reference": "VARCHAR"},
    # Items that were refused although they break no rule by themselves, by parent.
    "refused_items": {"parent": "VARCHAR"} | _SUM,
    "order_sums": {"customer": "VARCHAR", "orders": "BIGINT", "items": "BIGINT", "amount": "DECIMAL(38,4)"},
    "refused_records": {"customer": "VARCHAR", "refused_records": "BIGINT"},
    "results": {
        "customer_reference": "VARCHAR",
        "orders": "BIGINT",
        "items": "BIGINT",
        "amount": "DECIMAL(38,4)",
        "refused_records": "BIGINT",
    },
    # Customers that earlier versions delivered, and those of them that this version does not deliver.
    "before": {"customer_reference": "VARCHAR"},
    "removed": {"customer_reference": "VARCHAR"},
}
"""The columns of each table that is sent in blocks."""


class Block(NamedTuple):
    """Rows of a table."""

    table: str
    rows: int
    data: bytes
    """An Arrow IPC stream."""


Numbered = tuple[int, Block]


def bucket(key: str, buckets: int) -> str:
    """Return the SQL of the bucket of a key; all tasks have the same version of DuckDB, so the same `hash`."""
    return f"hash({key}) % {buckets}"


def pack(connection: duckdb.DuckDBPyConnection, table: str, number: str, query: str) -> Iterator[Numbered]:
    """Run a query and divide its rows into blocks by `number`, an SQL expression over its columns."""
    rows = connection.sql(f"SELECT ({number})::INTEGER AS number, {', '.join(TABLES[table])} FROM ({query})")
    for batch in rows.to_arrow_reader(_PACKED_ROWS):
        ordered = batch if number.isdigit() else batch.take(pc.sort_indices(batch.column("number")))
        numbers = ordered.column("number")
        content = ordered.select(ordered.schema.names[1:])
        start = 0
        for value, count in zip(*_runs(numbers), strict=True):
            yield value, Block(table, count, to_bytes(content.slice(start, count)))
            start += count


def _runs(numbers: pa.Array) -> tuple[list[int], list[int]]:
    """Return the different values of a sorted array, and how often each occurs."""
    counted = pc.run_end_encode(numbers)
    ends = counted.run_ends.to_pylist()
    return counted.values.to_pylist(), [end - start for start, end in zip([0, *ends], ends, strict=False)]


def to_bytes(rows: pa.RecordBatch | pa.Table) -> bytes:
    """Serialise rows as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write(rows)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def to_rows(data: bytes) -> pa.Table:
    """Deserialise an Arrow stream."""
    with pa.ipc.open_stream(data) as stream:
        return stream.read_all()


def unpack(blocks: Iterable[Numbered]) -> Iterator[tuple[str, pa.Table]]:
    """Yield the table and the rows of each block."""
    for _, block in blocks:
        yield block.table, to_rows(block.data)


def load(connection: duckdb.DuckDBPyConnection, rows: Iterable[tuple[str, pa.Table]], tables: Iterable[str]) -> None:
    """Provide the rows of tables under their names; rows of other tables are ignored.

    DuckDB reads them where they are in memory. Only rows that are too many for that, as may happen if most have the
    same key, are inserted into DuckDB's own tables, which it can spill to disk.
    """
    held: dict[str, list[pa.Table]] = {table: [_empty(connection, table)] for table in tables}
    size, has_spilled = 0, False
    for table, some in rows:
        if table in held:
            held[table].append(some)
            size += some.nbytes
            if size > HELD_BYTES:
                _insert(connection, held, has_spilled)
                size, has_spilled = 0, True
    if has_spilled:
        _insert(connection, held, has_spilled)
        return
    for table, found in held.items():
        connection.register(table, _together(found))


def _empty(connection: duckdb.DuckDBPyConnection, table: str) -> pa.Table:
    columns = (f"NULL::{type_name} AS {name}" for name, type_name in TABLES[table].items())
    return connection.sql(f"SELECT {', '.join(columns)} LIMIT 0").to_arrow_table()


def _together(found: list[pa.Table]) -> pa.Table:
    # Columns from Spark are not nullable if its query can't return NULL, which are other columns for Arrow.
    return pa.concat_tables(found, promote_options="default")


def _insert(connection: duckdb.DuckDBPyConnection, held: dict[str, list[pa.Table]], has_tables: bool) -> None:
    """Insert all rows into tables, which are created first unless `has_tables`, and hold them no longer."""
    for table, found in held.items():
        connection.register("loaded", _together(found))
        connection.execute(f"INSERT INTO {table} FROM loaded" if has_tables else f"CREATE TABLE {table} AS FROM loaded")
        connection.unregister("loaded")
        del found[1:]
