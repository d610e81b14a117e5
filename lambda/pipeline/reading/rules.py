"""The rules for a single record, in the order in which they are checked: the first broken one is its error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.model.error_codes import ErrorCode
from pipeline.model.record_kinds import Column, ColumnType
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.grammar import Grammar
from pipeline.reading.normalize import MAX_RECORD
from pipeline.reading.sql import literal, quoted

MAX_REFERENCE = 1024
"""Longest reference in bytes: with its prefix it must fit into a partition key (DynamoDB quota: 2,048 bytes)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: `broken` is the SQL condition on the step `columns` that violates it, `column` the cell concerned."""

    code: ErrorCode
    broken: str
    column: str | None = None


def rules(file: CsvFile) -> tuple[Rule, ...]:
    """Return the rules for the records of a file; those for the record as a whole come first."""
    of_cells = (rule for column in file.kind.columns for rule in _column_rules(column, file.decimal_mark))
    return (*_record_rules(file), *of_cells)


def has_all_cells(code: str = "code") -> str:
    """Return the SQL condition that is true for a record without error, or with one of a rule after `repeated_header`.

    A record that passes these rules has every cell of the header.
    """
    return f"({code} IS NULL OR {code} > '{ErrorCode.REPEATED_HEADER}'::error_code)"


def _record_rules(file: CsvFile) -> Iterator[Rule]:
    yield Rule(ErrorCode.NOT_UTF8, f"starts_with(line, {literal(file.sentinels.invalid)})")
    bad, doubtful = (literal(s) for s in (file.sentinels.bad_quoting, file.sentinels.doubtful_quoting))
    prefix = f" + (starts_with(line, {bad}) OR starts_with(line, {doubtful}))::INTEGER" if file.records.quotes else ""
    yield Rule(ErrorCode.RECORD_TOO_LONG, f"strlen(line) > {MAX_RECORD}{prefix}")
    if file.records.quotes:
        yield Rule(ErrorCode.BAD_QUOTING, f"starts_with(line, {bad})")
        yield Rule(ErrorCode.DOUBTFUL_QUOTING, f"starts_with(line, {doubtful})")
    if file.has_quotes:
        record = literal(Grammar(file.header.delimiter).record)
        yield Rule(ErrorCode.BAD_QUOTING, f"contains(line, '\"') AND NOT regexp_full_match(line, {record})")
    yield Rule(ErrorCode.WRONG_CELL_COUNT, f"cell_count <> {len(file.header.names)}")
    if file.may_repeat_header:
        yield Rule(ErrorCode.REPEATED_HEADER, "is_header")


def _column_rules(column: Column, decimal_mark: str) -> Iterator[Rule]:
    name = quoted(column.name)
    match column.type:
        case ColumnType.REFERENCE:
            yield Rule(ErrorCode.EMPTY_REFERENCE, f"{name} = ''", column.name)
            yield Rule(ErrorCode.REFERENCE_TOO_LONG, f"strlen({name}) > {MAX_REFERENCE}", column.name)
        case ColumnType.INTEGER:
            yield Rule(ErrorCode.NOT_AN_INTEGER, f"NOT is_integer({name})", column.name)
        case ColumnType.TIMESTAMP:
            yield Rule(ErrorCode.NOT_A_TIMESTAMP, f"NOT is_integer({name})", column.name)
        case ColumnType.AMOUNT:
            if decimal_mark == ",":
                pointed = f"is_amount({name}, '.') AND NOT is_amount({name}, ',')"
                yield Rule(ErrorCode.AMBIGUOUS_AMOUNT, pointed, column.name)
            yield Rule(ErrorCode.NOT_AN_AMOUNT, f"NOT is_amount({name}, '{decimal_mark}')", column.name)
        case _:
            return  # free text
