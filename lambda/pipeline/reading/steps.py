"""The SQL of a file's records, step by step: lines → cells → columns → judged.

DuckDB reads whole lines, one record each. The steps split them into cells and check the cells against the model. So a
record's number follows from its line, its text is available when it is refused, and nothing depends on how a CSV reader
recovers from a bad record.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.model.record_kinds import Column, ColumnType
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.dialect import BLOCK, header_name
from pipeline.reading.grammar import Grammar
from pipeline.reading.normalize import MAX_RECORD
from pipeline.reading.rules import MAX_REFERENCE, has_all_cells, rules
from pipeline.reading.sql import Step, file_literal, literal, query, quoted

_WORD = "[0-9A-Za-z]"
MAX_COLUMNS = 200
"""Columns up to which a regular expression describes a clean record; with more it would be too large."""
_NOTHING = r"[^\x00-\x{10FFFF}]"
PLAIN_REFERENCE = f"{_WORD}(?:[-_.:/ 0-9A-Za-z]*{_WORD})?"
SHORT_INTEGER = "-?[0-9]{1,18}"


def records_sql(file: CsvFile, lines: str | None = None) -> str:
    """Select the records of a file: line, the cells by name, cell_count, amounts, code, is_blank, is_valid.

    Each column of the model has a cell; that of an optional column which the file lacks is empty. The columns that are
    summed have a DECIMAL(18,4) each (`CsvFile.amounts`), which is NULL if the cell is no valid amount.


    `lines` is a relation of (record, line) to read instead of all lines of the file; then `record` is kept.
    """
    return query([lines_step(file, lines), cells_step(file), columns_step(file), judged_step(file)])


def lines_step(file: CsvFile, lines: str | None = None) -> Step:
    """Return (record, line): each line is one record. `record` is NULL unless `lines` has it."""
    return Step("lines", f"SELECT record, line FROM {lines or f'(SELECT NULL AS record, line FROM {scan(file)})'}")


def cells_step(file: CsvFile) -> Step:
    """Return (record, line, is_clean, cell_count, cells); cells keep their quotes unless the record is clean.

    One regular expression recognises a clean record: it breaks no rule, and its cells need no trimming. Nearly all
    records are clean; the others are checked rule by rule.
    """
    delimiter = literal(file.header.delimiter)
    cells, delimiters = f"string_split(line, {delimiter})", "line"
    if file.has_quotes:
        grammar = Grammar(file.header.delimiter)
        d = _escaped(file.header.delimiter)
        cell = literal(f"({grammar.quoted}|{grammar.unquoted}){d}")
        cells = f"""CASE WHEN NOT contains(line, '"') THEN {cells}
            WHEN is_clean THEN string_split(replace(line, '"', ''), {delimiter})
            ELSE regexp_extract_all(line || {delimiter}, {cell}, 1) END"""
        delimiters = f"regexp_replace(line, {literal(f'(^|{d}){grammar.quoted}')}, '\\1', 'g')"
    names = len(file.header.names)
    # A line with too many cells is not split: a list of a million cells takes a hundred times the memory of its line.
    return Step(
        "cells",
        f"""SELECT *, CASE WHEN cell_count <= {names} THEN {cells} END AS cells
        FROM (SELECT *, CASE WHEN is_clean THEN {names} ELSE count_of({delimiters}, {delimiter}) + 1 END AS cell_count
            FROM (SELECT *, {_is_clean(file)} AS is_clean FROM lines))""",
    )


def columns_step(file: CsvFile) -> Step:
    """Return (record, line, is_clean, cell_count, the cells by name), without quotes; all but free text is trimmed.

    If there may be a second header, is_header is added.
    """
    # CASE evaluates ELSE only for the rows that need it, so clean records cost nothing more.
    columns = ", ".join(
        f"CASE WHEN is_clean THEN {_cell(file, column)} ELSE {_text(file, column)} END AS {quoted(column.name)}"
        if column in file.columns
        else f"'' AS {quoted(column.name)}"
        for column in file.kind.columns
    )
    if file.may_repeat_header:
        columns += f", {_is_header(file)} AS is_header"
    return Step("columns", f"SELECT record, line, is_clean, cell_count, {columns} FROM cells")


def judged_step(file: CsvFile) -> Step:
    """Add the amounts (NULL if not valid), code (of the first broken rule), is_blank and is_valid.

    A record with a wrong number of cells has no amounts, as it is unknown which cell belongs to which column.
    """
    broken = " ".join(f"WHEN {rule.broken} THEN '{rule.code}'::error_code" for rule in rules(file))
    return Step(
        "judged",
        f"""SELECT *, code IS NULL AND NOT is_blank AS is_valid
        FROM (SELECT *, {_amounts(file)} CASE WHEN is_clean THEN false ELSE is_blank(line) END AS is_blank,
                CASE WHEN is_clean OR is_blank(line) THEN NULL {broken} END AS code
            FROM columns)""",
    )


def numbered_lines(file: CsvFile) -> str:
    """Select (record, line): the lines with their numbers. Requires `preserve_insertion_order`, so one thread."""
    return f"(SELECT row_number() OVER () - 1 + {first_record(file)} AS record, line FROM {scan(file)})"


def joined_records(file: CsvFile) -> str:
    """Select (joined, extra): the records of several lines, and the line ends that were removed up to and with each.

    Requires `preserve_insertion_order`.
    """
    newline = literal(file.sentinels.newline)
    removed = f"""SELECT record, count_of(line, {newline}) AS removed
        FROM {numbered_lines(file)} WHERE contains(line, {newline})"""
    if file.records.shortened:
        shortened = read_numbers(file.records.shortened, "record", "removed")
        removed += f" UNION ALL SELECT record, removed FROM {shortened} WHERE record >= {first_record(file)}"
    extra = f"{file.records.extra_before} + sum(removed) OVER (ORDER BY record)"
    return f"SELECT record AS joined, ({extra})::BIGINT AS extra FROM ({removed})"


def read_numbers(path: Path, *columns: str) -> str:
    """Read a CSV file of whole numbers without a header."""
    types = ", ".join(f"'{column}': 'BIGINT'" for column in columns)
    return f"read_csv({file_literal(path)}, auto_detect = false, header = false, columns = {{{types}}})"


def first_record(file: CsvFile) -> int:
    """Return the number of the first record after the header."""
    return file.records.before + file.header.skip + 1


def broken_column(file: CsvFile) -> str:
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
    return f"CASE {' '.join(cases)} END"


def commas_in_amounts(file: CsvFile) -> str:
    """Select an amount with a comma (NULL if there is none), and whether any comma must be a decimal mark.

    A comma must be a decimal mark unless exactly three digits follow it: then it may separate thousands.
    """
    amounts = [quoted(column.name) for column in file.columns if column.type is ColumnType.AMOUNT]
    rows = " UNION ALL ".join(
        f"""SELECT {amount} AS amount FROM ({records_sql(file)})
        WHERE contains(line, ',') AND NOT is_blank AND {has_all_cells()} AND contains({amount}, ',')"""
        for amount in amounts
    )
    other_than_three_digits = literal(",(?:[0-9]{0,2}(?:[^0-9]|$)|[0-9]{4})")
    return f"""SELECT nullif(shown(min(amount)), ''), bool_or(regexp_matches(amount, {other_than_three_digits}))
        FROM ({rows or "SELECT NULL::VARCHAR AS amount WHERE false"})"""


def lines_with(file: CsvFile, names: Iterable[str]) -> str:
    """Select (record, line) of the records that contain all `names` (in any case), except those with wrong quotes."""
    conditions = [f"contains(lower(line), {literal(name)})" for name in sorted(names)]
    conditions += [f"NOT starts_with(line, {literal(prefix)})" for prefix in file.sentinels.prefixes()]
    return f"""SELECT record, line FROM {numbered_lines(file)}
        WHERE strlen(line) <= {MAX_RECORD} AND {" AND ".join(conditions)}"""


def has_broken_quotes(file: CsvFile) -> str:
    """Return the query whether any line with quotes is not a complete record."""
    record = literal(Grammar(file.header.delimiter).record)
    return f"""SELECT EXISTS (SELECT 1 FROM {scan(file)}
        WHERE contains(line, '"') AND NOT regexp_full_match(line, {record}))"""


def scan(file: CsvFile) -> str:
    """Read whole lines: quote, escape and comment are disabled, and the delimiter does not occur in the file."""
    # By default the buffer is 16 times the longest line, which is more than reading by line needs.
    return f"""read_csv({file_literal(file.records.path)}, auto_detect = false, header = false,
        skip = {file.header.skip}, columns = {{'line': 'VARCHAR'}}, delim = {literal(file.sentinels.cell)},
        quote = '', escape = '', comment = '', new_line = '{file.new_line}', compression = 'none',
        max_line_size = {4 * BLOCK}, buffer_size = {8 * BLOCK})"""


def _is_clean(file: CsvFile) -> str:
    form = f"strlen(line) <= {MAX_REFERENCE} AND regexp_full_match(line, {literal(_clean_form(file))})"
    if file.may_repeat_header:
        form += f" AND NOT contains(lower(line), {literal(header_name(file.kind))})"
    return f"coalesce({form}, false)"


def _is_header(file: CsvFile) -> str:
    """Return the SQL condition that a record repeats the header."""
    names = ", ".join(literal(name) for name in file.header.names)
    cells = f"list_transform(cells, lambda cell: lower(trimmed({_plain_text(file, 'cell')})))"
    return f"""CASE WHEN NOT is_clean AND cell_count = {len(file.header.names)}
        AND contains(lower(line), {literal(header_name(file.kind))}) THEN {cells} = [{names}] ELSE false END"""


def _cell(file: CsvFile, column: Column) -> str:
    return f"cells[{file.header.positions[column.name]}]"


def _text(file: CsvFile, column: Column) -> str:
    text = _plain_text(file, _cell(file, column))
    return text if column.type is ColumnType.TEXT and not column.unique else f"trimmed({text})"


def _plain_text(file: CsvFile, cell: str) -> str:
    text = f"unquoted({cell})" if file.has_quotes else cell
    return f"replace({text}, {literal(file.sentinels.newline)}, chr(10))" if file.records.extra else text


def _clean_form(file: CsvFile) -> str:
    """Return the regular expression of a clean record."""
    if len(file.header.names) > MAX_COLUMNS:
        return _NOTHING
    columns = {file.header.positions[column.name]: column for column in file.columns}
    delimiter = _escaped(file.header.delimiter)
    newline = file.sentinels.newline if file.records.extra else ""
    controls = "".join(f"\\x{code:02x}" for code in range(32) if chr(code) != newline)
    forms = []
    for position in range(1, len(file.header.names) + 1):
        column = columns.get(position, Column(""))
        form = {
            ColumnType.REFERENCE: PLAIN_REFERENCE,
            ColumnType.INTEGER: SHORT_INTEGER,
            ColumnType.TIMESTAMP: SHORT_INTEGER,
            ColumnType.AMOUNT: amount_form(file),
            ColumnType.TEXT: f'[^{delimiter}"{controls}]*',
        }[column.type]
        if column.unique:
            form = f"(?:{PLAIN_REFERENCE})?"
        forms.append(f'(?:{form}|"{form}")' if file.has_quotes else form)
    return delimiter.join(forms)


def amount_form(file: CsvFile) -> str:
    """Return the regular expression of an amount that needs no trimming."""
    return f"-?[0-9]{{1,14}}(?:[{file.decimal_mark}][0-9]{{1,4}})?"


def _amounts(file: CsvFile) -> str:
    mark, has_all = literal(file.decimal_mark), f"cell_count = {len(file.header.names)}"
    return "".join(
        f"""CASE WHEN {"is_clean OR " if file.kind.column(column).required else ""}({has_all}
            AND is_amount({quoted(column)}, {mark})) THEN as_amount({quoted(column)}, {mark}) END AS {name}, """
        for name, column in file.amounts.items()
    )


def _escaped(delimiter: str) -> str:
    return {"\t": r"\t", "|": r"\|"}.get(delimiter, delimiter)
