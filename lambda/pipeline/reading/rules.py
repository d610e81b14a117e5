"""The rules for a single record, in the order in which they are checked: the first broken one is its error.

For each type of column there is also the usual form of its cells: a cell of this form breaks no rule and needs no
trimming. Nearly all cells have it, and it is checked several times faster than the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.model.error_codes import RECORD_CODES, ErrorCode
from pipeline.model.record_kinds import Column, ColumnType
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.grammar import Grammar
from pipeline.reading.normalize import MAX_RECORD
from pipeline.reading.sql import literal, quoted

MAX_REFERENCE = 1024
"""Longest reference in bytes: with its prefix it must fit into a partition key (DynamoDB quota: 2,048 bytes)."""

_WORD = "[0-9A-Za-z]"
_USUAL_REFERENCE = f"{_WORD}(?:[-_.:/ 0-9A-Za-z]*{_WORD})?"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: `broken` is the SQL condition on the step `columns` that violates it, `column` the cell concerned."""

    code: ErrorCode
    broken: str
    column: str | None = None


def rules(file: CsvFile) -> tuple[Rule, ...]:
    """Return the rules for the records of a file; those for the record as a whole come first."""
    return (*_record_rules(file), *cell_rules(file))


def cell_rules(file: CsvFile) -> list[Rule]:
    """Return the rules for the cells of a file in the order of their codes; an optional cell may be empty."""
    found = []
    for column in file.columns:
        given = "" if column.required else f"{quoted(column.name)} <> '' AND "
        found += [Rule(code, f"{given}{broken}", column.name) for code, broken in _column_rules(file, column)]
    return sorted(found, key=lambda rule: RECORD_CODES.index(rule.code))


def has_all_cells(code: str = "code") -> str:
    """Return the SQL condition that is true for a record without error, or with one of a rule after `repeated_header`.

    A record that passes these rules has every cell of the header.
    """
    return f"({code} IS NULL OR {code} > '{ErrorCode.REPEATED_HEADER}'::error_code)"


def _record_rules(file: CsvFile) -> Iterator[Rule]:
    yield Rule(ErrorCode.NOT_UTF8, f"starts_with(line, {literal(file.sentinels.invalid)})")
    bad, doubtful = (literal(s) for s in (file.sentinels.bad_quoting, file.sentinels.doubtful_quoting))
    has_quote_errors = file.lines.quote_errors_csv is not None
    prefix = f" + (starts_with(line, {bad}) OR starts_with(line, {doubtful}))::INTEGER" if has_quote_errors else ""
    yield Rule(ErrorCode.RECORD_TOO_LONG, f"strlen(line) > {MAX_RECORD}{prefix}")
    if has_quote_errors:
        yield Rule(ErrorCode.BAD_QUOTING, f"starts_with(line, {bad})")
        yield Rule(ErrorCode.DOUBTFUL_QUOTING, f"starts_with(line, {doubtful})")
    if file.profile.has_quotes:
        record = literal(Grammar(file.header.delimiter).record)
        yield Rule(ErrorCode.BAD_QUOTING, f"contains(line, '\"') AND NOT regexp_full_match(line, {record})")
    yield Rule(ErrorCode.WRONG_CELL_COUNT, f"cell_count <> {len(file.header.names)}")
    if file.may_repeat_header:
        yield Rule(ErrorCode.REPEATED_HEADER, "is_header")


def _column_rules(file: CsvFile, column: Column) -> Iterator[tuple[ErrorCode, str]]:
    name = quoted(column.name)
    match column.type:
        case ColumnType.REFERENCE:
            yield ErrorCode.EMPTY_REFERENCE, f"{name} = ''"
            yield ErrorCode.REFERENCE_TOO_LONG, f"strlen({name}) > {MAX_REFERENCE}"
        case ColumnType.INTEGER:
            yield ErrorCode.NOT_AN_INTEGER, f"NOT is_integer({name})"
        case ColumnType.TIMESTAMP:
            yield ErrorCode.NOT_A_TIMESTAMP, f"NOT is_integer({name})"
        case ColumnType.AMOUNT:
            if file.refuses_groups:
                yield ErrorCode.AMBIGUOUS_AMOUNT, f"(may_group({name}, ',') OR may_group({name}, '.'))"
            yield ErrorCode.NOT_AN_AMOUNT, f"NOT is_amount({name}, '{file.decimal_mark}')"
        case ColumnType.TEXT if column.allowed:
            yield ErrorCode.NOT_ALLOWED, f"{name} NOT IN ({', '.join(map(literal, column.allowed))})"


def usual_form(file: CsvFile, column: Column) -> str:
    """Return the regular expression of the usual form of a column's cells in a line, without quotes around it."""
    kept = file.sentinels.newline if file.lines.removed else ""
    controls = "".join(f"\\x{code:02x}" for code in range(32) if chr(code) != kept)
    text = f'[^{escaped(file.header.delimiter)}"{controls}]*'
    decimals = "(?:[0-9]{1,2}|[0-9]{4})" if file.refuses_groups else "[0-9]{1,4}"
    form = {
        ColumnType.REFERENCE: _USUAL_REFERENCE,
        ColumnType.INTEGER: "-?[0-9]{1,18}",
        ColumnType.TIMESTAMP: "-?[0-9]{1,18}",
        ColumnType.AMOUNT: f"-?[0-9]{{1,14}}(?:[{file.decimal_mark}]{decimals})?",
        ColumnType.TEXT: _USUAL_REFERENCE if column.unique else text,
    }[column.type]
    if column.allowed:
        form = "|".join(map(re.escape, column.allowed))
    return form if column.required and not column.allowed else f"(?:{form}){'' if column.required else '?'}"


def has_usual_form(file: CsvFile, column: Column, cents: str | None) -> str | None:
    """Return the SQL condition of the usual form for a cell that the fast reader has read, None if all cells have it.

    `cents` is the value of an amount of the usual form, if it was computed before. A reference to a parent is not
    checked at all (see `fast_reader`).
    """
    name, parent = quoted(column.name), file.kind.parent
    match column.type:
        case ColumnType.REFERENCE if parent is None or column.name != parent.column:
            form = f"strlen({name}) <= {MAX_REFERENCE} AND is_usual_reference({name})"
            if file.lines.removed:
                form += f" AND NOT contains({name}, {literal(file.sentinels.newline)})"
        case ColumnType.INTEGER | ColumnType.TIMESTAMP:
            form = f"is_usual_integer({name})"
        case ColumnType.AMOUNT:
            form = f"regexp_full_match({name}, '{usual_form(file, column)}')"
            if cents:
                form = f"CASE WHEN {cents} IS NOT NULL THEN true ELSE {form} END"
        case ColumnType.TEXT if column.allowed:
            form = f"{name} IN ({', '.join(map(literal, column.allowed))})"
        case _:
            return None
    return form if column.required else f"({name} = '' OR {form})"


def amounts(file: CsvFile, has_all_cells: str = "true") -> dict[str, str]:
    """Return the SQL of the columns `amount_<n>` (see `CsvFile.amounts`), on records with `is_usual`."""
    mark, values = literal(file.decimal_mark), {}
    for name, column in file.amounts.items():
        cell = quoted(column)
        is_usual = "is_usual" if file.kind.column(column).required else f"(is_usual AND {cell} <> '')"
        is_valid = f"{is_usual} OR ({has_all_cells} AND is_amount({cell}, {mark}))"
        if file.refuses_groups:
            is_valid = f"({is_valid}) AND NOT may_group({cell}, {mark})"
        values[name] = f"CASE WHEN {is_valid} THEN as_amount({cell}, {mark}) END"
    return values


def escaped(delimiter: str) -> str:
    """Return the regular expression of a delimiter."""
    return {"\t": r"\t", "|": r"\|"}.get(delimiter, delimiter)
