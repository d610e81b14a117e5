"""The second pass over a file: the candidates are the records that break a rule or may break one between records.

The file is read in order and with line numbers. `steps.judged` then decides which candidates are refused, and each
refused record gets the sentence of its error code.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb

from pipeline.joining.engine import Refusal
from pipeline.joining.first_pass import parent_sql
from pipeline.joining.sentences import with_reasons
from pipeline.joining.steps import candidate_columns, carried
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.rules import MAX_REFERENCE, has_all_cells
from pipeline.reading.sql import Step, in_order, literal, query, quoted
from pipeline.reading.steps import (
    broken_column,
    first_record,
    joined_records,
    numbered_lines,
    read_numbers,
    records_sql,
)


def collect_candidates(connection: duckdb.DuckDBPyConnection, file: CsvFile, conditions: list[str]) -> None:
    """Create `<kind>_candidates`: the records that break a rule by themselves or meet one of the conditions."""
    kind = file.kind
    cells = " ".join(f"WHEN {literal(column.name)} THEN {quoted(column.name)}" for column in file.columns)
    lines = _select_lines(connection, file, conditions)
    is_candidate = f"code IS NOT NULL OR (is_valid AND ({' OR '.join(conditions) or 'false'}))"
    values = {name: name for name in candidate_columns(kind)} | {
        "id": quoted(file.unique) if file.unique else "''",
        "reference": _shown(quoted(kind.identity)) if kind.identity else "NULL::VARCHAR",
        "parent": _shown(parent_sql(kind)),
        "code": "code::VARCHAR",
        "value": f"CASE column_name {cells} END",
        **{name: quoted(column) for name, column in carried(kind).items()},
    }
    steps = [
        Step("records", records_sql(file, lines)),
        Step("found", f"SELECT *, {broken_column(file)} AS column_name FROM records WHERE {is_candidate}"),
        _located(file, "found"),
    ]
    if file.records.extra:
        with in_order(connection):
            connection.execute(f"CREATE TABLE {kind}_joined AS {joined_records(file)}")
    columns = ", ".join(f"{value} AS {name}" for name, value in values.items())
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


def _shown(reference: str) -> str:
    """Return the SQL of a reference; NULL if the record has none or it is too long."""
    return f"""CASE WHEN {has_all_cells()} AND {reference} <> '' AND strlen({reference}) <= {MAX_REFERENCE}
        THEN {reference} END"""


def refusals(connection: duckdb.DuckDBPyConnection, file: CsvFile, limit: int) -> Iterator[Refusal]:
    """Yield the first refused records of a file, by line."""
    return _with_reasons(connection, file, f"(FROM {file.kind}_refused ORDER BY line_number LIMIT {limit})")


def first_refusals(connection: duckdb.DuckDBPyConnection, file: CsvFile, limit: int) -> Iterator[Refusal]:
    """Yield the first refused records of each code of a file, by line."""
    occurrence = "row_number() OVER (PARTITION BY code ORDER BY line_number)"
    return _with_reasons(connection, file, f"(FROM {file.kind}_refused QUALIFY {occurrence} <= {limit})")


def _with_reasons(connection: duckdb.DuckDBPyConnection, file: CsvFile, refused: str) -> Iterator[Refusal]:
    names = reference_columns(file)
    rows = connection.execute(
        f"""SELECT {", ".join(["line_number", "code", "reason", *names])}
        FROM ({with_reasons(file, refused)}) ORDER BY line_number"""
    )
    while batch := rows.fetchmany(1000):
        for line, code, reason, *references in batch:
            yield Refusal(line, code, reason, dict(zip(names.values(), references, strict=True)))


def reference_columns(file: CsvFile) -> dict[str, str]:
    """Return the columns of refused records with references, and the identity of the kind that each refers to."""
    columns = {"reference": file.kind.identity}
    if file.kind.parent:
        columns["parent"] = file.kind.parent.kind.identity
    return {name: identity for name, identity in columns.items() if identity}


def write_rejects(connection: duckdb.DuckDBPyConnection, file: CsvFile, target: Path) -> None:
    """Write all refused records of the file as CSV, each as it was read, with its line, code and reason.

    An apostrophe is put before a record that a spreadsheet would interpret as a formula.
    """
    connection.execute(
        f"""COPY (SELECT line_number AS line, code, reason, no_formula({_as_read(file)}) AS record
            FROM ({with_reasons(file, f"{file.kind}_refused")}) ORDER BY line_number)
        TO {literal(str(target))} (FORMAT csv, HEADER true)"""
    )


def _as_read(file: CsvFile) -> str:
    """Return the SQL of the record as it was read, without the sentinels."""
    prefixes = " OR ".join(f"starts_with(line, {literal(prefix)})" for prefix in file.sentinels.prefixes())
    record = f"CASE WHEN {prefixes} THEN line[2:] ELSE line END"
    return f"replace({record}, {literal(file.sentinels.newline)}, chr(10))" if file.records.extra else record
