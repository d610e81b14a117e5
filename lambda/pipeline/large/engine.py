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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import to_arrow_schema

from pipeline.joining import acceptance, results, second_pass
from pipeline.joining.chunks import Chunk, ChunkWriter
from pipeline.joining.engine import DayTotals, Engine
from pipeline.joining.summary import FileSummary
from pipeline.large import reading, writing
from pipeline.large.splits import FilePlan, Planner, add_votes
from pipeline.large.storage import Source, Store, copy
from pipeline.large.tasks import TaskLimits
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import CsvFile, SourceFile
from pipeline.reading.decimal_marks import DecimalMark, Votes, count_votes, refuse_grouped_amounts

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SPLIT_BYTES = 64 << 20
"""Bytes of a file that one task reads."""
_BYTES_PER_PARTITION = 32 << 20
"""Bytes of the files for each partition of a join; Spark merges partitions that turn out to be small."""

_SMALL_JOINS = dict.fromkeys(
    ("spark.sql.adaptive.advisoryPartitionSizeInBytes", "spark.sql.adaptive.maxShuffledHashJoinLocalMapThreshold"),
    "16m",
)
"""Partitions up to this size are joined in memory, larger ones are sorted, which takes a third more processor time."""

START, WRITE, STORE = "start", "write files", "store the manifest"
STEPS = (
    START,
    *(f"examine {kind}" for kind in MODEL.kinds),
    *(f"judge {kind}" for kind in MODEL.kinds),
    "join",
    WRITE,
    STORE,
)
"""The steps of a day in order."""


class SparkEngine(Engine):
    """The engine for days that are too large for one function.

    Parameters
    ----------
    sources
        The files of the day.
    store
        Where tasks put the chunk files (`chunks/`) and files for other tasks.
    previous
        Parquet files with the references whose results earlier versions delivered.
    max_unpacked
        Bytes that a gzip file may unpack to; None for no limit.
    split_bytes
        Bytes of a file that one task reads.
    partitions
        Number of partitions of joins and sorts.
    begin
        Called with the name of each step (STEPS) before it; if it raises an exception, the day ends.
    """

    reads_all_first = True

    def __init__(
        self,
        spark: SparkSession,
        batch: str,
        sources: Mapping[RecordKind, Source],
        store: Store,
        previous: Sequence[Source] = (),
        max_unpacked: int | None = None,
        split_bytes: int = SPLIT_BYTES,
        partitions: int | None = None,
        limits: TaskLimits | None = None,
        decimal_mark: DecimalMark = "auto",
        begin: Callable[[str], object] = str,
    ) -> None:
        super().__init__(batch)
        self._spark = spark
        self._sources = sources
        self._store = store
        self._previous = list(previous)
        self._limits = limits or TaskLimits()
        self._begin = begin
        self._planner = Planner(store, split_bytes, max_unpacked, decimal_mark, self._limits)
        self._plans: dict[RecordKind, FilePlan] = {}
        self._kept: dict[str, DataFrame] = {}
        """The relations that Spark keeps, by name."""
        self.stored: set[Path] = set()
        """Paths of chunk files that are not there, but in the store."""
        size = sum(source.size for source in sources.values())
        number = partitions or max(2 * spark.sparkContext.defaultParallelism, size // _BYTES_PER_PARTITION)
        settings = {"spark.sql.shuffle.partitions": str(number), "spark.sql.ansi.enabled": "true"} | _SMALL_JOINS
        for name, value in settings.items():
            spark.conf.set(name, value)
        # DuckDB has this function. Spark asks for it only if a parent is unknown.
        spark.udf.register("nfc_normalize", _nfc)

    def close(self) -> None:
        """Free what Spark keeps for the day."""
        for name in list(self._kept):
            self.drop(name)

    def read(self, kind: RecordKind, source: SourceFile) -> CsvFile:
        """Examine all bytes of a file in tasks, in parallel if possible."""
        self._begin(f"examine {kind}")
        self._plans[kind] = self._planner.plan(self._spark.sparkContext, kind, source.name, self._sources[kind])
        return self._plans[kind].file

    def sha256(self, kind: RecordKind) -> str:
        """Read the file in the driver; a task would take as long."""
        source, found = self._sources[kind], hashlib.sha256()
        for block in source.read(0, source.size):
            found.update(block)
        return found.hexdigest()

    def prove(self, file: CsvFile) -> None:
        """Raise RefusedFileError if a cell shows that amounts are ambiguous; `read` has found out all else."""
        refuse_grouped_amounts(file, self.count_votes(file))

    def count_votes(self, file: CsvFile) -> dict[str, Votes]:
        """Read the amounts of each split."""
        plan, limits = self._plans[file.kind], self._limits

        def votes(number: int) -> dict[str, Votes]:
            with limits.database(file.name) as (connection, workdir):
                return count_votes(connection, plan.load(number, workdir))

        numbers = range(len(plan.splits))
        found = self._spark.sparkContext.parallelize(numbers, len(numbers)).map(votes).collect()
        return add_votes(found) or {}

    def judge(self, file: CsvFile) -> tuple[CsvFile, FileSummary]:
        """Read the file once, and the splits with errors a second time."""
        self._begin(f"judge {file.kind}")
        judged = super().judge(file)
        if file.kind.parent:
            self.drop(f"{file.kind}_first")
        return judged

    def first_pass(self, file: CsvFile) -> CsvFile:
        """Read all splits; `root` is the reference of the record of the root kind."""
        kind = file.kind
        others = [*acceptance.amounts(kind), *acceptance.carried(kind)]
        self._keep(f"{kind}_first", self._read(kind, reading.first_pass, reading.first_columns(kind)))
        self.table(f"{kind}_totals", f"SELECT * FROM {kind}_first WHERE is_total")
        self.view(f"{kind}_records", f"SELECT * FROM {kind}_first WHERE NOT is_total")
        if kind.parent is None:
            columns = ", ".join(["reference", "reference AS root", *others])
            self.view(f"{kind}_valid", f"SELECT {columns} FROM {kind}_records")
            return file
        own = ["reference"] if kind.identity else ["records"]
        rooted = acceptance.with_root(kind, f"{kind}_records", [*own, *others])
        if kind.identity:
            self.table(f"{kind}_valid", f"SELECT * FROM ({rooted}) WHERE root IS NOT NULL")
        else:
            sums = "".join(f", sum({name}) AS {name}" for name in acceptance.amounts(kind))
            self.table(
                f"{kind}_valid",
                f"""SELECT root, CAST(sum(records) AS BIGINT) AS records{sums}
                FROM ({rooted}) WHERE root IS NOT NULL GROUP BY root""",
            )
        return file

    def find_candidates(self, file: CsvFile, anomalies: Collection[str]) -> None:
        """Read again the splits that have records which break a rule by themselves or meet a condition."""
        kind = file.kind
        keys = [
            f"SELECT DISTINCT split, '' AS part, CAST(NULL AS STRING) AS key FROM {kind}_totals WHERE code IS NOT NULL"
        ]
        if "ids" in anomalies:
            self._read(kind, reading.row_ids, {"split": "INT", "id": "STRING"}).createOrReplaceTempView(f"{kind}_ids")
            keys.append(
                f"""SELECT DISTINCT split, 'id', id FROM {kind}_ids
                SEMI JOIN (SELECT id AS repeated FROM {kind}_ids GROUP BY id HAVING count(*) > 1) ON id = repeated"""
            )
        if "references" in anomalies:
            keys.append(
                f"""SELECT DISTINCT split, 'reference', reference FROM {kind}_records
                SEMI JOIN (SELECT reference AS repeated FROM ({acceptance.repeated_references(kind)}))
                    ON reference = repeated"""
            )
        if "orphans" in anomalies and kind.parent:
            keys.append(
                f"""SELECT DISTINCT split, 'parent', parent FROM {kind}_records
                ANTI JOIN (SELECT reference AS accepted FROM {kind.parent.kind}_accepted) ON parent = accepted"""
            )
        self._collect(file, " UNION ALL ".join(keys))

    def find_references(self, file: CsvFile, references: str) -> None:
        """Read all splits again, as it is no longer known which has a reference."""
        splits = f"SELECT explode(sequence(0, {len(self._plans[file.kind].splits) - 1})) AS split"
        keys = f"SELECT split, 'reference' AS part, asked.* FROM ({splits}) CROSS JOIN ({references}) AS asked"
        self._collect(file, f"SELECT * FROM ({keys}) AS keys (split, part, key)")

    def _collect(self, file: CsvFile, keys: str) -> None:
        """Create `<kind>_candidates` from the splits that keys (KEYS) name."""
        kind, plan = file.kind, self._plans[file.kind]
        by_split = self._spark.sql(keys).repartition(len(plan.splits), "split")
        task = reading.candidates(plan, self._limits)
        columns = acceptance.candidate_columns(kind)
        self._keep(f"{kind}_candidates", by_split.sortWithinPartitions("split").mapInArrow(task, _schema(columns)))

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
        self._write_chunks("results", chunks)

    def load_previous(self) -> bool:
        """Read the lists of earlier versions in tasks."""
        if self._previous:
            numbers = self._spark.range(0, len(self._previous), 1, len(self._previous))
            task = writing.listed_references(self._previous, self._limits)
            self._keep("previous", numbers.mapInArrow(task, "reference STRING"))
        return bool(self._previous)

    def remove_results(self, chunks: ChunkWriter) -> None:
        """Write chunk files with removals in tasks."""
        chunks.flush()
        self._write_chunks("removed", chunks)

    def _write_chunks(self, table: str, chunks: ChunkWriter) -> None:
        write = writing.chunk_files(table, self._batch, chunks.chunk_records)
        rows = self._written(table, self._spark.table(table).orderBy("reference"), write, f"chunks/{table}")
        written = [Chunk(chunks.directory / Path(row.name).name, row.records) for row in rows]
        chunks.chunks += written
        self.stored.update(chunk.path for chunk in written)

    def errors(self, file: CsvFile, refused: str) -> Iterator[dict[str, Any]]:
        """Yield the items; tasks form their sentences from the lines, which may be too long for the driver."""
        self._begin(WRITE)
        rows = self._spark.sql(refused)
        task = writing.error_items(file, to_arrow_schema(rows.schema), self._batch, self._limits)
        yield from (json.loads(row.item) for row in sorted(rows.mapInArrow(task, writing.ITEMS).collect()))

    def write_rejects(self, file: CsvFile, target: Path) -> None:
        """Write parts of the file in tasks; the driver only concatenates them, with one header."""
        table = f"{file.kind}_refused"
        write = writing.one_file(
            "rejects.csv", lambda connection, path: second_pass.write_rejects(connection, file, path)
        )
        rows = self._spark.table(table).orderBy("line_number")
        with target.open("wb") as rejects:
            for row in self._written(table, rows, write, f"large_day/{table}"):
                with copy(self._store.source(row.name), target.with_suffix(".part")).open("rb") as part:
                    header = part.readline()
                    rejects.write(b"" if rejects.tell() else header)
                    shutil.copyfileobj(part, rejects)
        target.with_suffix(".part").unlink()

    def write_references(self, table: str, target: Path) -> None:
        """Write the references in one task; the driver copies the list."""
        write = writing.one_file(
            "list.parquet", lambda connection, path: results.write_references(connection, table, path)
        )
        rows = self._spark.table(table).select("reference").coalesce(1)
        (written,) = self._written(table, rows, write, f"large_day/{table}")
        copy(self._store.source(written.name), target)

    def _written(self, table: str, rows: DataFrame, write: writing.Writer, prefix: str) -> list[Any]:
        """Let tasks write rows; return the rows about the files (WRITTEN), in order."""
        self._begin(WRITE)
        task = writing.files(table, to_arrow_schema(rows.schema), write, self._store, prefix, self._limits)
        return sorted(rows.mapInArrow(task, writing.WRITTEN).collect())

    def _read(
        self, kind: RecordKind, task: Callable[[FilePlan, TaskLimits], reading.Task], columns: Mapping[str, str]
    ) -> DataFrame:
        """Return what a task reads from each split of a file."""
        plan = self._plans[kind]
        numbers = self._spark.range(0, len(plan.splits), 1, len(plan.splits))
        return numbers.mapInArrow(task(plan, self._limits), _schema(columns))

    def _keep(self, name: str, rows: DataFrame) -> None:
        """Compute a relation, and let Spark keep it in memory or on the workers' disks.

        If a worker is lost, Spark computes again what it kept, from the files if need be. The plan of a query over the
        relation begins with its rows: otherwise it would contain the plans of all relations before it, several times.
        """
        self._kept[name] = rows.persist()
        rows.count()
        kept = self._spark._jsparkSession.internalCreateDataFrame(
            rows._jdf.queryExecution().toRdd(),
            rows._jdf.schema(),
            False,
        )
        DataFrame(kept, self._spark).createOrReplaceTempView(name)


def _schema(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {type_name}" for name, type_name in columns.items())


def _nfc(text: str | None) -> str | None:
    return None if text is None else unicodedata.normalize("NFC", text)
