"""From the bytes of a file to its records: choose a reader, read, and if the choice was wrong, read by the other one.

1. `read_file` reads the header, and prepares the lines so that each is a record, where its bytes show that some is not.
2. It chooses the fast reader if the bytes don't show that it can't read the file, else the reader by line.
3. What the bytes don't show, the fast reader notices: then `for_other_reader` prepares the lines after all, and
   `joining.first_pass` reads again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future
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
    elif fast_reader.suits(file):
        file = replace(file, is_fast=True)
    else:
        file = ensure_records_are_lines(connection, file, workdir)
    if file.may_repeat_header:
        refuse_second_header(connection, file)
    votes = count_votes(connection, file) if amounts_decide(file, decimal_mark) else None
    return with_decimal_mark(file, decimal_mark, votes)


def ensure_records_are_lines(connection: Connection, file: CsvFile, workdir: Path) -> CsvFile:
    """Rewrite a file if not each of its lines is a record, which only reading a file with quotes can show.

    Raises
    ------
    RefusedFileError
        A quote is never closed.
    """
    if file.may_span_lines and ask(connection, has_broken_quotes(file)):
        return _rewritten(file, workdir)
    return file


def for_other_reader(connection: Connection, file: CsvFile, workdir: Path) -> CsvFile:
    """Prepare a file that the fast reader can't read: rewrite it if not each line is a record, else read it by line."""
    prepared = ensure_records_are_lines(connection, file, workdir)
    return replace(file, is_fast=False) if prepared is file else prepared


def _rewritten(file: CsvFile, workdir: Path) -> CsvFile:
    lines = rewrite(file.kind, file.profile, file.header, workdir / f"{file.kind}.records.csv")
    if file.profile.path.parent == workdir and file.profile.path.name.endswith(".unpacked.csv"):
        file.profile.path.unlink()
    file = replace(file, lines=lines)
    return replace(file, is_fast=fast_reader.suits(file))
