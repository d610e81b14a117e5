"""DuckDB as the engine of a day: everything in one process with limited memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import ReconciliationError
from pipeline.joining import results
from pipeline.joining.chunks import ChunkWriter
from pipeline.joining.control_totals import create_control_totals, read_records, total
from pipeline.joining.engine import Counts, Totals
from pipeline.joining.refusals import Refusal, first_refusals, judge, refusals, refused_by_code, write_rejects
from pipeline.joining.resource_limits import resource_limits
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import CsvFile, SourceFile
from pipeline.reading.csv_parser import proved, read_file
from pipeline.reading.text_reader import TextReader


class DuckDBEngine:
    """The engine for days that fit into one function.

    Parameters
    ----------
    texts
        The bytes of the files.
    previous_customers
        Parquet files with the customer references that earlier versions delivered.
    keep_files
        Whether to keep the source files. If not, each is deleted after it was judged, to free disk space.
    """

    reads_all_first = False

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        batch: str,
        workdir: Path,
        texts: TextReader,
        previous_customers: Sequence[Path] = (),
        keep_files: bool = True,
    ) -> None:
        self._connection = connection
        self._batch = batch
        self._workdir = workdir
        self._texts = texts
        self._previous_customers = previous_customers
        self._keep_files = keep_files
        self._sources: dict[RecordKind, SourceFile] = {}
        self._refused = 0
        create_control_totals(connection)

    def read(self, kind: RecordKind, source: SourceFile) -> CsvFile:
        """Examine the file's bytes and its header."""
        self._sources[kind] = source
        with resource_limits(self._connection, self._workdir, source.name):
            return read_file(self._connection, kind, source.name, self._texts.read(kind), self._workdir)

    def judge(self, file: CsvFile) -> tuple[CsvFile, Counts]:
        """Read the file once, and a second time if there may be errors."""
        kind = file.kind
        with resource_limits(self._connection, self._workdir, file.name):
            file = read_records(self._connection, file, self._workdir)
            refused = judge(self._connection, file)
        self._refused += refused
        self._remove_files(file)
        lines, blank = self._row(
            """SELECT coalesce(sum(records), 0)::BIGINT,
                coalesce(sum(records) FILTER (is_blank), 0)::BIGINT FROM control_totals WHERE kind = ?""",
            [str(kind)],
        )
        return file, Counts(lines, lines - blank, refused, refused_by_code(self._connection, kind) if refused else {})

    def prove(self, file: CsvFile) -> None:
        """Read a file with quotes to find records of several lines."""
        with resource_limits(self._connection, self._workdir, file.name):
            proved(self._connection, file, self._workdir)

    def join(self) -> Totals:
        """Create the table `results`."""
        total(self._connection, has_refused=self._refused > 0)
        *counted, amount, incomplete = self._row(
            """SELECT count(*), sum(orders)::BIGINT, sum(items)::BIGINT, sum(amount),
                count(*) FILTER (refused_records > 0) FROM results"""
        )
        read_amount, refused_amount, without = self._row(
            """SELECT (SELECT coalesce(sum(amount), 0) FROM control_totals),
                (SELECT coalesce(sum(amount), 0) FROM items_refused),
                (SELECT count(*) - count(amount) FROM items_refused)"""
        )
        numbers = {kind: number or 0 for kind, number in zip(MODEL.kinds, counted, strict=True)}
        return Totals(numbers, amount or Decimal(0), read_amount, refused_amount, without, incomplete)

    def write_results(self, chunks: ChunkWriter) -> None:
        """Write the table `results`."""
        results.write_results(self._connection, self._batch, chunks)

    def remove_customers(self, chunks: ChunkWriter) -> int:
        """Compare the lists of earlier versions with `results`."""
        return results.remove_customers(self._connection, self._batch, self._previous_customers, chunks)

    def refusals(self, file: CsvFile, limit: int) -> Iterator[Refusal]:
        """Yield the first refused records lazily."""
        return refusals(self._connection, file, limit)

    def first_refusals(self, file: CsvFile, limit: int) -> Iterator[Refusal]:
        """Yield the first refused records of each code lazily."""
        return first_refusals(self._connection, file, limit)

    def write_rejects(self, file: CsvFile, target: Path) -> None:
        """Write the refused records as CSV."""
        write_rejects(self._connection, file, target)

    def write_references(self, target: Path) -> None:
        """Write the references in `results`."""
        results.write_references(self._connection, target)

    def _remove_files(self, file: CsvFile) -> None:
        """Remove the temporary files of a source file, and the source file itself unless it is to be kept."""
        source = self._sources[file.kind].path
        for path in {*file.records.paths, source}:
            if not (path == source and self._keep_files):
                path.unlink()

    def _row(self, query: str, parameters: Sequence[object] = ()) -> tuple[Any, ...]:
        row = self._connection.execute(query, parameters).fetchone()
        if row is None:  # pragma: no cover (an aggregate always has a row)
            raise ReconciliationError(f"no row came back for: {query}")
        return row
