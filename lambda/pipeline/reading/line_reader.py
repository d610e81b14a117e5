"""The reader for any file: DuckDB reads whole lines, one record each, and SQL splits and checks them.

Its steps are lines → cells → columns → checked. So a record's number follows from its line, its text is available when
it is refused, and nothing depends on how a CSV reader recovers from a bad record.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.model.record_kinds import Column, ColumnType
from pipeline.model.text import INVISIBLE_PATTERN
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.dialect import BLOCK
from pipeline.reading.grammar import Grammar
from pipeline.reading.rules import MAX_REFERENCE, amounts, escaped, rules, usual_form
from pipeline.reading.sql import Step, file_literal, literal, query, quoted

MAX_COLUMNS = 200
"""Columns up to which a regular expression describes a usual record; with more it would be too large."""


def records_sql(file: CsvFile, lines: str | None = None) -> str:
    """Select the records of a file: line, the cells by name, cell_count, amounts, code, is_blank, is_valid, is_usual.

    Each column of the model has a cell; that of an optional column which the file lacks is empty. The columns that are
    summed have a DECIMAL(18,4) each (`CsvFile.amounts`), which is NULL if the cell is no valid amount. A usual record
    is valid and needs no trimming, which one regular expression shows.

    `lines` is a relation of (record, line) to read instead of all lines of the file; then `record` is kept.
    """
    return query([_lines_step(file, lines), _cells_step(file), _columns_step(file), _checked_step(file)])


def numbered_lines(file: CsvFile) -> str:
    """Select (record, line): the lines with their numbers. Requires `preserve_insertion_order`, so one thread."""
    return f"(SELECT row_number() OVER () - 1 + {first_record(file)} AS record, line FROM {scan(file)})"


def removed_line_ends(file: CsvFile) -> str:
    """Select (joined, removed): the records of several lines, and the line ends that were removed up to and with each.

    Requires `preserve_insertion_order`.
    """
    newline = literal(file.sentinels.newline)
    removed = f"""SELECT record, count_of(line, {newline}) AS removed
        FROM {numbered_lines(file)} WHERE contains(line, {newline})"""
    if file.lines.truncated_csv:
        truncated = read_numbers(file.lines.truncated_csv, "record", "removed")
        removed += f" UNION ALL SELECT record, removed FROM {truncated} WHERE record > {file.header.skip}"
    so_far = f"{file.lines.removed_before} + sum(removed) OVER (ORDER BY record)"
    return f"SELECT record AS joined, ({so_far})::BIGINT AS removed FROM ({removed})"


def read_numbers(path: Path, *columns: str) -> str:
    """Read a CSV file of whole numbers without a header."""
    types = ", ".join(f"'{column}': 'BIGINT'" for column in columns)
    return f"read_csv({file_literal(path)}, auto_detect = false, header = false, columns = {{{types}}})"


def first_record(file: CsvFile) -> int:
    """Return the number of the first record after the header."""
    return file.lines.before + file.header.skip + 1


def has_broken_quotes(file: CsvFile) -> str:
    """Return the query whether any line with quotes is not a complete record."""
    record = literal(Grammar(file.header.delimiter).record)
    return f"""SELECT EXISTS (SELECT 1 FROM {scan(file)}
        WHERE contains(line, '"') AND NOT regexp_full_match(line, {record}))"""


def scan(file: CsvFile) -> str:
    """Read whole lines: quote, escape and comment are disabled, and the delimiter does not occur in the file."""
    # By default the buffer is 16 times the longest line, which is more than reading by line needs.
    return f"""read_csv({file_literal(file.lines.path)}, auto_detect = false, header = false,
        skip = {file.header.skip}, columns = {{'line': 'VARCHAR'}}, delim = {literal(file.sentinels.cell)},
        quote = '', escape = '', comment = '', new_line = '{file.new_line}', compression = 'none',
        max_line_size = {4 * BLOCK}, buffer_size = {8 * BLOCK})"""


def _lines_step(file: CsvFile, lines: str | None) -> Step:
    """Return (record, line): each line is one record. `record` is NULL unless `lines` has it."""
    return Step("lines", f"SELECT record, line FROM {lines or f'(SELECT NULL AS record, line FROM {scan(file)})'}")


def _cells_step(file: CsvFile) -> Step:
    """Return (record, line, is_usual, cell_count, cells); cells keep their quotes unless the record is usual."""
    delimiter = literal(file.header.delimiter)
    cells, delimiters = f"string_split(line, {delimiter})", "line"
    if file.profile.has_quotes:
        grammar = Grammar(file.header.delimiter)
        cells = f"""CASE WHEN NOT contains(line, '"') THEN {cells}
            WHEN is_usual THEN string_split(replace(line, '"', ''), {delimiter})
            ELSE regexp_extract_all(line || {delimiter}, {literal(grammar.cell_before_delimiter)}, 1) END"""
        quoted_cell = literal(f"(^|{escaped(file.header.delimiter)}){grammar.quoted}")
        delimiters = f"regexp_replace(line, {quoted_cell}, '\\1', 'g')"
    names = len(file.header.names)
    # A line with too many cells is not split: a list of a million cells takes a hundred times the memory of its line.
    return Step(
        "cells",
        f"""SELECT *, CASE WHEN cell_count <= {names} THEN {cells} END AS cells
        FROM (SELECT *, CASE WHEN is_usual THEN {names} ELSE count_of({delimiters}, {delimiter}) + 1 END AS cell_count
            FROM (SELECT *, {_is_usual(file)} AS is_usual FROM lines))""",
    )


def _columns_step(file: CsvFile) -> Step:
    """Return (record, line, is_usual, cell_count, the cells by name), without quotes; all but free text is trimmed.

    If there may be a second header, is_header is added.
    """
    # CASE evaluates ELSE only for the rows that need it, so usual records cost nothing more.
    columns = ", ".join(f"{_column(file, column)} AS {quoted(column.name)}" for column in file.kind.columns)
    if file.may_repeat_header:
        columns += f", {_is_header(file)} AS is_header"
    return Step("columns", f"SELECT record, line, is_usual, cell_count, {columns} FROM cells")


def _checked_step(file: CsvFile) -> Step:
    """Add the amounts (NULL if not valid), code (of the first broken rule), is_blank and is_valid.

    A record with a wrong number of cells has no amounts, as it is unknown which cell belongs to which column.
    """
    broken = " ".join(f"WHEN {rule.broken} THEN '{rule.code}'::error_code" for rule in rules(file))
    has_all_cells = f"cell_count = {len(file.header.names)}"
    values = "".join(f"{value} AS {name}, " for name, value in amounts(file, has_all_cells).items())
    return Step(
        "checked",
        f"""SELECT *, code IS NULL AND NOT is_blank AS is_valid
        FROM (SELECT *, {values}CASE WHEN is_usual OR is_blank THEN NULL {broken} END AS code
            FROM (SELECT *, CASE WHEN is_usual THEN false ELSE {_is_blank(file)} END AS is_blank FROM columns))""",
    )


def _is_blank(file: CsvFile) -> str:
    """Return the SQL condition that a line is no record, as all its cells, however many, are empty."""
    d, blank = escaped(file.header.delimiter), f"[{INVISIBLE_PATTERN}]*"
    cell = f'(?:{blank}|"{blank}")' if file.profile.has_quotes else blank
    prefixes = "".join(f" AND NOT starts_with(line, {literal(prefix)})" for prefix in file.sentinels.prefixes())
    is_blank = f"regexp_full_match(line, {literal(f'{cell}(?:{d}{cell})*')}){prefixes}"
    # Lines that begin with a letter or a digit need no pattern.
    begins_with_word = "line >= '0' AND line < '{' AND NOT (line >= ':' AND line < 'A')"
    return f"CASE WHEN {begins_with_word} THEN false WHEN line IS NULL THEN true ELSE {is_blank} END"


def _is_usual(file: CsvFile) -> str:
    if len(file.header.names) > MAX_COLUMNS:
        return "false"
    columns = {file.header.positions[column.name]: column for column in file.columns}
    forms = [usual_form(file, columns.get(place, Column(""))) for place in range(1, len(file.header.names) + 1)]
    if file.profile.has_quotes:
        forms = [f'(?:{form}|"{form}")' for form in forms]
    form = literal(escaped(file.header.delimiter).join(forms))
    is_usual = f"strlen(line) <= {MAX_REFERENCE} AND regexp_full_match(line, {form})"
    if file.may_repeat_header:
        is_usual += f" AND NOT contains(lower(line), {_longest_name(file)})"
    return f"coalesce({is_usual}, false)"


def _is_header(file: CsvFile) -> str:
    """Return the SQL condition that a record repeats the header."""
    names = ", ".join(literal(name) for name in file.header.names)
    cells = f"list_transform(cells, lambda cell: as_column_name({_unquoted(file, 'cell')}))"
    return f"""CASE WHEN NOT is_usual AND cell_count = {len(file.header.names)}
        AND contains(lower(line), {_longest_name(file)}) THEN {cells} = [{names}] ELSE false END"""


def _longest_name(file: CsvFile) -> str:
    """Return the longest name of a required column: a repeated header has it, and hardly any record."""
    return literal(max((column.name for column in file.kind.required), key=len))


def _column(file: CsvFile, column: Column) -> str:
    if column not in file.columns:
        return "''"
    cell = f"cells[{file.header.positions[column.name]}]"
    text = _unquoted(file, cell)
    if column.type is ColumnType.REFERENCE:
        text = f"as_reference({text})"
    elif column.type is not ColumnType.TEXT or column.unique:
        text = f"trimmed({text})"
    return f"CASE WHEN is_usual THEN {cell} ELSE {text} END"


def _unquoted(file: CsvFile, cell: str) -> str:
    text = f"unquoted({cell})" if file.profile.has_quotes else cell
    return f"replace({text}, {literal(file.sentinels.newline)}, chr(10))" if file.lines.removed else text
