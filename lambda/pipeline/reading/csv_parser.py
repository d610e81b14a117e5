"""From the bytes of a file to its records: choose a reader, read, and if the choice was wrong, read by the other one.

1. `read_file` reads the header, and prepares the lines so that each is a record, where its bytes show that some is not.
2. It chooses the fast reader if the bytes don't show that it can't read the file, else the reader by line.
3. `read_records` reads. What the bytes don't show, the fast reader notices: then the lines are prepared after all, and
   the file is read again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import duckdb

from pipeline.model.error_codes import ErrorCode
from pipeline.model.record_kinds import ColumnType, RecordKind
from pipeline.reading import fast_reader
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.dialect import ByteProfile, RefusedFileError
from pipeline.reading.fast_reader import NotSuitedError
from pipeline.reading.grammar import Grammar
from pipeline.reading.header import column_names, read_header
from pipeline.reading.line_reader import has_broken_quotes, numbered_lines, records_sql, removed_line_ends
from pipeline.reading.normalize import MAX_RECORD, RecordLines, rewrite
from pipeline.reading.rules import has_all_cells
from pipeline.reading.sql import ask, in_order, literal, quoted

Connection = duckdb.DuckDBPyConnection


def read_file(connection: Connection, kind: RecordKind, name: str, profile: ByteProfile, workdir: Path) -> CsvFile:
    """Derive the dialect of a file, make each line a record where needed, and choose a reader.

    Parameters
    ----------
    name
        The file's name as the partner sent it.
    profile
        What its bytes show, from `dialect.read_profile`.
    workdir
        Folder for the rewritten file.

    Raises
    ------
    RefusedFileError
        The file as a whole can't be used.
    """
    header = read_header(profile.path, kind)
    file = CsvFile(kind, name, profile, header, RecordLines(profile.path, profile.lines))
    if not profile.is_uniform or header.lines > header.skip:
        file = _rewritten(file, workdir)
    elif not profile.has_quotes:
        file = replace(file, is_fast=fast_reader.suits(file))
    elif fast_reader.suits(file) and not profile.starts_with_open_quotes:
        return replace(file, is_fast=True, is_verified=False)
    else:
        file = _with_verified_lines(connection, file, workdir)
    if file.may_repeat_header:
        _refuse_second_header(connection, file)
    return replace(file, decimal_mark=_decimal_mark(connection, file))


def read_records(
    connection: Connection, file: CsvFile, workdir: Path, store: Callable[[CsvFile], int], forget: Callable[[], None]
) -> CsvFile:
    """Read all records with the file's reader, and if it turns out not to suit, with the other one.

    Parameters
    ----------
    store
        Stores the records of the file, and returns their number.
    forget
        Removes what was stored, as it was read by the wrong reader.

    Returns
    -------
    The file as it was read in the end.

    Raises
    ------
    RefusedFileError
        A quote is never closed.
    """
    while file.is_fast:
        with suppress(*NotSuitedError):
            if store(file) == file.fast_lines:
                return file
        forget()
        file = _for_other_reader(connection, file, workdir)
    store(file)
    return file


def verify_records_are_lines(connection: Connection, file: CsvFile, workdir: Path) -> CsvFile:
    """Find out whether each line is a record, by counting them where it is not certain, and prepare the file otherwise.

    Raises
    ------
    RefusedFileError
        A quote is never closed.
    """
    if file.is_verified:
        return file
    with suppress(*NotSuitedError):
        if connection.execute(fast_reader.count_fast_records(file)).fetchone() == (file.fast_lines,):
            return replace(file, is_verified=True)
    return _for_other_reader(connection, file, workdir)


def _for_other_reader(connection: Connection, file: CsvFile, workdir: Path) -> CsvFile:
    return replace(file, is_fast=False) if file.is_verified else _with_verified_lines(connection, file, workdir)


def _with_verified_lines(connection: Connection, file: CsvFile, workdir: Path) -> CsvFile:
    """Rewrite a file with quotes if a line with quotes is not a record; else it is read by line."""
    if ask(connection, has_broken_quotes(file)):
        return _rewritten(file, workdir)
    return replace(file, is_fast=False, is_verified=True)


def _rewritten(file: CsvFile, workdir: Path) -> CsvFile:
    lines = rewrite(file.profile, file.header, workdir / f"{file.kind}.records.csv")
    if file.profile.path.parent == workdir and file.profile.path.name.endswith(".unpacked.csv"):
        file.profile.path.unlink()
    file = replace(file, lines=lines, is_verified=True)
    return replace(file, is_fast=fast_reader.suits(file))


def _refuse_second_header(connection: Connection, file: CsvFile) -> None:
    """Refuse the file if a record names all required columns, but differs from the header."""
    required = {column.name for column in file.kind.required}
    conditions = [f"contains(lower(line), {literal(name)})" for name in sorted(required)]
    conditions += [f"NOT starts_with(line, {literal(prefix)})" for prefix in file.sentinels.prefixes()]
    grammar = Grammar(file.header.delimiter)
    with in_order(connection):
        rows = connection.execute(
            f"""SELECT record, line FROM {numbered_lines(file)}
            WHERE strlen(line) <= {MAX_RECORD} AND {" AND ".join(conditions)}"""
        )
        while batch := rows.fetchmany(100):
            for record, line in batch:
                names = column_names(grammar.split(line.replace(file.sentinels.newline, "\n")) or [])
                if required <= set(names) and names != file.header.names:
                    raise RefusedFileError(
                        ErrorCode.SECOND_HEADER, number=record + _removed_before(connection, file, record)
                    )


def _removed_before(connection: Connection, file: CsvFile, record: int) -> int:
    """Return how many line ends were removed from the records before this one."""
    row = connection.execute(f"SELECT max(removed) FROM ({removed_line_ends(file)}) WHERE joined < {record}").fetchone()
    return (row and row[0]) or file.lines.removed_before


def _decimal_mark(connection: Connection, file: CsvFile) -> str:
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
