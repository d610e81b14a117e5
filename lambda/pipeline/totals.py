"""The first reading: each file once, its good records as rows or sums by reference, and the totals of the customers.

Customers and orders stay rows, as they are told apart by their reference; items are summed up by order while they are
read. Where every item met its one order and every order its customer, the totals are the result already.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from pipeline.csv_parser import CsvFile, quoted
from pipeline.data_model import KINDS, ROW_ID, Kind

Connection = duckdb.DuckDBPyConnection


def sum_up(connection: Connection, files: Mapping[Kind, CsvFile]) -> None:
    """Read all files once.

    Leaves `<kind>_good`, the good records of each file: of customers and orders one row each (reference, parent), of
    items one row for each order reference (reference, records, amount); and `<kind>_repeated`, the references of more
    than one customer or order. `scanned` (kind, rule, records, amount,
    row_ids, distinct_numbers) is summed up from the records apart from these: the other side of the books.
    """
    for kind in Kind:
        read = _rows if KINDS[kind].identity else _sums
        connection.execute(f"CREATE TABLE {kind}_read AS {read(files[kind])}")
        connection.execute(f"CREATE VIEW {kind}_good AS FROM {kind}_read WHERE reference IS NOT NULL")
        if KINDS[kind].identity:
            connection.execute(
                f"""CREATE TABLE {kind}_repeated AS
                SELECT reference FROM {kind}_good GROUP BY reference HAVING count(*) > 1"""
            )
    books = " UNION ALL ".join(f"({_books(kind)})" for kind in Kind)
    connection.execute(
        f"""CREATE TABLE scanned AS
        SELECT kind, rule, sum(records)::BIGINT AS records, sum(amount) AS amount,
            sum(records) FILTER (id_block IS NOT NULL) AS row_ids, sum(bit_count(id_bits)) AS distinct_numbers
        FROM ({books}) GROUP BY kind, rule"""
    )


def _rows(file: CsvFile) -> str:
    """Return the SQL of a file's records; those that are not good have no reference."""
    return f"""SELECT rule, CASE WHEN rule IS NULL THEN {key(file.kind)} END AS reference,
            CASE WHEN rule IS NULL THEN {owner(file.kind)} END AS parent, {_row_id(file)}
        FROM ({file.records_sql()})"""


def _sums(file: CsvFile) -> str:
    """Return the SQL that sums up a file's records twice in one pass, by reference and by rule."""
    return f"""SELECT reference, count(*) AS records, sum(amount) AS amount, rule, id_block, {_ID_BITS},
            grouping(rule) = 0 AS is_book
        FROM (SELECT *, {_ID_BLOCK}
            FROM (SELECT rule, amount, CASE WHEN rule IS NULL THEN {key(file.kind)} END AS reference, {_row_id(file)}
                FROM ({file.records_sql()})))
        GROUP BY GROUPING SETS ((reference), (rule, id_block))"""


def _books(kind: Kind) -> str:
    number = list(Kind).index(kind)
    if KINDS[kind].identity:
        return f"""SELECT {number}::TINYINT AS kind, rule, count(*) AS records, NULL AS amount, id_block, {_ID_BITS}
            FROM (SELECT *, {_ID_BLOCK} FROM {kind}_read) GROUP BY rule, id_block"""
    return f"SELECT {number}, rule, records, amount, id_block, id_bits FROM {kind}_read WHERE is_book"


# That row ids are distinct is shown by a bit for each number, in blocks of 64: that takes a tenth of the time and
# memory of grouping by them. Ids that are no numbers are in block -1 and show nothing.
_ID_BLOCK = "coalesce((number >> 6)::BIGINT, CASE WHEN has_id THEN -1 END) AS id_block"
_ID_BITS = "bit_or(1::UBIGINT << (number & 63)) AS id_bits"


def _row_id(file: CsvFile) -> str:
    if not file.has_row_ids:
        return "NULL::UBIGINT AS number, false AS has_id"
    return f"TRY_CAST({ROW_ID} AS UBIGINT) AS number, {ROW_ID} <> '' AS has_id"


SINGLE_ORDERS = """
    SELECT orders.parent, items.records AS items, items.amount
    FROM orders_good AS orders LEFT JOIN items_good AS items USING (reference)
    WHERE reference NOT IN (FROM orders_repeated)"""
"""The orders that are the only ones of their reference, with their items."""

ACCEPTED_ORDERS = """
    SELECT orders.parent, items.records AS items, items.amount
    FROM orders_accepted AS orders LEFT JOIN items_accepted AS items USING (reference)"""
"""The orders that were accepted, with the items that were."""


def total(connection: Connection, orders: str) -> None:
    """Sum up orders by customer into `customer_totals`, for the accepted customers and all others who have orders."""
    connection.execute(
        f"""CREATE OR REPLACE TABLE customer_totals AS
        SELECT reference, count(*) - count(orders) AS customers, count(orders) AS orders,
            coalesce(sum(items), 0)::BIGINT AS items, coalesce(sum(amount), 0)::DECIMAL(38,4) AS amount
        FROM (
            SELECT reference, NULL AS orders, NULL AS items, NULL AS amount FROM customers_accepted
            UNION ALL SELECT parent, 1, items, amount FROM ({orders})
        ) GROUP BY reference"""
    )


def key(kind: Kind) -> str:
    """Name the reference by which records are summed up: their own, or else their parent's."""
    identity = KINDS[kind].identity
    return quoted(identity) if identity else owner(kind)


def owner(kind: Kind) -> str:
    """Name the reference of a record's parent."""
    parent = KINDS[kind].parent
    return quoted(parent[1]) if parent else "NULL::VARCHAR"
