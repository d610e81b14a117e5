"""The only reader of received files: from bytes to a `CsvFile`, or to the reason why it can't be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb

from pipeline.model.data_model import Kind
from pipeline.reading.csv_file import CsvFile, SourceFile
from pipeline.reading.dialect import Text, read_header, read_text
from pipeline.reading.normalize import as_records, rewrite
from pipeline.reading.sql import ask
from pipeline.reading.steps import has_broken_quotes, has_decimal_comma


def read_file(
    connection: duckdb.DuckDBPyConnection,
    kind: Kind,
    source: SourceFile,
    workdir: Path,
    max_unpacked: int | None = None,
) -> CsvFile:
    """Find out how the file is to be read.

    Parameters
    ----------
    workdir
        Where the file is unpacked, and rewritten where it has not one record a line.
    max_unpacked
        Bytes that a gzip file may unpack to; None for any number.

    Raises
    ------
    RefusedFileError
        The file as a whole can't be used.
    """
    text = read_text(source.path, kind, workdir, max_unpacked)
    header = read_header(text.path, kind)
    file = CsvFile(kind, source.name, as_records(text), header, text.sentinels, text.has_quotes)
    if (
        not text.is_regular
        or header.lines > header.skip
        or (text.has_quotes and ask(connection, has_broken_quotes(file)))
    ):
        file = _rewritten(file, text, workdir)
    if header.delimiter != "," and ask(connection, has_decimal_comma(file)):
        file = replace(file, decimal_mark=",")
    return file


def _rewritten(file: CsvFile, text: Text, workdir: Path) -> CsvFile:
    records = rewrite(text, file.header.delimiter, workdir / f"{file.kind}.records.csv")
    if text.path.parent == workdir and text.path.name.endswith(".unpacked.csv"):
        text.path.unlink()
    return replace(file, records=records)
