"""The second reading: find the refused records among the candidates, and the reason for each.

The first reading shows which references and row ids are repeated, and whether parents are missing. If there are any, or
if records break a rule by themselves, the file is read again, in order and with line numbers. The records concerned are
the candidates; the rules between records then decide which of them are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.joining.control_totals import key, owner
from pipeline.joining.rules_between_records import JUDGED_COLUMNS, judged_candidates
from pipeline.joining.sentences import with_reasons
from pipeline.model.error_codes import ErrorCode
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.rules import MAX_REFERENCE, has_all_cells
from pipeline.reading.sql import Step, ask, in_order, literal, query, quoted
from pipeline.reading.steps import (
    broken_column,
    first_record,
    joined_records,
    numbered_lines,
    read_numbers,
    records_sql,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused record, with the fields of its error message."""

    line: int
    code: str
    reason: str
    customer_reference: str | None
    order_reference: str | None


def judge(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> int:
    """Find the refused records of a file and return their number.

    Each file is judged before the next one is read. Creates `<kind>_refused` and, for kinds with an identity,
    `<kind>_accepted` (reference, customer) with one row per reference.
    """
    kind = file.kind
    signs = _find_signs(connection, file)
    conditions = _candidate_conditions(connection, file, signs)
    if not conditions and not signs["errors"]:
        create_judged(connection, kind)
        if kind.identity:
            connection.execute(f"CREATE VIEW {kind}_accepted AS FROM {kind}_good")
        return 0
    collect_candidates(connection, file, conditions)
    connection.execute(f"CREATE TABLE {kind}_judged AS {judged_candidates(kind, file.unique)}")
    connection.execute(f"DROP TABLE {kind}_candidates")
    if kind.identity:
        connection.execute(f"CREATE TABLE {kind}_accepted AS {_accepted(kind)}")
    _create_refused(connection, kind)
    row = connection.execute(f"SELECT count(*) FROM {kind}_refused").fetchone()
    return row[0] if row else 0


def create_judged(connection: duckdb.DuckDBPyConnection, kind: RecordKind) -> None:
    """Create an empty `<kind>_judged`, to be filled with records that were judged elsewhere, and `<kind>_refused`."""
    columns = ", ".join(f"{name} {type_name}" for name, type_name in JUDGED_COLUMNS.items())
    connection.execute(f"CREATE TABLE {kind}_judged ({columns})")
    _create_refused(connection, kind)


def _create_refused(connection: duckdb.DuckDBPyConnection, kind: RecordKind) -> None:
    connection.execute(f"CREATE VIEW {kind}_refused AS FROM {kind}_judged WHERE code IS NOT NULL")


def refused_by_code(connection: duckdb.DuckDBPyConnection, kind: RecordKind) -> dict[str, int]:
    """Count the refused records of a file by code."""
    return dict(connection.execute(f"SELECT code, count(*) FROM {kind}_refused GROUP BY code ORDER BY code").fetchall())


def write_rejects(connection: duckdb.DuckDBPyConnection, file: CsvFile, target: Path) -> None:
    """Write all refused records of the file as CSV, each as it was read, with its line, code and reason.

    An apostrophe is put before a record that a spreadsheet would interpret as a formula.
    """
    connection.execute(
        f"""COPY (SELECT line_number AS line, code, reason, no_formula({_as_read(file)}) AS record
            FROM ({with_reasons(file, f"{file.kind}_refused")}) ORDER BY line_number)
        TO {literal(str(target))} (FORMAT csv, HEADER true)"""
    )


def refusals(connection: duckdb.DuckDBPyConnection, file: CsvFile, limit: int) -> Iterator[Refusal]:
    """Yield the first refused records of a file, by line."""
    return _with_reasons(connection, file, f"(FROM {file.kind}_refused ORDER BY line_number LIMIT {limit})")


def first_refusals(connection: duckdb.DuckDBPyConnection, file: CsvFile, limit: int) -> Iterator[Refusal]:
    """Yield the first refused records of each code of a file, by line."""
    occurrence = "row_number() OVER (PARTITION BY code ORDER BY line_number)"
    return _with_reasons(connection, file, f"(FROM {file.kind}_refused QUALIFY {occurrence} <= {limit})")


def _with_reasons(connection: duckdb.DuckDBPyConnection, file: CsvFile, refused: str) -> Iterator[Refusal]:
    rows = connection.execute(
        f"""SELECT line_number, code, reason, customer_reference, order_reference
        FROM ({with_reasons(file, refused)}) ORDER BY line_number"""
    )
    while batch := rows.fetchmany(1000):
        for row in batch:
            yield Refusal(*row)


def _find_signs(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> dict[str, bool]:
    """Return what the first reading shows: whether there are errors, orphans, repeated references or repeated row ids.

    Row ids count as repeated unless they are known to be distinct numbers, as they usually are.
    """
    kind = file.kind
    of_kind = f"FROM control_totals WHERE kind = '{kind}'"
    good = f"{of_kind} AND code IS NULL AND NOT is_blank"
    signs = {
        "errors": f"EXISTS ({of_kind} AND code IS NOT NULL)",
        "orphans": f"""(SELECT sum(records) {good}) IS DISTINCT FROM
            (SELECT sum(records) FROM {kind}_good WHERE customer IS NOT NULL)""",
        "references": f"EXISTS (FROM {kind}_repeated)",
        "row_ids": f"(SELECT coalesce(sum(row_ids), 0) > coalesce(sum(distinct_numbers), 0) {good})",
    }
    if not kind.parent:
        del signs["orphans"]
    if not kind.identity:
        del signs["references"]
    row = connection.execute(f"SELECT {', '.join(signs.values())}").fetchone()
    return dict(zip(signs, row or (), strict=True))


def _candidate_conditions(connection: duckdb.DuckDBPyConnection, file: CsvFile, signs: Mapping[str, bool]) -> list[str]:
    """Return the SQL conditions that make a good record a candidate: it is repeated or has no accepted parent.

    A condition is included only if some record meets it. If there is none, and no error, the second reading is not
    needed.
    """
    kind, parent = file.kind, file.kind.parent
    found = []
    if signs["row_ids"]:
        unique = quoted(str(file.unique))
        connection.execute(
            f"""CREATE TABLE {kind}_repeated_ids AS
            SELECT {unique} AS id FROM ({records_sql(file)}) WHERE is_valid AND {unique} <> ''
            GROUP BY {unique} HAVING count(*) > 1"""
        )
        if ask(connection, f"SELECT EXISTS (FROM {kind}_repeated_ids)"):
            found.append(f"{unique} IN (SELECT id FROM {kind}_repeated_ids)")
    if signs.get("references"):
        found.append(f"{key(kind)} IN (SELECT reference FROM {kind}_repeated)")
    if parent and signs["orphans"]:
        found.append(f"{owner(kind)} NOT IN (SELECT reference FROM {parent.kind}_accepted)")
    return found


def collect_candidates(connection: duckdb.DuckDBPyConnection, file: CsvFile, conditions: list[str]) -> None:
    """Read the file in order and store the records that break a rule by themselves or meet one of the conditions."""
    kind = file.kind
    row_id = quoted(file.unique) if file.unique else "''"
    value = " ".join(f"WHEN {literal(column.name)} THEN {quoted(column.name)}" for column in file.columns)
    amount = "amount_1" if file.amounts else "NULL::DECIMAL(18,4)"
    lines = _select_lines(connection, file, conditions)
    is_candidate = f"code IS NOT NULL OR (is_valid AND ({' OR '.join(conditions) or 'false'}))"
    columns = f"""line_number, line, cell_count, {row_id} AS id, {key(kind)} AS reference, {owner(kind)} AS parent,
        {amount} AS amount, {_shown_reference(file, "customer_reference")}, {_shown_reference(file, "order_reference")},
        code::VARCHAR AS code, column_name, CASE column_name {value} END AS value, quotes"""
    steps = [
        Step("records", records_sql(file, lines)),
        Step("found", f"SELECT *, {broken_column(file)} AS column_name FROM records WHERE {is_candidate}"),
        _located(file, "found"),
    ]
    if file.records.extra:
        with in_order(connection):
            connection.execute(f"CREATE TABLE {kind}_joined AS {joined_records(file)}")
    connection.execute(f"CREATE TABLE {kind}_candidates AS {query(steps, columns)}")
    for table in ("candidate_lines", "joined"):
        connection.execute(f"DROP TABLE IF EXISTS {kind}_{table}")


def _select_lines(connection: duckdb.DuckDBPyConnection, file: CsvFile, conditions: list[str]) -> str:
    """Create `<kind>_candidate_lines`, and return the relation (record, line) of the lines to be checked in detail.

    Without conditions, all threads read: the table has a row for every line, in the order of the file, with its text if
    it is not clean. A condition joins, which does not keep the order, so the lines are numbered before, in one thread.
    Source: https://duckdb.org/docs/2.0/sql/dialect/order_preservation.html
    """
    table = f"{file.kind}_candidate_lines"
    if conditions:
        selected = f"""SELECT record, line FROM ({records_sql(file, numbered_lines(file))})
            WHERE {" OR ".join(["NOT is_clean", *conditions])}"""
    else:
        selected = f"SELECT CASE WHEN NOT is_clean THEN line END AS line FROM ({records_sql(file)})"
    with in_order(connection):
        connection.execute(f"CREATE TABLE {table} AS {selected}")
    if conditions:
        return table
    return f"(SELECT rowid + {first_record(file)} AS record, line FROM {table} WHERE line IS NOT NULL)"


def _located(file: CsvFile, records: str) -> Step:
    """Add the line number of each record, and a note to lines of a record of several lines with wrong quotes."""
    line_number, quotes, joins = "record", "NULL::VARCHAR", ""
    if file.records.extra:
        line_number = f"record + coalesce(extra, {file.records.extra_before})"
        joins = f"ASOF LEFT JOIN {file.kind}_joined ON record > joined"
    if file.records.quotes:
        quotes = f"""CASE WHEN record = opened
                THEN '; the quote that opens cell ' || cell || ' is still open at the end of this line, so all lines '
                    || 'up to line ' || {line_number} + last - opened || ' are refused'
            WHEN record <= last
                THEN '; this line is refused with line ' || {line_number} + opened - record
                    || ', where the quote is open'
            END"""
        joins += f" ASOF LEFT JOIN {read_numbers(file.records.quotes, 'opened', 'last', 'cell')} ON record >= opened"
    return Step(
        "located", f"SELECT {records}.*, {line_number} AS line_number, {quotes} AS quotes FROM {records} {joins}"
    )


def _shown_reference(file: CsvFile, name: str) -> str:
    """Return the SQL of a reference for the error message; NULL if the record has none or it is too long."""
    if name not in file.header.positions:
        return f"NULL::VARCHAR AS {name}"
    return f"""CASE WHEN {has_all_cells()} AND {name} <> '' AND strlen({name}) <= {MAX_REFERENCE}
        THEN {name} END AS {name}"""


def _accepted(kind: RecordKind) -> str:
    """Return the SQL of the accepted records: all that were not candidates, and the candidates that were not refused.

    Of several records with the same reference, only the first that breaks no other rule is accepted.
    """
    parent = kind.parent
    stands = f"SELECT reference, parent FROM {kind}_judged WHERE code IS NULL"
    numbered = (
        f"""SELECT judged.reference, customer FROM {parent.kind}_accepted AS parents
            JOIN ({stands}) AS judged ON judged.parent = parents.reference"""
        if parent
        else f"""SELECT reference, min(customer) FROM {kind}_good SEMI JOIN ({stands}) USING (reference)
            GROUP BY reference"""
    )
    # Candidates without an accepted parent are not in `<kind>_good`.
    repeated = f"'{ErrorCode.DUPLICATE_ID}', '{ErrorCode.DUPLICATE_REFERENCE}'"
    return f"""SELECT reference, customer FROM {kind}_good
        WHERE reference NOT IN (SELECT reference FROM {kind}_judged
            WHERE own_code IS NULL AND (code IS NULL OR code IN ({repeated})))
        UNION ALL {numbered}"""


def _as_read(file: CsvFile) -> str:
    """Return the SQL of the record as it was read, without the sentinels."""
    prefixes = " OR ".join(f"starts_with(line, {literal(prefix)})" for prefix in file.sentinels.prefixes())
    record = f"CASE WHEN {prefixes} THEN line[2:] ELSE line END"
    return f"replace({record}, {literal(file.sentinels.newline)}, chr(10))" if file.records.extra else record
