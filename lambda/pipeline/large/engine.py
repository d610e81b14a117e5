"""Spark as the engine of a day: DuckDB reads splits and writes files in tasks, Spark joins, sums and sorts between.

The driver only plans. It holds counts, one entry per split and per chunk file, and the first refused records as far as
messages need them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import to_arrow_schema

from pipeline.joining import acceptance, results, second_pass
from pipeline.joining.chunks import Chunk, ChunkWriter
from pipeline.joining.engine import DayTotals, Engine
from pipeline.joining.summary import FileSummary
from pipeline.large import reading, writing
from pipeline.large.splits import FilePlan, Planner
from pipeline.large.storage import Source, Store, copy
from pipeline.large.tasks import TaskLimits
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind
from pipeline.reading import decimal_marks
from pipeline.reading.csv_file import CsvFile, SourceFile

if TYPE_CHECKING:
    import duckdb
    from pyspark.sql import SparkSession

_BYTES_PER_PARTITION = 32 << 20
"""Bytes of the files for each partition of a join; Spark merges partitions that turn out to be small."""

START, WRITE, STORE = "start", "write files", "store the manifest"
_OF_FILES = (f"{step} {kind}" for kind in MODEL.kinds for step in ("examine", "validate"))
STEPS = (START, *_OF_FILES, "join", WRITE, STORE)
"""The steps of a day in order."""


class SparkEngine(Engine):
    """The engine for days that are too large for one function.

    Parameters
    ----------
    store
        Where tasks put the chunk files (`chunks/`) and files for other tasks.
    previous
        Parquet files with the references whose results earlier versions delivered.
    begin
        Called with the name of each step (STEPS) before it; if it raises an exception, the day ends.
    """

    def __init__(
        self,
        spark: SparkSession,
        batch: str,
        sources: Mapping[RecordKind, Source],
        store: Store,
        previous: Sequence[Source],
        limits: TaskLimits,
        decimal_mark: decimal_marks.DecimalMark = "auto",
        begin: Callable[[str], object] = str,
    ) -> None:
        super().__init__(batch)
        self._spark = spark
        self._sources = sources
        self._store = store
        self._previous = list(previous)
        self._limits = limits
        self._decimal_mark = decimal_mark
        self._begin = begin
        self._plans: dict[RecordKind, FilePlan] = {}
        self._kept: dict[str, DataFrame] = {}
        """The relations that Spark keeps, by name."""
        self.stored: set[Path] = set()
        """Paths of chunk files that are not there, but in the store."""
        spark.catalog.clearCache()  # of an earlier day
        size = sum(source.size for source in sources.values())
        settings = {
            "spark.sql.shuffle.partitions": max(spark.sparkContext.defaultParallelism, size // _BYTES_PER_PARTITION),
            "spark.sql.ansi.enabled": "true",
            # Partitions up to this size are joined in memory; sorting them takes a third more processor time.
            "spark.sql.adaptive.advisoryPartitionSizeInBytes": "16m",
            "spark.sql.adaptive.maxShuffledHashJoinLocalMapThreshold": "16m",
        }
        for name, value in settings.items():
            spark.conf.set(name, value)
        # DuckDB has this function. Spark asks for it only if a parent is unknown.
        spark.udf.register("nfc_normalize", lambda text: text and unicodedata.normalize("NFC", text))

    def read(self, kind: RecordKind, source: SourceFile) -> CsvFile:
        """Examine all bytes of a file in tasks, in parallel if possible."""
        self._begin(f"examine {kind}")
        planner = Planner(self._store, self._limits)
        plan = planner.plan(self._spark.sparkContext, kind, source.name, self._sources[kind])
        self._plans[kind] = plan
        votes = self.count_votes(plan.file) if decimal_marks.amounts_decide(plan.file, self._decimal_mark) else None
        file = decimal_marks.with_decimal_mark(plan.file, self._decimal_mark, votes)
        self._plans[kind] = replace(plan, file=file)
        return file

    def sha256(self, kind: RecordKind) -> str:
        """Read the file in the driver; a task would take as long."""
        source, found = self._sources[kind], hashlib.sha256()
        for block in source.read(0, source.size):
            found.update(block)
        return found.hexdigest()

    def verify(self, file: CsvFile) -> None:
        """Raise RefusedFileError if a cell shows that amounts are ambiguous; `read` has found out all else."""
        decimal_marks.refuse_grouped_amounts(file, self.count_votes(file))

    def count_votes(self, file: CsvFile) -> dict[str, decimal_marks.Votes]:
        """Read the amounts of each split."""
        plan, limits = self._plans[file.kind], self._limits

        def votes(number: int) -> dict[str, decimal_marks.Votes]:
            with limits.database(file.name) as (connection, workdir):
                return decimal_marks.count_votes(connection, plan.load(number, workdir))

        numbers = range(len(plan.splits))
        found = self._spark.sparkContext.parallelize(numbers, len(numbers)).map(votes).collect()
        return {mark: sum((of_split[mark] for of_split in found), decimal_marks.Votes()) for mark in found[0]}

    def validate(self, file: CsvFile) -> tuple[CsvFile, FileSummary]:
        """Read the file once, and the splits with errors a second time."""
        self._begin(f"validate {file.kind}")
        validated = super().validate(file)
        if file.kind.parent:
            self.drop(f"{file.kind}_first")
        return validated

    def first_pass(self, file: CsvFile) -> CsvFile:
        """Read all splits; `root` is the reference of the record of the root kind."""
        kind = file.kind
        self._keep(f"{kind}_first", self._read_splits(kind, reading.first_pass, reading.first_columns(kind)))
        self.table(f"{kind}_totals", f"SELECT * FROM {kind}_first WHERE is_total")
        self.view(f"{kind}_records", f"SELECT * FROM {kind}_first WHERE NOT is_total")
        own = "reference" if kind.identity else "records"
        columns = [own, *acceptance.amounts(kind), *acceptance.carried(kind)]
        if kind.parent is None:
            self.view(f"{kind}_valid", f"SELECT {', '.join(columns)}, reference AS root FROM {kind}_records")
            return file
        rooted = f"({acceptance.with_root(kind, f'{kind}_records', columns)}) WHERE root IS NOT NULL"
        if kind.identity:
            self.table(f"{kind}_valid", f"SELECT * FROM {rooted}")
        else:
            sums = "".join(f", sum({name}) AS {name}" for name in acceptance.amounts(kind))
            selected = f"root, CAST(sum(records) AS BIGINT) AS records{sums}"
            self.table(f"{kind}_valid", f"SELECT {selected} FROM {rooted} GROUP BY root")
        return file

    def find_candidates(self, file: CsvFile, anomalies: Collection[str]) -> None:
        """Read again the splits that have records which break a rule by themselves or meet a condition."""
        kind = file.kind
        keys = {"": f"SELECT split, CAST(NULL AS STRING) AS key FROM {kind}_totals WHERE code IS NOT NULL"}
        if "ids" in anomalies:
            ids = self._read_splits(kind, reading.row_ids, {"split": "INT", "id": "STRING"})
            ids.createOrReplaceTempView(f"{kind}_ids")
            repeated = f"SELECT id AS repeated FROM {kind}_ids GROUP BY id HAVING count(*) > 1"
            keys["id"] = f"SELECT split, id AS key FROM {kind}_ids SEMI JOIN ({repeated}) ON id = repeated"
        if "references" in anomalies:
            repeated = f"SELECT reference AS repeated FROM ({acceptance.repeated_references(kind)})"
            of_records = f"SELECT split, reference AS key FROM {kind}_records"
            keys["reference"] = f"{of_records} SEMI JOIN ({repeated}) ON reference = repeated"
        if "orphans" in anomalies and kind.parent:
            accepted = f"SELECT reference AS accepted FROM {kind.parent.kind}_accepted"
            of_records = f"SELECT split, parent AS key FROM {kind}_records"
            keys["parent"] = f"{of_records} ANTI JOIN ({accepted}) ON parent = accepted"
        self._collect(file, keys)

    def find_references(self, file: CsvFile, references: str) -> None:
        """Read all splits again, as it is no longer known which has a reference."""
        splits = f"SELECT explode(sequence(0, {len(self._plans[file.kind].splits) - 1})) AS split"
        self._collect(file, {"reference": f"SELECT * FROM ({splits}) CROSS JOIN ({references}) AS asked (key)"})

    def _collect(self, file: CsvFile, keys: Mapping[str, str]) -> None:
        """Create `<kind>_candidates` from the splits and keys (split, key), by what the keys are."""
        kind, plan = file.kind, self._plans[file.kind]
        distinct = (f"SELECT DISTINCT split, '{part}' AS part, key FROM ({rows})" for part, rows in keys.items())
        by_split = self._spark.sql(" UNION ALL ".join(distinct)).repartition(len(plan.splits), "split")
        task = reading.candidates(plan, self._limits)
        columns = acceptance.candidate_columns(kind)
        self._keep(f"{kind}_candidates", by_split.mapInArrow(task, _schema(columns)))

    def table(self, name: str, sql: str) -> None:
        """Compute a relation and keep it."""
        self._keep(name, self._spark.sql(sql))

    def view(self, name: str, sql: str) -> None:
        """Name a relation that is computed where it is used."""
        self._spark.sql(sql).createOrReplaceTempView(name)

    def drop(self, name: str) -> None:
        """Free a relation."""
        if name in self._kept:
            self._kept.pop(name).unpersist()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query."""
        return [tuple(row) for row in self._spark.sql(sql).collect()]

    def join(self) -> DayTotals:
        """Create `results`."""
        self._begin("join")
        return super().join()

    def write_results(self, chunks: ChunkWriter) -> None:
        """Write chunk files in tasks, each for a range of the sorted results."""
        self._write_chunks("results", results.write_results, chunks)

    def load_previous(self) -> bool:
        """Read the lists of earlier versions in tasks."""
        if self._previous:
            read = writing.listed_references(self._previous, self._limits)
            self._keep("previous", self._read(len(self._previous), read, {"reference": "STRING"}))
        return bool(self._previous)

    def remove_results(self, chunks: ChunkWriter) -> None:
        """Write chunk files with removals in tasks."""
        chunks.flush()
        self._write_chunks("removed", results.write_removals, chunks)

    def _write_chunks(self, table: str, write_all: Callable[..., None], chunks: ChunkWriter) -> None:
        batch, chunk_records = self._batch, chunks.chunk_records

        def write(connection: duckdb.DuckDBPyConnection, folder: Path) -> list[Chunk]:
            of_task = ChunkWriter(folder / "chunks", chunk_records)
            write_all(connection, batch, of_task)
            of_task.flush()
            return of_task.chunks

        rows = self._written(table, self._spark.table(table).orderBy("reference"), write, f"chunks/{table}")
        written = [Chunk(chunks.directory / Path(row.name).name, row.records) for row in rows]
        chunks.chunks += written
        self.stored.update(chunk.path for chunk in written)

    def errors(self, file: CsvFile, refused: str) -> Iterator[dict[str, Any]]:
        """Yield the items; a task forms their sentences from the lines, which may be too long for the driver."""
        batch = self._batch

        def write(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
            items = second_pass.errors(connection, batch, file, "SELECT * FROM chosen")
            path.write_text(json.dumps(list(items)))

        for part in self._parts("chosen", self._spark.sql(refused).repartition(1), write):
            yield from json.loads(part.read_text())

    def write_rejects(self, file: CsvFile, target: Path) -> None:
        """Write parts of the file in tasks; the driver only concatenates them, with one header."""
        table = f"{file.kind}_refused"
        rows = self._spark.table(table).orderBy("line_number")
        parts = self._parts(table, rows, lambda connection, path: second_pass.write_rejects(connection, file, path))
        with target.open("wb") as rejects:
            for path in parts:
                with path.open("rb") as part:
                    header = part.readline()
                    rejects.write(b"" if rejects.tell() else header)
                    shutil.copyfileobj(part, rejects)

    def write_references(self, table: str, target: Path) -> None:
        """Write the references in one task; the driver copies the list."""
        rows = self._spark.table(table).select("reference").coalesce(1)
        for part in self._parts(
            table, rows, lambda connection, path: results.write_references(connection, table, path)
        ):
            shutil.copyfile(part, target)

    def _parts(
        self, table: str, rows: DataFrame, write: Callable[[duckdb.DuckDBPyConnection, Path], None]
    ) -> Iterator[Path]:
        """Let a task write a file for each partition of some rows, and yield copies of the files in order."""

        def write_part(connection: duckdb.DuckDBPyConnection, folder: Path) -> list[Chunk]:
            write(connection, folder / "part")
            return [Chunk(folder / "part", 0)]

        with TemporaryDirectory(dir=self._limits.folder) as folder:
            for row in self._written(table, rows, write_part, f"large_day/{table}"):
                yield copy(self._store.source(row.name), Path(folder, "part"))

    def _written(self, table: str, rows: DataFrame, write: writing.Writer, prefix: str) -> list[Any]:
        """Let tasks write rows; return the rows about the files (WRITTEN), in order."""
        self._begin(WRITE)
        task = writing.files(table, to_arrow_schema(rows.schema), write, self._store, prefix, self._limits)
        return sorted(rows.mapInArrow(task, writing.WRITTEN).collect())

    def _read_splits(
        self, kind: RecordKind, read: Callable[[FilePlan, TaskLimits], reading.ReadOne], columns: Mapping[str, str]
    ) -> DataFrame:
        plan = self._plans[kind]
        return self._read(len(plan.splits), read(plan, self._limits), columns)

    def _read(self, count: int, read: reading.ReadOne, columns: Mapping[str, str]) -> DataFrame:
        """Return what tasks read, each that with a number less than `count`."""
        return self._spark.range(0, count, 1, count).mapInArrow(reading.each(read), _schema(columns))

    def _keep(self, name: str, rows: DataFrame) -> None:
        """Compute a relation, and let Spark keep it in memory or on the workers' disks.

        If a worker is lost, Spark computes again what it kept, from the files if need be. The plan of a query over the
        relation begins with its rows: otherwise it would contain the plans of all relations before it, several times.
        """
        self._kept[name] = rows.persist()
        rows.count()
        kept = self._spark._jsparkSession.internalCreateDataFrame(
            rows._jdf.queryExecution().toRdd(), rows._jdf.schema(), False
        )
        DataFrame(kept, self._spark).createOrReplaceTempView(name)


def _schema(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {type_name}" for name, type_name in columns.items())
