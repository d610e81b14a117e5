"""The candidates of a file: the records that break a rule, or meet some condition, with line number and text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from pipeline.model.error_codes import ErrorCode
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.decimal_marks import shows_grouping
from pipeline.reading.grammar import Grammar
from pipeline.reading.line_reader import first_record, numbered_lines, read_numbers, records_sql, removed_line_ends
from pipeline.reading.rules import has_all_cells, rules
from pipeline.reading.sql import Step, in_order, literal, query, quoted

_SPLIT_BYTES = 100_000
"""Longest line whose quoted cells are split where their number is wrong."""


def create_candidates(
    connection: duckdb.DuckDBPyConnection, file: CsvFile, conditions: Sequence[str], columns: Mapping[str, str]
) -> None:
    """Create `<kind>_candidates`: the records that break a rule by themselves or meet one of the SQL conditions.

    The conditions are on the valid records of `records_sql`. `columns` are the columns of the table: SQL on the columns
    of `records_sql` and on:

    line_number, column_name, value
        The column that the error concerns and its cell, NULL if it concerns the whole record.
    quotes, opening_line
        For a line of a record of several lines that is refused for its quotes, the end of the sentence about it, and
        the line where the record begins.
    reference, parent, reference_right, parent_right
        The references that the record gives itself and names, NULL if it has none. Where its cells can't be
        assigned to columns, the texts at the columns' places, counted from the left and from the right.
    cells
        A text of all cells that are read.
    extra_records
        1 where a line whose cells can't be assigned has about as many cells as two records, else 0.
    shows_grouping
        Whether a cell of an amount shows that the file's decimal mark groups thousands.
    """
    kind = file.kind
    lines = _select_lines(connection, file, conditions)
    cells = " ".join(f"WHEN {literal(column.name)} THEN {quoted(column.name)}" for column in file.columns)
    is_candidate = f"code IS NOT NULL OR (is_valid AND ({' OR '.join(conditions) or 'false'}))"
    steps = [
        Step("records", records_sql(file, lines)),
        Step("found", f"SELECT *, {_broken_column(file)} AS column_name FROM records WHERE {is_candidate}"),
        Step(
            "with_value",
            f"SELECT *, CASE column_name {cells} END AS value, {shows_grouping(file)} AS shows_grouping FROM found",
        ),
        _located(file, "with_value"),
        *_with_references(file, "located"),
    ]
    if file.lines.removed:
        with in_order(connection):
            connection.execute(f"CREATE TABLE {kind}_joined AS {removed_line_ends(file)}")
    selected = ", ".join(f"{value} AS {name}" for name, value in columns.items())
    connection.execute(f"CREATE TABLE {kind}_candidates AS {query(steps, selected)}")
    for table in ("candidate_lines", "joined"):
        connection.execute(f"DROP TABLE IF EXISTS {kind}_{table}")


def text_as_read(file: CsvFile) -> str:
    """Return the SQL of a record's `line` as it was in the file, without the sentinels."""
    prefixes = " OR ".join(f"starts_with(line, {literal(prefix)})" for prefix in file.sentinels.prefixes())
    record = f"CASE WHEN {prefixes} THEN line[2:] ELSE line END"
    return f"replace({record}, {literal(file.sentinels.newline)}, chr(10))" if file.lines.removed else record


def _select_lines(connection: duckdb.DuckDBPyConnection, file: CsvFile, conditions: Sequence[str]) -> str:
    """Create `<kind>_candidate_lines`, and return the relation (record, line) of the lines to be checked in detail.

    Without conditions, all threads read: the table has a row for every line, in the order of the file, with its text if
    it is not usual. A condition joins, which does not keep the order, so the lines are numbered before, in one thread.
    Source: https://duckdb.org/docs/2.0/sql/dialect/order_preservation.html
    """
    table = f"{file.kind}_candidate_lines"
    if conditions:
        selected = f"""SELECT record, line FROM ({records_sql(file, numbered_lines(file))})
            WHERE {" OR ".join(["NOT is_usual", *conditions])}"""
    else:
        selected = f"SELECT CASE WHEN NOT is_usual THEN line END AS line FROM ({records_sql(file)})"
    with in_order(connection):
        connection.execute(f"CREATE TABLE {table} AS {selected}")
    if conditions:
        return table
    return f"(SELECT rowid + {first_record(file)} AS record, line FROM {table} WHERE line IS NOT NULL)"


def _broken_column(file: CsvFile) -> str:
    """Return the SQL of the name of the column that an error concerns; NULL if it concerns the whole record."""
    found = rules(file)
    codes = [rule.code for rule in found]
    cases = [
        # Several columns can have a rule with the same code: then the condition finds the first that is broken.
        f"WHEN code = '{rule.code}'::error_code {f'AND {rule.broken}' if codes.count(rule.code) > 1 else ''} "
        f"THEN {literal(rule.column)}"
        for rule in found
        if rule.column
    ]
    return f"CASE {' '.join(cases)} END" if cases else "NULL::VARCHAR"


def _located(file: CsvFile, records: str) -> Step:
    """Add the line number of each record, and a note to lines of a record of several lines with wrong quotes."""
    line_number, quotes, opening, joins = "record", "NULL::VARCHAR", "NULL::BIGINT", ""
    if file.lines.removed:
        line_number = f"record + coalesce(removed, {file.lines.removed_before})"
        joins = f"ASOF LEFT JOIN {file.kind}_joined ON record > joined"
    if file.lines.quote_errors_csv:
        quotes = f"""CASE WHEN record = opened
                THEN '; the quote that opens cell ' || cell || ' is still open at the end of this line, so all lines '
                    || 'up to line ' || {line_number} + last - opened || ' are refused'
            WHEN record <= last
                THEN '; this line is refused with line ' || {line_number} + opened - record
                    || ', where the quote is open'
            END"""
        opening = f"CASE WHEN record <= last THEN {line_number} + opened - record END"
        joins += (
            f" ASOF LEFT JOIN {read_numbers(file.lines.quote_errors_csv, 'opened', 'last', 'cell')} ON record >= opened"
        )
    return Step(
        "located",
        f"""SELECT {records}.*, {line_number} AS line_number, {quotes} AS quotes, {opening} AS opening_line
        FROM {records} {joins}""",
    )


def _with_references(file: CsvFile, records: str) -> list[Step]:
    """Add the references of each record, and what tells exact repetitions and two records on one line.

    One step builds on another, as DuckDB repeats the arguments of a macro as often as the macro names them.
    """
    delimiter, names = literal(file.header.delimiter), len(file.header.names)
    columns = {"reference": file.kind.identity, "parent": file.kind.parent and file.kind.parent.column}
    places: dict[str, str] = {}
    for name, column in columns.items():
        position = file.header.positions[column] if column else 0
        own = quoted(column) if column else "NULL::VARCHAR"
        places |= {name: _at_place(file, position, own)}
        places |= {f"{name}_right": _at_place(file, position - names - 1 if column else 0, "NULL::VARCHAR")}
    is_header = f"code = '{ErrorCode.REPEATED_HEADER}'"
    each = ", ".join(
        f"CASE WHEN {is_header} THEN NULL::VARCHAR ELSE {place} END AS {name}" for name, place in places.items()
    )
    trimmed = ", ".join(f"CASE WHEN has_all_cells THEN {name} ELSE trimmed({name}) END AS {name}" for name in places)
    given = ", ".join(f"nullif({name}, '') AS {name}" for name in places)
    cells = ", ".join(quoted(column.name) for column in file.columns)
    count = f"CASE WHEN code = '{ErrorCode.WRONG_CELL_COUNT}' THEN cell_count ELSE count_of(text, {delimiter}) + 1 END"
    count += f" - (strlen(text) - strlen(rtrim(text, {delimiter})))"
    return [
        Step("with_text", f"SELECT *, {text_as_read(file)} AS text, {has_all_cells()} AS has_all_cells FROM {records}"),
        Step(
            "with_places",
            f"""SELECT * EXCLUDE (text), {each}, concat_ws(chr(31), {cells}) AS cells,
                CASE WHEN has_all_cells OR {is_header} OR {count} < {2 * names - 1} THEN 0 ELSE 1 END AS extra_records
            FROM with_text""",
        ),
        Step("with_trimmed", f"SELECT * REPLACE ({trimmed}) FROM with_places"),
        Step("with_given", f"SELECT * REPLACE ({given}) FROM with_trimmed"),
        Step(
            "with_references",
            "SELECT * REPLACE (coalesce(reference, reference_right) AS reference) FROM with_given",
        ),
    ]


def _at_place(file: CsvFile, position: int, own: str) -> str:
    """Return the SQL of the text at a place of `text`, without quotes; `own` if the record has all cells."""
    if position == 0:
        return "NULL::VARCHAR"
    delimiter = literal(file.header.delimiter)
    at_place = f"trim(split_part(text, {delimiter}, {position}), ' \"')"
    if file.profile.has_quotes:
        # Delimiters in quoted cells do not count. Only such lines are split into lists, which take much memory.
        cell = literal(Grammar(file.header.delimiter).cell_before_delimiter)
        has_right_quotes = f"code = '{ErrorCode.WRONG_CELL_COUNT}' AND strlen(text) < {_SPLIT_BYTES}"
        at_place = f"""CASE WHEN {has_right_quotes} AND contains(text, '"')
            THEN unquoted(regexp_extract_all(text || {delimiter}, {cell}, 1)[{position}]) ELSE {at_place} END"""
    return f"CASE WHEN has_all_cells THEN {own} ELSE {at_place} END"
