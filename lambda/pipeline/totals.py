"""The first reading: all records of the three files, summed up by reference in one pass and without a join.

Orders and items meet in one row for each order reference, these rows and the customers in one row for each customer
reference. A row that lacks one side, or has it twice, shows that something is wrong; where no row does, the sums are
the result already.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from pipeline.csv_parser import CsvFile, quoted
from pipeline.data_model import KINDS, ROW_ID, Kind

Connection = duckdb.DuckDBPyConnection


def sum_up(connection: Connection, files: Mapping[Kind, CsvFile]) -> None:
    """Read all files once.

    Leaves `customer_book` (reference, records) and `order_book` (reference, orders, items, parent, amount), the good
    records by reference; `parent` is that of the order, and right where there is one. `scanned` (kind, rule, records,
    amount, row_ids, distinct_numbers) is summed up from the records apart from these: the other side of the books.
    """
    connection.execute(f"CREATE TABLE customer_rows AS {_grouped(files, Kind.CUSTOMERS)}")
    connection.execute(f"CREATE TABLE order_rows AS {_grouped(files, Kind.ORDERS, Kind.ITEMS)}")
    connection.execute(
        """CREATE TABLE scanned AS
        SELECT kind, rule, sum(records)::BIGINT AS records, sum(amount) AS amount,
            sum(records) FILTER (id_block IS NOT NULL) AS row_ids, sum(bit_count(id_bits)) AS distinct_numbers
        FROM (FROM customer_rows UNION ALL FROM order_rows) WHERE kind IS NOT NULL GROUP BY kind, rule"""
    )
    connection.execute("CREATE VIEW customer_book AS SELECT reference, records FROM customer_rows WHERE is_key")
    connection.execute(
        """CREATE VIEW order_book AS
        SELECT reference, parents AS orders, records - parents AS items, parent, amount FROM order_rows WHERE is_key"""
    )


def _grouped(files: Mapping[Kind, CsvFile], *kinds: Kind) -> str:
    """Return the SQL that sums up all records of the files twice, by reference and by rule.

    That row ids are distinct is shown by a bit for each number, in blocks of 64: that takes a tenth of the time and
    memory of grouping by them. Ids that are no numbers are in block -1 and show nothing.
    """
    records = " UNION ALL ".join(
        f"""SELECT {list(Kind).index(kind)}::TINYINT AS kind, rule, amount, {_row_number(files[kind])},
            CASE WHEN rule IS NULL THEN {key(kind)} END AS reference,
            {f"CASE WHEN rule IS NULL THEN {owner(kind)} END" if KINDS[kind].identity else "NULL"} AS parent
        FROM ({files[kind].records_sql()})"""
        for kind in kinds
    )
    return f"""
        SELECT reference, reference IS NOT NULL AS is_key, count(*) AS records, count(parent) AS parents,
            any_value(parent) AS parent, sum(amount) AS amount, kind, rule, id_block,
            bit_or(1::UBIGINT << (number & 63)) AS id_bits
        FROM (SELECT *, coalesce((number >> 6)::BIGINT, CASE WHEN has_id THEN -1 END) AS id_block FROM ({records}))
        GROUP BY GROUPING SETS ((reference), (kind, rule, id_block))"""


def _row_number(file: CsvFile) -> str:
    if not file.has_row_ids:
        return "NULL::UBIGINT AS number, false AS has_id"
    return f"TRY_CAST({ROW_ID} AS UBIGINT) AS number, {ROW_ID} <> '' AS has_id"


ONE_ORDER_EACH = "SELECT reference, parent, items, amount FROM order_book WHERE orders = 1"
"""The orders that are the only ones of their reference, with their items."""

ACCEPTED_ORDERS = """
    SELECT reference, orders.parent, items.records AS items, items.amount
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
