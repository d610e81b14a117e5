"""The fast path for a plain file: DuckDB's own CSV reader, and short checks of single cells.

A file is plain if each line is a record and all lines end in the same way, LF or CRLF; most files are so once they were
rewritten. DuckDB's reader stops at a line whose number of cells differs from the header's, and skips blank lines. If it
does either (except for blank lines at the end of the file), the file is read by line instead.

DuckDB takes the same quotes for right as `Grammar`, except that it removes blanks between a quote and a delimiter. So a
file with blanks next to quotes is not plain.

A file with quotes is, unless it was rewritten, only plain if no record has several lines, which only reading can show.
A thread that starts in the middle of the file can't tell whether it is between quotes: two threads may read the same
lines, the one as part of a record, the other as records. But if no cell contains a line end, each record is one line;
and if there are as many records as lines, each line was read once, and the next one began outside quotes.
"""

from __future__ import annotations

import duckdb

from pipeline.model.record_kinds import Column, ColumnType
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.dialect import BLOCK
from pipeline.reading.rules import MAX_REFERENCE, rules
from pipeline.reading.sql import Step, file_literal, literal, query, quoted
from pipeline.reading.steps import amount_form

NotPlainError = (duckdb.InvalidInputException, duckdb.NotImplementedException)
"""What DuckDB raises if a file is not plain after all."""

NEEDS_TRIMMING = "trimmed(parent) <> parent"
"""Condition for a reference to a parent with blanks around it, which `plain_records_sql` does not trim."""


def plain_records_sql(file: CsvFile) -> str:
    """Select the records of a plain file: the cells by name, amounts, code, is_blank (false), is_valid.

    Row ids are not trimmed (see `id_number`). References to a parent are neither trimmed (`NEEDS_TRIMMING`) nor checked
    for being empty or too long. No accepted record has such a reference, so they are found as records without a parent
    and then read again by line.
    """
    return query([_cells_step(file), *_cents_steps(file), _clean_step(file), _columns_step(file), _judged_step(file)])


def count_plain_records(file: CsvFile) -> str:
    """Return the query for the number of records in a plain file that have one line."""
    return query([_cells_step(file)], "count(*)")


def _cells_step(file: CsvFile) -> Step:
    """Name the cells as they are in the file; an empty cell is an empty string, not NULL.

    Unless it is known that there are none, records of several lines are left out, so that some seem to be missing.
    """
    positions = file.header.positions
    cells = ", ".join(
        f'"{positions[column.name]}" AS {quoted(column.name)}'
        if column.name in positions
        else f"'' AS {quoted(column.name)}"
        for column in file.kind.columns
    )
    several_lines = " OR ".join(f'contains("{position}", chr(10))' for position in range(1, len(file.header.names) + 1))
    return Step("cells", f"SELECT {cells} FROM {_scan(file)} {f'WHERE NOT ({several_lines})' if file.unproven else ''}")


def _scan(file: CsvFile) -> str:
    columns = ", ".join(f"'{position}': 'VARCHAR'" for position in range(1, len(file.header.names) + 1))
    quote = '"' if file.has_quotes else ""
    return f"""read_csv({file_literal(file.records.path)}, auto_detect = false, header = false,
        skip = {file.header.skip}, columns = {{{columns}}}, delim = {literal(file.header.delimiter)},
        quote = '{quote}', escape = '{quote}', comment = '', new_line = '{file.new_line}', compression = 'none',
        nullstr = {literal(file.sentinels.bad_quoting)}, parallel = true,
        max_line_size = {4 * BLOCK}, buffer_size = {8 * BLOCK})"""


def _cents_steps(file: CsvFile) -> list[Step]:
    """Add `cents_<n>` for each column that is summed: the amount if it has the usual form, else NULL."""
    if file.decimal_mark != ".":
        cents = "".join(f", NULL::DECIMAL(16,2) AS cents_{name}" for name in file.amounts)
        return [Step("with_cents", f"SELECT *{cents} FROM cells")]
    rounded = "".join(f", rounded({quoted(column)}) AS rounded_{name}" for name, column in file.amounts.items())
    cents = "".join(
        f", as_cents({quoted(column)}, rounded_{name}) AS cents_{name}" for name, column in file.amounts.items()
    )
    return [
        Step("with_rounded", f"SELECT *{rounded} FROM cells"),
        Step("with_cents", f"SELECT *{cents} FROM with_rounded"),
    ]


def _clean_step(file: CsvFile) -> Step:
    """Add is_clean: all cells are valid and need no trimming, apart from a reference to a parent and the row id."""
    forms = " AND ".join(filter(None, (_clean_form(file, column) for column in file.columns)))
    return Step("with_clean", f"SELECT *, {forms or 'true'} AS is_clean FROM with_cents")


def _columns_step(file: CsvFile) -> Step:
    """Trim the cells of the records that are not clean, except for free text and the row id."""
    columns = ", ".join(
        f"{_text(file, name)} AS {name}"
        if column.type is ColumnType.TEXT
        else f"CASE WHEN is_clean THEN {_text(file, name)} ELSE trimmed({_text(file, name)}) END AS {name}"
        for column, name in ((column, quoted(column.name)) for column in file.kind.columns)
    )
    cents = "".join(f", cents_{name}" for name in file.amounts)
    return Step("columns", f"SELECT is_clean{cents}, {columns} FROM with_clean")


def _text(file: CsvFile, cell: str) -> str:
    return f"replace({cell}, {literal(file.sentinels.newline)}, chr(10))" if file.records.extra else cell


def _clean_form(file: CsvFile, column: Column) -> str | None:
    name = quoted(column.name)
    match column.type:
        case ColumnType.REFERENCE if column.name == file.kind.identity or not _is_parent(file, column):
            nothing_to_trim = "is_plain_reference" if file.has_other_blanks else "has_no_spaces_around"
            form = f"strlen({name}) <= {MAX_REFERENCE} AND {nothing_to_trim}({name})"
            newline = literal(file.sentinels.newline)
            return f"{form} AND NOT contains({name}, {newline})" if file.records.extra else form
        case ColumnType.INTEGER | ColumnType.TIMESTAMP:
            return f"is_plain_integer({name})"
        case ColumnType.AMOUNT:
            form = f"regexp_full_match({name}, '{amount_form(file)}')"
            cents = [f"cents_{amount}" for amount, summed in file.amounts.items() if summed == column.name]
            return f"CASE WHEN {cents[0]} IS NOT NULL THEN true ELSE {form} END" if cents else form
        case _:
            return None


def _is_parent(file: CsvFile, column: Column) -> bool:
    parent = file.kind.parent
    return parent is not None and parent.column == column.name


def _judged_step(file: CsvFile) -> Step:
    broken = " ".join(f"WHEN {rule.broken} THEN '{rule.code}'::error_code" for rule in rules(file) if rule.column)
    mark = literal(file.decimal_mark)
    amounts = "".join(
        f"""CASE WHEN cents_{name} IS NOT NULL THEN cents_{name}::DECIMAL(18,4)
            WHEN is_amount({quoted(column)}, {mark}) THEN as_amount({quoted(column)}, {mark}) END AS {name}, """
        for name, column in file.amounts.items()
    )
    return Step(
        "judged",
        f"""SELECT *, code IS NULL AS is_valid, false AS is_blank
        FROM (SELECT *, {amounts}CASE WHEN is_clean THEN NULL::error_code {broken} END AS code FROM columns)""",
    )
