"""From the bytes of a file to its records: choose a reader, read, and if the choice was wrong, read by the other one.

1. `read_file` reads the header, and prepares the lines so that each is a record, where its bytes show that some is not.
2. It chooses the fast reader if the bytes don't show that it can't read the file, else the reader by line.
3. `read_records` reads. What the bytes don't show, the fast reader notices: then the lines are prepared after all, and
   the file is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import duckdb

from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind
from pipeline.reading import fast_reader
from pipeline.reading.csv_file import CsvFile, SourceFile
from pipeline.reading.decimal_marks import (
    DecimalMark,
    amounts_decide,
    count_votes,
    with_decimal_mark,
)
from pipeline.reading.dialect import ByteProfile, read_profile
from pipeline.reading.fast_reader import NotSuitedError
from pipeline.reading.header import read_header
from pipeline.reading.line_reader import has_broken_quotes
from pipeline.reading.normalize import RecordLines, rewrite
from pipeline.reading.second_header import refuse_second_header
from pipeline.reading.sql import ask

Connection = duckdb.DuckDBPyConnection


def read_profiles(
    thread: Executor, files: Mapping[RecordKind, SourceFile], workdir: Path, max_unpacked: int | None = None
) -> Iterator[Future[ByteProfile]]:
    """Examine the bytes of a day's files, in the order of their kinds: while one file is read, those of the next.

    DuckDB reads records without holding Python's lock, so both proceed at the same time. The thread must run one task
    at a time; then at most two files are unpacked, if each is deleted once its records were read.
    """
    profiles = (thread.submit(read_profile, files[kind].path, kind, workdir, max_unpacked) for kind in MODEL.kinds)
    ready = next(profiles)
    for following in profiles:
        yield ready
        ready = following
    yield ready


def read_file(
    connection: Connection,
    kind: RecordKind,
    name: str,
    profile: ByteProfile,
    workdir: Path,
    decimal_mark: DecimalMark = "auto",
) -> CsvFile:
    """Derive the dialect of a file, make each line a record where needed, and choose a reader.

    Parameters
    ----------
    name
        The file's name as the partner sent it.
    profile
        What its bytes show, from `dialect.read_profile`.
    workdir
        Folder for the rewritten file.
    decimal_mark
        What the decimal mark of amounts is, or that they decide ("auto").

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
        return with_decimal_mark(replace(file, is_fast=True, is_verified=False), decimal_mark, None)
    else:
        file = _with_verified_lines(connection, file, workdir)
    if file.may_repeat_header:
        refuse_second_header(connection, file)
    votes = count_votes(connection, file) if amounts_decide(file, decimal_mark) else None
    return with_decimal_mark(file, decimal_mark, votes)


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
    lines = rewrite(file.kind, file.profile, file.header, workdir / f"{file.kind}.records.csv")
    if file.profile.path.parent == workdir and file.profile.path.name.endswith(".unpacked.csv"):
        file.profile.path.unlink()
    file = replace(file, lines=lines, is_verified=True)
    return replace(file, is_fast=fast_reader.suits(file))
