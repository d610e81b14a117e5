"""The reader for most files: DuckDB's own CSV reader splits them, and short checks of single cells follow.

It suits a file each of whose lines is a record and ends in the same way, LF or CRLF; nearly all files are so once they
were rewritten. DuckDB stops at a line whose number of cells differs from the header's, and skips blank lines. If it
does either (except for blank lines at the end of the file), the file is read by line instead.

DuckDB takes the same quotes for right as `Grammar`, except that it removes blanks between a quote and a delimiter. So a
file with blanks next to quotes does not suit.

Whether a record of a file with quotes has several lines, only reading can show, unless the file was rewritten. A thread
that starts in the middle of the file can't tell whether it is between quotes: two threads may read the same lines, the
one as part of a record, the other as records. But if no cell contains a line end, each record is one line; and if there
are as many records as lines, each line was read once, and the next one began outside quotes.
"""

from __future__ import annotations

import duckdb

from pipeline.model.record_kinds import Column, ColumnType
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.dialect import BLOCK
from pipeline.reading.line_reader import MAX_COLUMNS
from pipeline.reading.rules import amounts, cell_rules, has_usual_form
from pipeline.reading.sql import Step, file_literal, literal, query, quoted

NotSuitedError = (duckdb.InvalidInputException, duckdb.NotImplementedException)
"""What DuckDB raises if a file does not suit after all."""

NEEDS_TRIMMING = "as_reference(parent) <> parent"
"""Condition for a reference to a parent that is not as it is compared, which `fast_records_sql` leaves as it is."""


def suits(file: CsvFile) -> bool:
    """Return whether DuckDB's reader can split the lines of a file into cells, as far as its bytes show it."""
    profile = file.profile
    is_special = profile.has_long_lines or file.may_repeat_header or file.lines.has_refused
    if is_special or len(file.header.names) > MAX_COLUMNS:
        return False
    # With another delimiter, the decimal mark is found by reading by line, which costs as much as is saved here.
    return not profile.has_quotes or (file.header.delimiter == "," and not profile.has_padded_quotes)


def fast_records_sql(file: CsvFile) -> str:
    """Select the records of a file: the cells by name, amounts, code, is_blank (false), is_valid.

    Row ids are not trimmed (see `id_number`). References to a parent are neither trimmed (`NEEDS_TRIMMING`) nor checked
    for being empty or too long. No accepted record has such a reference, so they are found as records without a parent
    and then read again by line. A record without any reference or number raises NotSuitedError: it may be a blank line.
    """
    return query([_cells_step(file), *_cents_steps(file), _usual_step(file), _columns_step(file), _checked_step(file)])


def _cells_step(file: CsvFile) -> Step:
    """Name the cells as they are in the file; an empty cell is an empty string, not NULL.

    Unless it is known that there are none, records of several lines are left out, so that some seem to be missing.
    """
    positions = file.header.positions
    cells = ", ".join(
        f"""{f'"{positions[column.name]}"' if column in file.columns else "''"} AS {quoted(column.name)}"""
        for column in file.kind.columns
    )
    several_lines = " OR ".join(f'contains("{position}", chr(10))' for position in range(1, len(file.header.names) + 1))
    one_line = f"WHERE NOT ({several_lines})" if file.may_span_lines else ""
    return Step("cells", f"SELECT {cells} FROM {_scan(file)} {one_line}")


def _scan(file: CsvFile) -> str:
    columns = ", ".join(f"'{position}': 'VARCHAR'" for position in range(1, len(file.header.names) + 1))
    quote = '"' if file.profile.has_quotes else ""
    return f"""read_csv({file_literal(file.lines.path)}, auto_detect = false, header = false,
        skip = {file.header.skip}, columns = {{{columns}}}, delim = {literal(file.header.delimiter)},
        quote = '{quote}', escape = '{quote}', comment = '', new_line = '{file.new_line}', compression = 'none',
        nullstr = {literal(file.sentinels.bad_quoting)}, parallel = true,
        max_line_size = {4 * BLOCK}, buffer_size = {8 * BLOCK})"""


def _cents_steps(file: CsvFile) -> list[Step]:
    """Add `cents_<n>` for each column that is summed: the amount if it is written with two decimals, else NULL."""
    columns = {name: quoted(column) for name, column in file.amounts.items()}
    if file.decimal_mark != ".":
        return [Step("with_cents", "SELECT *" + "".join(f", NULL AS cents_{name}" for name in columns) + " FROM cells")]
    rounded = "".join(f", rounded({cell}) AS rounded_{name}" for name, cell in columns.items())
    cents = "".join(f", as_cents({cell}, rounded_{name}) AS cents_{name}" for name, cell in columns.items())
    return [
        Step("with_rounded", f"SELECT *{rounded} FROM cells"),
        Step("with_cents", f"SELECT *{cents} FROM with_rounded"),
    ]


def _usual_step(file: CsvFile) -> Step:
    """Add is_usual: all cells are valid and need no trimming, apart from a reference to a parent and the row id."""
    cents = {column: f"cents_{name}" for name, column in file.amounts.items()}
    forms = [has_usual_form(file, column, cents.get(column.name)) for column in file.columns if column.required]
    if not any(forms) and file.kind.parent:
        # A record of empty cells must not be taken for a usual one.
        forms.append(f"{quoted(file.kind.parent.column)} <> ''")
    forms += [has_usual_form(file, column, cents.get(column.name)) for column in file.columns if not column.required]
    return Step("with_usual", f"SELECT *, {' AND '.join(filter(None, forms)) or 'true'} AS is_usual FROM with_cents")


def _columns_step(file: CsvFile) -> Step:
    """Trim the cells of the records that are not usual, except for free text and the row id."""
    cents = "".join(f", cents_{name}" for name in file.amounts)
    columns = ", ".join(f"{_column(file, column)} AS {quoted(column.name)}" for column in file.kind.columns)
    return Step("columns", f"SELECT is_usual{cents}, {columns} FROM with_usual")


def _column(file: CsvFile, column: Column) -> str:
    text = quoted(column.name)
    if file.lines.removed:
        text = f"replace({text}, {literal(file.sentinels.newline)}, chr(10))"
    if column.type is ColumnType.TEXT:
        return text
    macro = "as_reference" if column.type is ColumnType.REFERENCE else "trimmed"
    return f"CASE WHEN is_usual THEN {text} ELSE {macro}({text}) END"


def _checked_step(file: CsvFile) -> Step:
    broken = " ".join(f"WHEN {rule.broken} THEN '{rule.code}'::error_code" for rule in cell_rules(file))
    # Free text is left out: DuckDB does not even read its cells if nothing else needs them.
    empty = " AND ".join(f"{quoted(column.name)} = ''" for column in file.columns if column.type is not ColumnType.TEXT)
    values = "".join(
        f"CASE WHEN cents_{name} IS NOT NULL THEN cents_{name}::DECIMAL(18,4) ELSE {value} END AS {name}, "
        for name, value in amounts(file).items()
    )
    return Step(
        "checked",
        f"""SELECT *, code IS NULL AS is_valid, false AS is_blank
        FROM (SELECT *, {values}CASE WHEN is_usual THEN NULL::error_code
                WHEN {empty} THEN error('a record without any reference or number') {broken} END AS code
            FROM columns)""",
    )
