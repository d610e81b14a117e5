"""Tasks that judge, join and sum the rows of one bucket: all rows with the same keys are there.

Each task is a function for `mapPartitions`, which maps the blocks of a bucket to others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.large.blocks import Numbered, bucket, load, pack, to_bytes, unpack
from pipeline.large.plan import Room
from pipeline.model import data_model
from pipeline.model.record_kinds import RecordKind

if TYPE_CHECKING:
    import duckdb

Task = Callable[[Iterable[Numbered]], Iterator[Any]]

_STREAM_ROWS = 20_000
"""Rows of an Arrow stream that becomes part of a DataFrame."""


class Signs(NamedTuple):
    """What one bucket shows of the first reading."""

    totals: list[tuple[bool, str | None, int, Decimal | None]]
    """Control totals: is_blank, code, records, amount."""
    row_ids: int
    distinct_numbers: int
    """The row ids are distinct if there are as many of these; if not, they may be repeated."""
    has_keys: bool
    """Whether there are keys of candidates."""


class Part(NamedTuple):
    """What one bucket of the results shows: some of its references, and sums."""

    sample: list[str]
    sums: tuple[Any, ...]


def _in_bucket(
    tables: Sequence[str], work: Callable[[duckdb.DuckDBPyConnection], Iterator[Any]], room: Room, what: str
) -> Task:
    """Return a task that calls `work` with a database that has the tables of the bucket."""

    def task(blocks: Iterable[Numbered]) -> Iterator[Any]:
        with room.database(what, has_macros=False) as (connection, _):
            load(connection, unpack(blocks), tables)
            yield from work(connection)

    return task


def _tables_of_accepted(kind: RecordKind) -> list[str]:
    return [f"{kind}_good", f"{kind}_judged"]


def _accepted(kind: RecordKind) -> str:
    """Select the accepted records: all that were not candidates, and the candidates that were not refused."""
    return f"""(SELECT reference, parent FROM {kind}_good ANTI JOIN {kind}_judged USING (reference)
        UNION ALL SELECT reference, parent FROM {kind}_judged WHERE is_accepted)"""


def signs(kind: RecordKind, room: Room, what: str) -> Task:
    """Find what must be read a second time: Signs, and blocks of `keys` by split."""
    parent = kind.parent
    tables = [f"{kind}_{name}" for name in ("totals", "id_bits", "good", "by_parent")]
    found = [f"SELECT DISTINCT split, 'own' AS part, NULL AS key FROM {kind}_totals WHERE code IS NOT NULL"]
    if kind.identity:
        found.append(
            f"""SELECT DISTINCT split, 'reference', reference FROM {kind}_good
            WHERE reference IN (SELECT reference FROM {kind}_good GROUP BY reference HAVING count(*) > 1)"""
        )
    if parent:
        tables += _tables_of_accepted(parent.kind)
        found.append(
            f"""SELECT split, 'parent', records.parent FROM {kind}_by_parent AS records
            ANTI JOIN {_accepted(parent.kind)} AS accepted ON records.parent = accepted.reference"""
        )

    def work(connection: duckdb.DuckDBPyConnection) -> Iterator[Signs | Numbered]:
        connection.execute(f"CREATE TABLE keys AS {' UNION ALL '.join(found)}")
        totals = connection.execute(
            f"""SELECT is_blank, code, sum(records)::BIGINT, sum(amount) FROM {kind}_totals GROUP BY is_blank, code"""
        ).fetchall()
        ((row_ids, distinct_numbers),) = connection.execute(
            f"""SELECT coalesce(sum(records), 0)::BIGINT, coalesce(sum(bit_count(bits)), 0)::BIGINT
            FROM (SELECT sum(records) AS records, bit_or(bits) AS bits FROM {kind}_id_bits GROUP BY id_block)"""
        ).fetchall()
        ((keys,),) = connection.execute("SELECT count(*) FROM keys").fetchall()
        yield Signs(totals, row_ids, distinct_numbers, keys > 0)
        yield from pack(connection, "keys", "split", "FROM keys")

    return _in_bucket(tables, work, room, what)


def repeated_ids(kind: RecordKind, room: Room, what: str) -> Task:
    """Find the row ids that occur more than once: blocks of `keys` by split."""
    query = f"""SELECT DISTINCT split, 'id' AS part, id AS key FROM {kind}_ids
        WHERE id IN (SELECT id FROM {kind}_ids GROUP BY id HAVING count(*) > 1)"""
    return _in_bucket([f"{kind}_ids"], lambda connection: pack(connection, "keys", "split", query), room, what)


def accepted_among(kind: RecordKind, room: Room, what: str) -> Task:
    """Select the accepted records with the references in `asked`: (reference, parent) as Arrow streams."""

    def work(connection: duckdb.DuckDBPyConnection) -> Iterator[bytes]:
        found = connection.sql(f"FROM {_accepted(kind)} WHERE reference IN (SELECT reference FROM asked)")
        yield from map(to_bytes, found.to_arrow_reader(_STREAM_ROWS))

    return _in_bucket([*_tables_of_accepted(kind), "asked"], work, room, what)


def order_sums(buckets: int, room: Room, what: str) -> Task:
    """Sum the orders of a bucket and their items by customer: blocks of `order_sums`."""
    # Items that break no rule by themselves were summed in the first reading; those that are refused are subtracted.
    query = f"""SELECT parent AS customer, count(*) AS orders, sum(records)::BIGINT AS items, sum(amount) AS amount
        FROM {_accepted(data_model.ORDERS)} LEFT JOIN (
            SELECT parent AS order_reference, sum(records) AS records, sum(amount) AS amount
            FROM (SELECT parent, records, amount FROM items_by_parent
                UNION ALL SELECT parent, -records, -amount FROM refused_items)
            GROUP BY parent
        ) ON reference = order_reference
        GROUP BY parent"""
    return _in_bucket(
        [*_tables_of_accepted(data_model.ORDERS), "items_by_parent", "refused_items"],
        lambda connection: pack(connection, "order_sums", bucket("customer", buckets), query),
        room,
        what,
    )


def results(room: Room, what: str) -> Task:
    """Join the customers of a bucket with their sums: blocks of `results`, all with number 0."""
    query = f"""SELECT reference AS customer_reference, coalesce(orders, 0)::BIGINT AS orders,
            coalesce(items, 0)::BIGINT AS items, coalesce(amount, 0)::DECIMAL(38,4) AS amount,
            coalesce(refused_records, 0)::BIGINT AS refused_records
        FROM {_accepted(data_model.CUSTOMERS)}
        LEFT JOIN (
            SELECT customer, sum(orders) AS orders, sum(items) AS items, sum(amount) AS amount
            FROM order_sums GROUP BY customer
        ) AS sums ON reference = sums.customer
        LEFT JOIN refused_records ON reference = refused_records.customer"""
    return _in_bucket(
        [*_tables_of_accepted(data_model.CUSTOMERS), "order_sums", "refused_records"],
        lambda connection: pack(connection, "results", "0", query),
        room,
        what,
    )


def removed(room: Room, what: str) -> Task:
    """Select the customers that earlier versions delivered and this one does not: blocks of `removed`."""
    query = f"""SELECT DISTINCT customer_reference FROM before
        ANTI JOIN {_accepted(data_model.CUSTOMERS)} AS accepted ON customer_reference = reference"""
    return _in_bucket(
        [*_tables_of_accepted(data_model.CUSTOMERS), "before"],
        lambda connection: pack(connection, "removed", "0", query),
        room,
        what,
    )


def parts(table: str, sums: str, sample: int, room: Room, what: str) -> Task:
    """Show what is in a bucket of a table with customer references: one Part with `sample` references and the sums."""

    def work(connection: duckdb.DuckDBPyConnection) -> Iterator[Part]:
        # By hash: every bucket shows references from its whole range, and always the same.
        rows = connection.execute(
            f"SELECT customer_reference FROM {table} ORDER BY hash(customer_reference) LIMIT {sample}"
        ).fetchall()
        (found,) = connection.execute(f"SELECT {sums} FROM {table}").fetchall()
        yield Part([reference for (reference,) in rows], found)

    return _in_bucket([table], work, room, what)
