"""Headers that come again in a file, as after files were put together."""

from __future__ import annotations

from hashlib import blake2b
from itertools import islice

import duckdb

from pipeline.model.error_codes import ErrorCode
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.dialect import COLUMN_NAMES, RefusedFileError, is_blank
from pipeline.reading.grammar import Grammar
from pipeline.reading.header import column_names
from pipeline.reading.line_reader import numbered_lines, removed_line_ends
from pipeline.reading.normalize import MAX_RECORD
from pipeline.reading.sql import in_order, literal


def refuse_second_header(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> None:
    """Refuse a file with another header, or put together with itself.

    Raises
    ------
    RefusedFileError
        A record that is not the header has the names of two or more required columns as cells, or the lines after a
        repeated header are those before it.
    """
    grammar = Grammar(file.header.delimiter)
    mentions = " + ".join(f"contains(lower(line), {literal(name)})::INTEGER" for name in sorted(COLUMN_NAMES))
    conditions = [f"NOT starts_with(line, {literal(prefix)})" for prefix in file.sentinels.prefixes()]
    repeated = []
    with in_order(connection):
        rows = connection.execute(
            f"""SELECT record, line FROM {numbered_lines(file)}
            WHERE strlen(line) <= {MAX_RECORD} AND {" AND ".join(conditions)} AND {mentions} >= 2"""
        )
        while batch := rows.fetchmany(100):
            for record, line in batch:
                names = column_names(grammar.split(line.replace(file.sentinels.newline, "\n")) or [])
                if names == file.header.names:
                    repeated.append(record)
                elif len(COLUMN_NAMES.intersection(names)) > 1:
                    raise _refused(connection, file, ErrorCode.SECOND_HEADER, record)
    sections = _sections(file, repeated)
    for record, before, after in zip(repeated, sections, sections[1:], strict=False):
        if before == after != _NOTHING:
            raise _refused(connection, file, ErrorCode.REPEATED_CONTENT, record)


_NOTHING = blake2b().digest()


def _sections(file: CsvFile, headers: list[int]) -> list[bytes]:
    """Return a digest of the lines, but blank ones, before the first of these headers and after each of them."""
    if not headers:
        return []
    sections, starts = [blake2b()], set(headers)
    with file.lines.path.open("rb") as lines:
        for record, line in enumerate(islice(lines, file.header.skip, None), file.header.skip + 1):
            if record in starts:
                sections.append(blake2b())
            elif not is_blank(line):
                sections[-1].update(line.rstrip(b"\r\n") + b"\n")
    return [section.digest() for section in sections]


def _refused(connection: duckdb.DuckDBPyConnection, file: CsvFile, code: ErrorCode, record: int) -> RefusedFileError:
    """Return the error about the header that is this record; its line follows from the removed line ends before it."""
    with in_order(connection):
        row = connection.execute(
            f"SELECT max(removed) FROM ({removed_line_ends(file)}) WHERE joined < {record}"
        ).fetchone()
    return RefusedFileError(code, number=record + ((row and row[0]) or file.lines.removed_before))
