"""The only DuckDB reader: a received file becomes typed records, each with the first rule that it breaks.

DuckDB reads whole lines, one record each; SQL splits them into cells and checks the cells by the table of record
kinds. So a record's number is its line, its text is at hand when it is refused, and nothing hangs on how a CSV
reader recovers from a bad record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import duckdb

from pipeline.model.data_model import KINDS, ROW_ID, Column, ColumnType, Kind
from pipeline.model.error_codes import ErrorCode
from pipeline.reading.dialect import (
    BLANKS,
    BLOCK,
    Grammar,
    Header,
    Marks,
    Text,
    read_header,
    read_text,
)
from pipeline.reading.normalize import MAX_RECORD, RecordLines, as_records, rewrite
from pipeline.reading.sql import ask, file_literal, literal, quoted

MAX_REFERENCE = 1024
"""Bytes of a reference: with the prefix before it, it must fit a table key of 2,048 bytes."""

MAX_CELL_SHOWN = 80

AMOUNT = "DECIMAL(18,4)"

_INTEGER = "-?[0-9]{1,18}"
_LONG_INTEGER = "-?0*[0-9]{19}"
_WORD = "[0-9A-Za-z]"
_MANY_COLUMNS = 200
"""With more of them the form of a clean record would become too large an expression."""
_NOTHING = r"[^\x00-\x{10FFFF}]"
_PLAIN_REFERENCE = f"{_WORD}(?:[-_.:/ 0-9A-Za-z]*{_WORD})?"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as the partner sent it: its name and where its bytes are."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Rule:
    """What a record must not be; `broken` is the SQL condition, `column` the cell that it is about."""

    code: ErrorCode
    broken: str
    column: str | None = None


@dataclass(frozen=True)
class CsvFile:
    """A file of records, understood: SQL for its records and the rules in the order in which they are checked."""

    kind: Kind
    name: str
    records: RecordLines
    header: Header
    marks: Marks
    has_quotes: bool
    decimal_mark: str = "."

    @property
    def record_count(self) -> int:
        """Lines after the header, blank ones included; counted without DuckDB."""
        return self.records.records - self.header.skip

    @property
    def has_row_ids(self) -> bool:
        """Tell whether the file has the optional column of row ids."""
        return ROW_ID in self.header.positions

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns that are read, in the order of the table of record kinds."""
        extra = (Column(ROW_ID),) if self.has_row_ids else ()
        return KINDS[self.kind].columns + extra

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The rules for a record by itself; a record's `rule` is the number, from 1, of the first it breaks."""
        return tuple(self._rules())

    @property
    def last_rule_of_form(self) -> int:
        """Number of the last rule about the record as a whole: who breaks none up to it has all its cells."""
        return [rule.code for rule in self.rules].index(ErrorCode.WRONG_CELL_COUNT) + 1

    def records_sql(self, lines: str | None = None) -> str:
        """Select the records: `rule` (0 for a blank line, NULL for a good record), the cells, `amount`, `clean`.

        `lines` is a relation of (record, line) to take instead of all lines of the file; `record` is then passed on.
        """
        number = "record, " if lines else ""
        # A clean record needs neither trimming nor checking; CASE leaves out what is not needed, row by row.
        columns = ", ".join(
            f"CASE WHEN clean THEN {self._cell(column)} ELSE {self._text(column)} END AS {quoted(column.name)}"
            for column in self.columns
        )
        conditions = " ".join(f"WHEN {rule.broken} THEN {number}" for number, rule in enumerate(self.rules, 1))
        return f"""
            SELECT *, {self._amount()} AS amount,
                (CASE WHEN clean THEN NULL WHEN line IS NULL OR trim(line, ' ') = '' THEN 0 {conditions} END
                )::UTINYINT AS rule
            FROM (SELECT {number}line, clean, len(cells) AS cell_count, {columns} FROM ({self._cells_sql(lines)}))"""

    def numbered_lines_sql(self) -> str:
        """Select (record, line): the lines with their numbers. Needs the file read in order, so by one thread."""
        return f"(SELECT row_number() OVER () + {self.header.skip} AS record, line FROM {self._lines()})"

    def has_decimal_comma_sql(self) -> str:
        """Ask whether any amount of the file has a comma."""
        amounts = [column.name for column in self.columns if column.type is ColumnType.AMOUNT]
        any_comma = " OR ".join(f"contains({quoted(amount)}, ',')" for amount in amounts) or "false"
        return f"""
            SELECT EXISTS (SELECT 1 FROM ({self.records_sql()})
            WHERE contains(line, ',') AND (rule IS NULL OR rule > {self.last_rule_of_form}) AND ({any_comma}))"""

    def broken_quotes_sql(self) -> str:
        """Ask whether any line is not a whole record by itself."""
        record = literal(self._grammar.record)
        return f"""
            SELECT EXISTS (SELECT 1 FROM {self._lines()}
            WHERE contains(line, '"') AND NOT regexp_full_match(line, {record}))"""

    @cached_property
    def _grammar(self) -> Grammar:
        return Grammar(self.header.delimiter)

    def _lines(self) -> str:
        # Quote, escape and comment are switched off and the delimiter does not occur: so a line is one cell.
        # By default a buffer is 16 times the longest line, which is more memory than reading by line needs.
        return f"""read_csv({file_literal(self.records.path)}, auto_detect = false, header = false,
            skip = {self.header.skip}, columns = {{'line': 'VARCHAR'}}, delim = {literal(self.marks.cell)},
            quote = '', escape = '', comment = '', new_line = '\\n', compression = 'none',
            max_line_size = {4 * BLOCK}, buffer_size = {8 * BLOCK})"""

    def _cells_sql(self, lines: str | None) -> str:
        """Select the lines with their cells, those of a clean record without quotes."""
        number = "record, " if lines else ""
        delimiter = literal(self.header.delimiter)
        split = f"string_split(line, {delimiter})"
        if self.has_quotes:
            plain = f"""string_split(replace(line, '"', ''), {delimiter})"""
            extract = literal(f"({self._grammar.quoted}|{self._grammar.unquoted}){_escaped(self.header.delimiter)}")
            split = f"""CASE WHEN NOT contains(line, '"') THEN {split} WHEN clean THEN {plain}
                ELSE regexp_extract_all(line || {delimiter}, {extract}, 1) END"""
        return f"""
            SELECT {number}line, clean, {split} AS cells
            FROM (SELECT {number}line,
                    strlen(line) <= {MAX_REFERENCE} AND regexp_full_match(line, {literal(self._clean())}) AS clean
                FROM {lines or self._lines()})"""

    def _cell(self, column: Column) -> str:
        return f"cells[{self.header.positions[column.name]}]"

    def _text(self, column: Column) -> str:
        """Return the SQL of a column's text, without quotes around it and trimmed where it is not free text."""
        text = cell = self._cell(column)
        if self.has_quotes:
            text = f"""CASE WHEN starts_with({cell}, '"')
                THEN replace(substring({cell}, 2, length({cell}) - 2), '""', '"') ELSE {cell} END"""
        if self.records.joins:
            text = f"replace({text}, {literal(self.marks.newline)}, chr(10))"
        if column.type is not ColumnType.TEXT or column.name == ROW_ID:
            text = f"trim({text}, {literal(BLANKS)})"
        return text

    def _is_whole(self) -> str:
        return f"cell_count = {len(self.header.names)}"

    def _clean(self) -> str:
        """Return the form of a record that is certainly good, with cells that need no trimming: nearly all are such.

        Whatever does not have this form is looked at rule by rule.
        """
        if len(self.header.names) > _MANY_COLUMNS:
            return _NOTHING
        columns = {self.header.positions[column.name]: column for column in self.columns}
        delimiter = _escaped(self.header.delimiter)
        forms = []
        for position in range(1, len(self.header.names) + 1):
            column = columns.get(position, Column(""))
            form = {
                ColumnType.REFERENCE: _PLAIN_REFERENCE,
                ColumnType.INTEGER: _INTEGER,
                ColumnType.TIMESTAMP: _INTEGER,
                ColumnType.AMOUNT: self._amount_form(),
                ColumnType.TEXT: rf'[^{delimiter}"\x00-\x1f]*',
            }[column.type]
            if column.name == ROW_ID:
                form = f"(?:{_PLAIN_REFERENCE})?"
            forms.append(f'(?:{form}|"{form}")' if self.has_quotes else form)
        return delimiter.join(forms)

    def _amount_form(self) -> str:
        return f"-?[0-9]{{1,14}}(?:[{self.decimal_mark}][0-9]{{1,4}})?"

    def _amount(self) -> str:
        """Return the SQL of the record's amount, NULL where it has none that is valid."""
        for column in self.columns:
            if column.type is ColumnType.AMOUNT:
                text = quoted(column.name)
                proven = f"clean OR ({self._is_whole()} AND regexp_full_match({text}, {literal(self._amount_form())}))"
                # The cast can't round: the form allows no more digits than the type holds.
                return f"CASE WHEN {proven} THEN {self._as_amount(text)} END"
        return f"CAST(NULL AS {AMOUNT})"

    def _as_amount(self, text: str) -> str:
        pointed = f"replace({text}, ',', '.')" if self.decimal_mark == "," else text
        return f"CAST({pointed} AS {AMOUNT})"

    def _rules(self) -> Iterator[Rule]:
        yield Rule(ErrorCode.NOT_UTF8, f"starts_with(line, {literal(self.marks.invalid)})")
        yield Rule(ErrorCode.RECORD_TOO_LONG, f"strlen(line) > {MAX_RECORD}")
        if self.has_quotes:
            record = literal(self._grammar.record)
            yield Rule(ErrorCode.BAD_QUOTING, f"contains(line, '\"') AND NOT regexp_full_match(line, {record})")
        yield Rule(ErrorCode.WRONG_CELL_COUNT, f"NOT {self._is_whole()}")
        for column in KINDS[self.kind].columns:
            yield from self._column_rules(column)

    def _column_rules(self, column: Column) -> Iterator[Rule]:
        name = quoted(column.name)
        match column.type:
            case ColumnType.REFERENCE:
                yield Rule(ErrorCode.EMPTY_REFERENCE, f"{name} = ''", column.name)
                yield Rule(ErrorCode.REFERENCE_TOO_LONG, f"strlen({name}) > {MAX_REFERENCE}", column.name)
            case ColumnType.INTEGER:
                yield Rule(ErrorCode.NOT_AN_INTEGER, _no_integer(name), column.name)
            case ColumnType.TIMESTAMP:
                yield Rule(ErrorCode.NOT_A_TIMESTAMP, _no_integer(name), column.name)
            case ColumnType.AMOUNT:
                form = literal(self._amount_form())
                if self.decimal_mark == ",":
                    pointed = literal(self._amount_form().replace("[,]", "[.]"))
                    both = f"regexp_full_match({name}, {pointed}) AND NOT regexp_full_match({name}, {form})"
                    yield Rule(ErrorCode.AMBIGUOUS_AMOUNT, both, column.name)
                yield Rule(ErrorCode.NOT_AN_AMOUNT, f"NOT regexp_full_match({name}, {form})", column.name)
            case _:
                return  # free text


def read_file(
    connection: duckdb.DuckDBPyConnection,
    kind: Kind,
    source: SourceFile,
    workdir: Path,
    max_unpacked: int | None = None,
) -> CsvFile:
    """Find out how the file is to be read; raise RefusedFileError where it can't be."""
    text = read_text(source.path, kind, workdir, max_unpacked)
    header = read_header(text.path, kind)
    file = CsvFile(kind, source.name, as_records(text), header, text.marks, text.has_quotes)
    if not text.is_regular or header.lines > header.skip or (text.has_quotes and _has_broken_quotes(connection, file)):
        file = _rewritten(file, text, workdir)
    if header.delimiter != "," and ask(connection, file.has_decimal_comma_sql()):
        file = CsvFile(kind, file.name, file.records, header, file.marks, file.has_quotes, decimal_mark=",")
    return file


def _rewritten(file: CsvFile, text: Text, workdir: Path) -> CsvFile:
    records = rewrite(text, file.header.delimiter, workdir / f"{file.kind}.records.csv")
    if text.path.parent == workdir and text.path.name.endswith(".unpacked.csv"):
        text.path.unlink()
    return CsvFile(file.kind, file.name, records, file.header, file.marks, file.has_quotes)


def _has_broken_quotes(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> bool:
    return ask(connection, file.broken_quotes_sql())


def _no_integer(name: str) -> str:
    """Return the SQL condition that a cell is no integer of 64 bits; only digits get as far as the cast."""
    fits = f"regexp_full_match({name}, '{_LONG_INTEGER}') AND TRY_CAST({name} AS BIGINT) IS NOT NULL"
    return f"NOT (regexp_full_match({name}, '{_INTEGER}') OR ({fits}))"


def _escaped(delimiter: str) -> str:
    return {"\t": r"\t", "|": r"\|"}.get(delimiter, delimiter)
