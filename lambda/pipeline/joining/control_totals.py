"""The first reading: each file once, against the accepted records of the file before, and the totals of the customers.

A customer is known by a number from then on, and so is what belongs to it: an order gets its customer's number while
it is read, an item that of its order, and items are summed up by it in the same go. What gets no number has no accepted
parent.
"""

from __future__ import annotations

import duckdb

from pipeline.model.data_model import KINDS, ROW_ID, Kind
from pipeline.reading.csv_parser import CsvFile
from pipeline.reading.sql import quoted

Connection = duckdb.DuckDBPyConnection


def open_books(connection: Connection) -> None:
    """Make `scanned`, the sums of each file by the rule that its records break (0: blank, NULL: none).

    They are taken from the records apart from everything else that comes of them: the other side of the books.
    """
    connection.execute(
        """CREATE TABLE scanned (kind VARCHAR, rule UTINYINT, records BIGINT, amount DECIMAL(38,4), row_ids BIGINT,
            distinct_numbers BIGINT)"""
    )


def read_records(connection: Connection, file: CsvFile) -> None:
    """Read a file once, when its parents are judged, and enter it into the books.

    Leaves `<kind>_good`, the records that break no rule by themselves: those with a reference of their own one by one
    (reference, customer, records: 1), and in `<kind>_repeated` the references that more than one of them has; the
    others summed up by customer (customer, records, amount), without those that have no accepted parent.
    """
    kind = file.kind
    if KINDS[kind].identity:
        connection.execute(
            f"CREATE TABLE {kind}_read AS SELECT rule, reference, customer, number, has_id FROM ({_rows(file)})"
        )
        _enter(
            connection,
            kind,
            f"""SELECT rule, id_block, count(*) AS records, NULL::DECIMAL(38,4) AS amount, {_ID_BITS} AS id_bits
            FROM (SELECT *, {_ID_BLOCK} AS id_block FROM {kind}_read) GROUP BY rule, id_block""",
        )
        # Only the references are needed any more, and memory is.
        for column in ("rule", "number", "has_id"):
            connection.execute(f"ALTER TABLE {kind}_read DROP COLUMN {column}")
        customer = "customer" if KINDS[kind].parent else "rowid::UINTEGER AS customer"
        connection.execute(
            f"""CREATE VIEW {kind}_good AS SELECT reference, {customer}, 1 AS records FROM {kind}_read
            WHERE reference IS NOT NULL"""
        )
        connection.execute(
            f"""CREATE TABLE {kind}_repeated AS
            SELECT reference FROM {kind}_good GROUP BY reference HAVING count(*) > 1"""
        )
    else:
        connection.execute(f"CREATE TABLE {kind}_read AS {_sums(file)}")
        _enter(connection, kind, f"FROM {kind}_read WHERE is_book")
        connection.execute(
            f"""CREATE VIEW {kind}_good AS SELECT customer, records, amount FROM {kind}_read
            WHERE NOT is_book AND customer IS NOT NULL"""
        )


def _enter(connection: Connection, kind: Kind, blocks: str) -> None:
    connection.execute(
        f"""INSERT INTO scanned
        SELECT '{kind}', rule, sum(records), sum(amount), sum(records) FILTER (id_block IS NOT NULL),
            sum(bit_count(id_bits))
        FROM ({blocks}) GROUP BY rule"""
    )


def _sums(file: CsvFile) -> str:
    """Return the SQL that sums up a file's records twice in one pass, by customer and by rule."""
    return f"""SELECT customer, rule, id_block, grouping(rule) = 0 AS is_book,
            count(*) AS records, sum(amount) AS amount, {_ID_BITS} AS id_bits
        FROM (SELECT *, {_ID_BLOCK} AS id_block FROM ({_rows(file)}))
        GROUP BY GROUPING SETS ((customer), (rule, id_block))"""


def _rows(file: CsvFile) -> str:
    """Return the SQL of a file's records with the number of their customer; those not good have no reference."""
    parent = KINDS[file.kind].parent
    records = f"""SELECT rule, amount, CASE WHEN rule IS NULL THEN {key(file.kind)} END AS reference,
            CASE WHEN rule IS NULL THEN {owner(file.kind)} END AS parent, {_row_id(file)}
        FROM ({file.records_sql()})"""
    if parent is None:
        return f"SELECT *, NULL::UINTEGER AS customer FROM ({records})"
    return f"""SELECT records.*, customer
        FROM ({records}) AS records LEFT JOIN {parent[0]}_accepted AS parents ON records.parent = parents.reference"""


# That row ids are distinct is shown by a bit for each number, in blocks of 64: that takes a tenth of the time and
# memory of grouping by them. Ids that are no numbers are in block -1 and show nothing.
_ID_BLOCK = "coalesce((number >> 6)::BIGINT, CASE WHEN has_id THEN -1 END)"
_ID_BITS = "bit_or(1::UBIGINT << (number & 63))"


def _row_id(file: CsvFile) -> str:
    if not file.has_row_ids:
        return "NULL::UBIGINT AS number, false AS has_id"
    return f"TRY_CAST({ROW_ID} AS UBIGINT) AS number, {ROW_ID} <> '' AS has_id"


def total(connection: Connection) -> None:
    """Sum up what belongs to each accepted customer in `results` (customer_reference, orders, items, amount).

    Refused items whose order was accepted (their row id is repeated) were counted for their customer: they come off.
    """
    connection.execute(
        """CREATE TABLE results AS
        SELECT customers.reference AS customer_reference, coalesce(orders, 0)::BIGINT AS orders,
            coalesce(items, 0)::BIGINT AS items, coalesce(amount, 0)::DECIMAL(38,4) AS amount
        FROM customers_accepted AS customers
        LEFT JOIN (SELECT customer, count(*) AS orders FROM orders_accepted GROUP BY customer) USING (customer)
        LEFT JOIN (
            SELECT customer, sum(records) AS items, sum(amount) AS amount
            FROM (
                SELECT customer, records, amount FROM items_good
                UNION ALL SELECT customer, -1, -amount
                FROM orders_accepted AS orders JOIN items_refused AS items ON orders.reference = items.parent
                WHERE own_code IS NULL
            ) GROUP BY customer) USING (customer)"""
    )


def key(kind: Kind) -> str:
    """Name the reference by which records are told apart: their own, or else their parent's."""
    identity = KINDS[kind].identity
    return quoted(identity) if identity else owner(kind)


def owner(kind: Kind) -> str:
    """Name the reference of a record's parent."""
    parent = KINDS[kind].parent
    return quoted(parent[1]) if parent else "NULL::VARCHAR"
