"""The entry point for reading a received text: returns a `CsvFile`, or raises why the file can't be used.

Most files with quotes are plain, but only reading the records proves it. So `read_file` takes them for plain if nothing
speaks against it, and `by_line` prepares those that are not.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import duckdb

from pipeline.model.error_codes import ErrorCode
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.dialect import RefusedFileError, Text
from pipeline.reading.grammar import Grammar
from pipeline.reading.header import column_names, read_header
from pipeline.reading.line_end import has_final_line_end
from pipeline.reading.normalize import as_records, rewrite
from pipeline.reading.plain import NotPlainError, count_plain_records
from pipeline.reading.sql import ask, in_order
from pipeline.reading.steps import MAX_COLUMNS, commas_in_amounts, has_broken_quotes, joined_records, lines_with


def read_file(connection: duckdb.DuckDBPyConnection, kind: RecordKind, name: str, text: Text, workdir: Path) -> CsvFile:
    """Detect the dialect of a file, and normalize it to one record per line where needed.

    Parameters
    ----------
    name
        The file's name as the partner sent it.
    text
        Its bytes, from `dialect.read_text`.
    workdir
        Folder for the normalized file.

    Raises
    ------
    RefusedFileError
        The file as a whole can't be used.
    """
    header = read_header(text.path, kind)
    file = CsvFile(
        kind,
        name,
        as_records(text),
        header,
        text.sentinels,
        text.has_quotes,
        text.lines,
        text.may_repeat_header,
        blank_end=text.blank_end,
        new_line=r"\r\n" if text.is_regular and text.has_crlf else r"\n",
        has_other_blanks=text.has_other_blanks,
        has_final_line_end=has_final_line_end(text.path),
    )
    is_line_by_line = text.is_regular and header.lines == header.skip
    if is_line_by_line and file.has_quotes and _is_plain(file, text) and not text.starts_with_open_quotes:
        return replace(file, is_plain=True, unproven=text)
    if not is_line_by_line:
        file = _rewritten(file, text, workdir)
    elif file.has_quotes:
        file = _with_joined_records(connection, file, text, workdir)
    else:
        file = replace(file, is_plain=_is_plain(file, text))
    if file.may_repeat_header:
        _refuse_second_header(connection, file)
    return replace(file, decimal_mark=_decimal_mark(connection, file))


def by_line(connection: duckdb.DuckDBPyConnection, file: CsvFile, workdir: Path) -> CsvFile:
    """Prepare a file that has turned out not to be plain. Records of several lines are joined; then it may be plain.

    Raises
    ------
    RefusedFileError
        A quote is never closed.
    """
    if file.unproven:
        return _with_joined_records(connection, replace(file, unproven=None), file.unproven, workdir)
    return replace(file, is_plain=False)


def proved(connection: duckdb.DuckDBPyConnection, file: CsvFile, workdir: Path) -> CsvFile:
    """Find out whether a file with quotes is plain, by counting its records, and prepare it otherwise.

    Raises
    ------
    RefusedFileError
        A quote is never closed.
    """
    if not file.unproven:
        return file
    with suppress(*NotPlainError):
        if connection.execute(count_plain_records(file)).fetchone() == (file.plain_lines,):
            return replace(file, unproven=None)
    return by_line(connection, file, workdir)


def _with_joined_records(connection: duckdb.DuckDBPyConnection, file: CsvFile, text: Text, workdir: Path) -> CsvFile:
    """Rewrite a file with quotes if a line with quotes is not a record."""
    if ask(connection, has_broken_quotes(file)):
        return _rewritten(file, text, workdir)
    return replace(file, is_plain=False)


def _rewritten(file: CsvFile, text: Text, workdir: Path) -> CsvFile:
    records = rewrite(text, file.header, workdir / f"{file.kind}.records.csv")
    if text.path.parent == workdir and text.path.name.endswith(".unpacked.csv"):
        text.path.unlink()
    file = replace(file, records=records, new_line=r"\n")
    return replace(file, is_plain=_is_plain(file, text))


def _is_plain(file: CsvFile, text: Text) -> bool:
    """Return whether DuckDB's reader can split a file with one record per line into cells."""
    is_special = text.has_long_lines or text.may_repeat_header or file.records.has_refused
    if is_special or len(file.header.names) > MAX_COLUMNS:
        return False
    # With another delimiter, the decimal mark is found by reading by line, which costs as much as is saved here.
    return not file.has_quotes or (file.header.delimiter == "," and not text.has_padded_quotes)


def _refuse_second_header(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> None:
    """Refuse the file if a record names all required columns, but differs from the header."""
    required = {column.name for column in file.kind.required}
    grammar = Grammar(file.header.delimiter)
    with in_order(connection):
        rows = connection.execute(lines_with(file, required))
        while batch := rows.fetchmany(100):
            for record, line in batch:
                cells = grammar.split(line.replace(file.sentinels.newline, "\n")) or []
                names = column_names(cells)
                if required <= set(names) and names != file.header.names:
                    raise RefusedFileError(
                        ErrorCode.SECOND_HEADER, number=record + _extra_before(connection, file, record)
                    )


def _extra_before(connection: duckdb.DuckDBPyConnection, file: CsvFile, record: int) -> int:
    """Return how many line ends were removed from the records before this one."""
    row = connection.execute(f"SELECT max(extra) FROM ({joined_records(file)}) WHERE joined < {record}").fetchone()
    return (row and row[0]) or file.records.extra_before


def _decimal_mark(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> str:
    """Derive the decimal mark of a file from the commas in its amounts.

    Raises
    ------
    RefusedFileError
        The commas may be decimal marks or thousands separators.
    """
    if file.header.delimiter == ",":
        return "."
    row = connection.execute(commas_in_amounts(file)).fetchone()
    if not row or row[0] is None:
        return "."
    value, is_decimal = row
    if not is_decimal:
        raise RefusedFileError(ErrorCode.AMBIGUOUS_AMOUNTS, value=value)
    return ","
