"""The first reading: reads each file once, joins it with the accepted records of its parent, and adds up the totals.

Each customer gets a number. An order gets its customer's number while it is read, and an item gets it from its order,
so items are summed by customer without another join. A record without an accepted parent has no number.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import duckdb

from pipeline.joining.incomplete import refused_records_by_customer
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.csv_parser import by_line
from pipeline.reading.plain import NEEDS_TRIMMING, NotPlainError, plain_records_sql
from pipeline.reading.sql import Step, query, quoted
from pipeline.reading.steps import records_sql

Connection = duckdb.DuckDBPyConnection


def create_control_totals(connection: Connection) -> None:
    """Create `control_totals`: the number of records and their amount, for each file and error code of single records.

    They are summed directly from the records, independently of all later steps: one side of the reconciliation.
    """
    connection.execute(
        """CREATE TABLE control_totals (kind VARCHAR, is_blank BOOLEAN, code error_code, records BIGINT,
            amount DECIMAL(38,4), row_ids BIGINT, distinct_numbers BIGINT)"""
    )


def read_records(connection: Connection, file: CsvFile, workdir: Path) -> CsvFile:
    """Read a file once, after its parent was judged, and add its control totals; return the file as it was read.

    Creates `<kind>_good`: the records that break no rule for single records and have an accepted parent (if their kind
    has one). Kinds with an identity are kept record by record (reference, customer, records: 1), and `<kind>_repeated`
    has the references that occur more than once. Other kinds are summed by customer (customer, records, amount).

    Raises
    ------
    RefusedFileError
        A quote is never closed.
    """
    while file.is_plain:
        # Without `ignore_errors`: with it, DuckDB 2.0 crashes if two threads read lines with very many cells.
        with suppress(*NotPlainError):
            _read(connection, file)
            if _is_complete(connection, file):
                return file
        _forget(connection, file)
        file = by_line(connection, file, workdir)
    _read(connection, file)
    return file


def _is_complete(connection: Connection, file: CsvFile) -> bool:
    """Return whether the fast path has read every line, and add the blank lines at the end to the totals."""
    row = connection.execute(f"SELECT sum(records) FROM control_totals WHERE kind = '{file.kind}'").fetchone()
    if file.plain_lines != (row[0] or 0 if row else 0):
        return False
    if file.blank_end:
        connection.execute(
            f"INSERT INTO control_totals (kind, is_blank, records) VALUES ('{file.kind}', true, {file.blank_end})"
        )
    return True


def _forget(connection: Connection, file: CsvFile) -> None:
    connection.execute(f"DELETE FROM control_totals WHERE kind = '{file.kind}'")
    connection.execute(f"DROP VIEW IF EXISTS {file.kind}_good")
    for table in ("read", "sums", "repeated"):
        connection.execute(f"DROP TABLE IF EXISTS {file.kind}_{table}")


def _read(connection: Connection, file: CsvFile) -> None:
    kind = file.kind
    numbered = _numbered_records(file)
    if kind.identity:
        connection.execute(f"CREATE TABLE {kind}_read AS SELECT * FROM ({numbered})")
        _add_control_totals(connection, file, amount="NULL::DECIMAL(18,4)")
        # Later steps need only the references; dropping the rest frees memory.
        for column in ("is_blank", "code", "number"):
            connection.execute(f"ALTER TABLE {kind}_read DROP COLUMN IF EXISTS {column}")
        customer = "customer" if kind.parent else "rowid::UINTEGER AS customer"
        connection.execute(
            f"""CREATE VIEW {kind}_good AS SELECT reference, {customer}, 1 AS records FROM {kind}_read
            WHERE reference IS NOT NULL"""
        )
        # Counting first: it takes less time than grouping with a count per reference, which is hardly ever necessary.
        connection.execute(
            f"""CREATE TABLE {kind}_repeated AS
            SELECT reference FROM {kind}_good
            WHERE (SELECT count(DISTINCT reference) < count(*) FROM {kind}_good)
            GROUP BY reference HAVING count(*) > 1"""
        )
    else:
        connection.execute(f"CREATE TABLE {kind}_read AS SELECT * EXCLUDE (reference) FROM ({numbered})")
        _add_control_totals(connection, file, amount="amount_1")
        connection.execute(
            f"""CREATE TABLE {kind}_sums AS SELECT customer, count(*) AS records, sum(amount_1) AS amount
            FROM {kind}_read WHERE customer IS NOT NULL GROUP BY customer"""
        )
        connection.execute(f"DROP TABLE {kind}_read")
        connection.execute(f"CREATE VIEW {kind}_good AS FROM {kind}_sums")


def _add_control_totals(connection: Connection, file: CsvFile, amount: str) -> None:
    """Sum the records of `<kind>_read` by error code, and find out whether their row ids are distinct.

    A bitmap shows that: one bit per number, in blocks of 64. It takes a tenth of the time and memory of grouping by id.
    """
    is_blank, group = ("false", "code") if file.is_plain else ("is_blank", "is_blank, code")
    connection.execute(
        f"""INSERT INTO control_totals
        SELECT '{file.kind}', {is_blank}, code, sum(records), sum(amount), sum(records) FILTER (id_block IS NOT NULL),
            sum(bit_count(id_bits))
        FROM (SELECT {group}, number >> 6 AS id_block, count(*) AS records, sum({amount}) AS amount,
                bit_or(1::UBIGINT << (number & 63)) AS id_bits
            FROM {file.kind}_read GROUP BY {group}, id_block)
        GROUP BY {group}"""
    )


def _numbered_records(file: CsvFile) -> str:
    """Select a file's records with the number of their customer; records with errors have no reference.

    The fast path has no column `is_blank`: it reads no blank lines.
    """
    records, stops_at, columns = records_sql(file), "false", ", ".join(["is_blank", "code", *file.amounts])
    if file.is_plain:
        records, stops_at, columns = plain_records_sql(file), NEEDS_TRIMMING, ", ".join(["code", *file.amounts])
    parent = file.kind.parent
    step = Step(
        "records",
        f"""SELECT {columns}, CASE WHEN is_valid THEN {key(file.kind)} END AS reference,
            CASE WHEN is_valid THEN {owner(file.kind)} END AS parent, {row_id_number(file)} AS number
        FROM ({records})""",
    )
    if parent is None:
        return query([step], f"{columns}, number, NULL::UINTEGER AS customer, reference")
    # An error ends the fast path: a reference to a parent must be trimmed before it can be found.
    numbered = Step(
        "numbered",
        f"""SELECT {columns}, number,
            CASE WHEN customer IS NULL AND records.parent IS NOT NULL AND ({stops_at})
                THEN error('a reference has blanks around it') ELSE customer END AS customer,
            CASE WHEN customer IS NOT NULL THEN records.reference END AS reference
        FROM records LEFT JOIN {parent.kind}_accepted AS parents ON records.parent = parents.reference""",
    )
    return query([step, numbered])


def row_id_number(file: CsvFile) -> str:
    """Return the SQL of a record's row id as a number, NULL if it has none. All other ids become the same number.

    Two of these look repeated then, which proves nothing, so that the ids are compared one by one.
    """
    return f"id_number({quoted(file.unique)})" if file.unique else "NULL::UBIGINT"


def total(connection: Connection, *, has_refused: bool) -> None:
    """Create `results` with the totals of each accepted customer.

    Its columns are customer_reference, orders, items, amount and refused_records (0 if the total is complete). Items
    that were refused for a repeated row id are included in the sums of the first reading, so they are subtracted. If
    no record of the day was refused (`has_refused`), all this is left out: planning it takes longer than a small day.
    """
    sums, refused = "items_good", "SELECT NULL::UINTEGER AS customer, 0 AS refused_records WHERE false"
    if has_refused:
        refused = refused_records_by_customer()
        sums = """(
            SELECT customer, sum(records) AS records, sum(amount) AS amount
            FROM (
                SELECT customer, records, amount FROM items_good
                UNION ALL SELECT customer, -1, -amount
                FROM orders_accepted AS orders JOIN items_refused AS items ON orders.reference = items.parent
                WHERE own_code IS NULL
            ) GROUP BY customer)"""
    connection.execute(
        f"""CREATE TABLE results AS
        SELECT customers.reference AS customer_reference, coalesce(orders, 0)::BIGINT AS orders,
            coalesce(items.records, 0)::BIGINT AS items, coalesce(amount, 0)::DECIMAL(38,4) AS amount,
            coalesce(refused_records, 0)::BIGINT AS refused_records
        FROM customers_accepted AS customers
        LEFT JOIN (SELECT customer, count(*) AS orders FROM orders_accepted GROUP BY customer) USING (customer)
        LEFT JOIN {sums} AS items USING (customer)
        LEFT JOIN ({refused}) USING (customer)"""
    )


def key(kind: RecordKind) -> str:
    """Return the column that identifies records of a kind: their own reference, or else their parent's."""
    identity = kind.identity
    return quoted(identity) if identity else owner(kind)


def owner(kind: RecordKind) -> str:
    """Return the column with the reference of a record's parent; NULL if the kind has no parent."""
    parent = kind.parent
    return quoted(parent.column) if parent else "NULL::VARCHAR"
