"""DuckDB as the engine of a day: everything in one process with limited memory."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import duckdb

from pipeline.joining import acceptance, results, second_pass
from pipeline.joining.chunks import ChunkWriter
from pipeline.joining.engine import Engine
from pipeline.joining.first_pass import first_pass, parent_sql
from pipeline.joining.resource_limits import resource_limits
from pipeline.joining.summary import FileSummary
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import CsvFile, SourceFile
from pipeline.reading.csv_parser import ensure_records_are_lines, read_file
from pipeline.reading.decimal_marks import DecimalMark, Votes, count_votes, refuse_grouped_amounts
from pipeline.reading.dialect import ByteProfile
from pipeline.reading.line_reader import records_sql
from pipeline.reading.sql import ask, quoted


class DuckDBEngine(Engine):
    """The engine for days that fit into one function.

    Parameters
    ----------
    profiles
        What the bytes of the files show, in the order of their kinds.
    previous
        Parquet files with the references whose results earlier versions delivered.
    keep_files
        Whether to keep the source files. If not, each is deleted once it and its children are read, to free disk.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        batch: str,
        workdir: Path,
        profiles: Iterator[Future[ByteProfile]],
        previous: Sequence[Path] = (),
        keep_files: bool = True,
        decimal_mark: DecimalMark = "auto",
    ) -> None:
        super().__init__(batch)
        self._connection = connection
        self._workdir = workdir
        self._profiles = profiles
        self._previous = previous
        self._keep_files = keep_files
        self._decimal_mark = decimal_mark
        self._sources: dict[RecordKind, SourceFile] = {}

    def read(self, kind: RecordKind, source: SourceFile) -> CsvFile:
        """Examine the file's bytes and its header."""
        self._sources[kind] = source
        with resource_limits(self._connection, self._workdir, source.name):
            profile = next(self._profiles).result()
            return read_file(self._connection, kind, source.name, profile, self._workdir, self._decimal_mark)

    def sha256(self, kind: RecordKind) -> str:
        """Read the file that was sent."""
        with self._sources[kind].path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def validate(self, file: CsvFile) -> tuple[CsvFile, FileSummary]:
        """Read the file once, and a second time if there may be errors; then delete what is no longer needed."""
        with resource_limits(self._connection, self._workdir, file.name):
            file, summary = super().validate(file)
        for kind in [kind for kind in self._sources if self._files.keys() >= {kind, *MODEL.children(kind)}]:
            source = self._sources.pop(kind).path
            for path in {*self._files[kind].lines.paths, source}:
                if not (path == source and self._keep_files):
                    path.unlink()
        return file, summary

    def verify(self, file: CsvFile) -> None:
        """Read a file with quotes to find records of several lines."""
        with resource_limits(self._connection, self._workdir, file.name):
            file = ensure_records_are_lines(self._connection, file, self._workdir)
            refuse_grouped_amounts(file, self.count_votes(file))

    def count_votes(self, file: CsvFile) -> dict[str, Votes]:
        """Read the amounts of the file."""
        return count_votes(self._connection, file)

    def first_pass(self, file: CsvFile) -> CsvFile:
        """Read all records."""
        return self._with_valid(first_pass(self._connection, file, self._workdir))

    def _with_valid(self, file: CsvFile) -> CsvFile:
        """Create `<kind>_valid`. Records of the root kind are numbered by their place in the table."""
        kind = file.kind
        if kind.identity:
            # Dropping what later steps do not need frees memory.
            for column in ("is_blank", "code", "number"):
                self._connection.execute(f"ALTER TABLE {kind}_records DROP COLUMN IF EXISTS {column}")
            root, is_valid = ("root", "root") if kind.parent else ("rowid::UINTEGER AS root", "reference")
            columns = ", ".join(["reference", root, *acceptance.amounts(kind), *acceptance.carried(kind)])
            self.view(f"{kind}_valid", f"SELECT {columns} FROM {kind}_records WHERE {is_valid} IS NOT NULL")
        else:
            sums = "".join(f", sum({name}) AS {name}" for name in acceptance.amounts(kind))
            self.table(
                f"{kind}_valid",
                f"SELECT root, count(*) AS records{sums} FROM {kind}_records WHERE root IS NOT NULL GROUP BY root",
            )
            self.drop(f"{kind}_records")
        return file

    def find_candidates(self, file: CsvFile, anomalies: Collection[str]) -> None:
        """Read the file in order for the records that break a rule by themselves or meet a condition."""
        kind = file.kind
        conditions = []
        if "ids" in anomalies and file.unique:
            unique = quoted(file.unique)
            self.table(
                f"{kind}_repeated_ids",
                f"""SELECT {unique} AS id FROM ({records_sql(file)}) WHERE is_valid AND {unique} <> ''
                GROUP BY {unique} HAVING count(*) > 1""",
            )
            if ask(self._connection, f"SELECT EXISTS (FROM {kind}_repeated_ids)"):
                conditions.append(f"{unique} IN (SELECT id FROM {kind}_repeated_ids)")
        if "references" in anomalies and kind.identity:
            self.table(f"{kind}_repeated", acceptance.repeated_references(kind))
            conditions.append(f"{quoted(kind.identity)} IN (SELECT reference FROM {kind}_repeated)")
        if "orphans" in anomalies and kind.parent:
            conditions.append(f"{parent_sql(kind)} NOT IN (SELECT reference FROM {kind.parent.kind}_accepted)")
        second_pass.collect_candidates(self._connection, file, conditions)

    def find_references(self, file: CsvFile, references: str) -> None:
        """Read the file in order."""
        condition = f"{quoted(str(file.kind.identity))} IN ({references})"
        second_pass.collect_candidates(self._connection, file, [condition])

    def table(self, name: str, sql: str) -> None:
        """Create a table."""
        self._connection.execute(f"CREATE TABLE {name} AS {sql}")

    def view(self, name: str, sql: str) -> None:
        """Create a view."""
        self._connection.execute(f"CREATE VIEW {name} AS {sql}")

    def drop(self, name: str) -> None:
        """Drop a table if it exists."""
        self._connection.execute(f"DROP TABLE IF EXISTS {name}")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query."""
        return self._connection.execute(sql).fetchall()

    def write_results(self, chunks: ChunkWriter) -> None:
        """Write the table `results`."""
        results.write_results(self._connection, self._batch, chunks)

    def load_previous(self) -> bool:
        """Name the lists of earlier versions."""
        if self._previous:
            self.view("previous", results.listed(self._previous))
        return bool(self._previous)

    def remove_results(self, chunks: ChunkWriter) -> None:
        """Write the table `removed`."""
        results.write_removals(self._connection, self._batch, chunks)

    def errors(self, file: CsvFile, refused: str) -> Iterator[dict[str, Any]]:
        """Yield the items lazily."""
        return second_pass.errors(self._connection, self._batch, file, refused)

    def write_rejects(self, file: CsvFile, target: Path) -> None:
        """Write the refused records as CSV."""
        second_pass.write_rejects(self._connection, file, target)

    def write_references(self, table: str, target: Path) -> None:
        """Write the references in a table."""
        results.write_references(self._connection, table, target)
