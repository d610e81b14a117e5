"""Spark as the engine of a day: tasks read splits with the function's own SQL; Spark joins and sums narrow rows.

The driver only plans. It holds counts, one entry per split and per chunk file, and the first refused records as far as
messages need them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark import StorageLevel

from pipeline.joining import results
from pipeline.joining.chunks import Chunk, ChunkWriter
from pipeline.joining.engine import Counts, Totals
from pipeline.joining.incomplete import refused_records_by_customer
from pipeline.joining.refusals import Refusal, create_judged, write_rejects
from pipeline.joining.rules_between_records import CANDIDATE_COLUMNS, JUDGED_COLUMNS, judged_candidates
from pipeline.joining.sentences import create_sentences
from pipeline.large import tasks
from pipeline.large.places import Source, Store
from pipeline.large.plan import FilePlan, Room
from pipeline.large.planner import Planner, of_splits
from pipeline.large.sorted_rows import SortedRows, sort
from pipeline.model.data_model import KINDS, Kind
from pipeline.reading.csv_file import CsvFile, SourceFile
from pipeline.reading.sql import open_database

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MB = 1 << 20
_ROWS_PER_PARTITION = 200_000
"""Refused records that one task writes."""
_CHUNKS_PER_GROUP = 20
"""Chunk files that one task writes at a time."""

_RESULTS = """
    WITH item_sums AS (
        SELECT parent AS order_reference, sum(records) AS items, sum(amount) AS amount
        FROM (
            SELECT parent, records, amount FROM items_good
            -- Subtract the refused items that break no rule by themselves, as they are included.
            UNION ALL SELECT parent, CAST(-1 AS BIGINT), CAST(-amount AS DECIMAL(38,4))
            FROM items_refused WHERE own_code IS NULL
        ) GROUP BY parent
    ), order_sums AS (
        SELECT parent AS customer_reference, count(*) AS orders, sum(items) AS items, sum(amount) AS amount
        FROM orders_accepted LEFT JOIN item_sums ON reference = order_reference
        GROUP BY parent
    )
    SELECT reference AS customer_reference, coalesce(orders, CAST(0 AS BIGINT)) AS orders,
        CAST(coalesce(items, 0) AS BIGINT) AS items, CAST(coalesce(amount, 0) AS DECIMAL(38,4)) AS amount,
        coalesce(refused_records, CAST(0 AS BIGINT)) AS refused_records
    FROM customers_accepted AS customers LEFT JOIN order_sums ON reference = customer_reference
    LEFT JOIN refused_records ON refused_records.customer = reference"""


class SparkEngine:
    """The engine for days that are too large for one function.

    Parameters
    ----------
    sources
        The files of the day.
    store
        Where tasks put the chunk files (`chunks/`) and files for other tasks.
    workdir
        The driver's working folder.
    previous_customers
        Parquet files with the customer references that earlier versions delivered.
    max_unpacked
        Bytes that a gzip file may unpack to; None for no limit.
    split_bytes
        Bytes of a file that one task reads.
    partitions
        Number of shuffle partitions.
    room
        The limits of a task.
    """

    def __init__(
        self,
        spark: SparkSession,
        batch: str,
        sources: Mapping[Kind, Source],
        store: Store,
        workdir: Path,
        previous_customers: Sequence[Source] = (),
        max_unpacked: int | None = None,
        split_bytes: int = 64 * MB,
        partitions: int = 64,
        room: Room | None = None,
    ) -> None:
        self._spark = spark
        self._batch = batch
        self._sources = sources
        self._store = store
        self._workdir = workdir
        self._previous_customers = list(previous_customers)
        self._partitions = partitions
        self._room = room or Room()
        self._planner = Planner(spark, store, split_bytes, max_unpacked, self._room)
        self._plans: dict[Kind, FilePlan] = {}
        self._kept: list[DataFrame] = []
        self._results: SortedRows | None = None
        self.stored: set[Path] = set()
        """Paths in the working folder of the files that are not there, but in the store under the same name."""
        self._refused: dict[Kind, int] = {}
        self._read_amount = self._refused_amount = Decimal(0)
        self._refused_without_amount = 0
        configure(spark, partitions)

    def close(self) -> None:
        """Free what Spark has persisted for the day."""
        for frame in self._kept:
            frame.unpersist()

    def read(self, kind: Kind, source: SourceFile) -> CsvFile:
        """Examine all bytes of a file in tasks, in parallel if possible."""
        self._plans[kind] = self._planner.plan(kind, source.name, self._sources[kind])
        return self._plans[kind].file

    def judge(self, file: CsvFile) -> Counts:
        """Read the file once, and the splits with errors a second time; create views of good and refused records."""
        kind, plan = file.kind, self._plans[file.kind]
        columns = tasks.schema(tasks.FIRST_READING)
        first = of_splits(self._spark, plan, tasks.first_reading(plan, self._room), columns)
        self._view(f"{kind}_first", first, keep=True)
        self._view(
            f"{kind}_good",
            self._spark.sql(f"SELECT split, reference, parent, records, amount FROM {kind}_first WHERE part = 'good'"),
        )
        totals = self._spark.sql(
            f"""SELECT is_blank, code IS NOT NULL AS is_wrong, sum(records) AS records, sum(amount) AS amount
            FROM {kind}_first WHERE part = 'total' GROUP BY 1, 2"""
        ).collect()
        if kind is Kind.ITEMS:
            self._read_amount = sum((row.amount for row in totals if row.amount is not None), Decimal(0))
        keys = self._keys(plan, has_wrong=any(row.is_wrong for row in totals))
        self._view(f"{kind}_judged", self._judged(plan, keys), keep=keys is not None)
        self._view(f"{kind}_refused", self._spark.sql(f"SELECT * FROM {kind}_judged WHERE code IS NOT NULL"))
        if KINDS[kind].identity:
            self._view(f"{kind}_accepted", self._spark.sql(_accepted(kind, has_candidates=keys is not None)), keep=True)
        lines = sum(row.records for row in totals)
        blank = sum(row.records for row in totals if row.is_blank)
        return self._counts(kind, lines, blank)

    def _counts(self, kind: Kind, lines: int, blank: int) -> Counts:
        rows = self._spark.sql(
            f"""SELECT code, count(*) AS records, sum(amount) AS amount, count(*) - count(amount) AS without
            FROM {kind}_refused GROUP BY code ORDER BY code"""
        ).collect()
        if kind is Kind.ITEMS:
            self._refused_amount = sum((row.amount for row in rows if row.amount is not None), Decimal(0))
            self._refused_without_amount = sum(row.without for row in rows)
        self._refused[kind] = sum(row.records for row in rows)
        return Counts(lines, lines - blank, self._refused[kind], {row.code: row.records for row in rows})

    def _keys(self, plan: FilePlan, has_wrong: bool) -> DataFrame | None:
        """Return the keys of the candidates in each split (`tasks.KEYS`); None if there are none."""
        kind, parent = plan.file.kind, KINDS[plan.file.kind].parent
        parts = []
        if has_wrong:
            parts.append(
                f"""SELECT DISTINCT split, 'own' AS part, CAST(NULL AS STRING) AS key FROM {kind}_first
                WHERE part = 'total' AND code IS NOT NULL"""
            )
        if KINDS[kind].identity:
            parts.append(
                f"""SELECT DISTINCT split, 'reference' AS part, {kind}_good.reference AS key
                FROM {kind}_good JOIN (
                    SELECT reference FROM {kind}_good GROUP BY reference HAVING count(*) > 1
                ) AS repeated ON {kind}_good.reference = repeated.reference"""
            )
        if parent:
            parts.append(
                f"""SELECT DISTINCT split, 'parent' AS part, parent AS key FROM {kind}_good
                LEFT ANTI JOIN {parent[0]}_accepted AS accepted ON {kind}_good.parent = accepted.reference"""
            )
        if plan.file.has_row_ids and not self._has_distinct_ids(kind):
            ids = of_splits(self._spark, plan, tasks.row_ids(plan, self._room), "split INT, id STRING")
            self._view(f"{kind}_ids", ids, keep=True)
            parts.append(
                f"""SELECT DISTINCT split, 'id' AS part, {kind}_ids.id AS key FROM {kind}_ids JOIN (
                    SELECT id FROM {kind}_ids GROUP BY id HAVING count(*) > 1
                ) AS repeated ON {kind}_ids.id = repeated.id"""
            )
        if not parts:
            return None
        keys = self._keep(self._spark.sql(" UNION ALL ".join(parts)))
        return keys if keys.head(1) else None

    def _has_distinct_ids(self, kind: Kind) -> bool:
        row = self._spark.sql(
            f"""SELECT coalesce(sum(records), 0) AS ids,
                coalesce(sum(bit_count(bits)) FILTER (WHERE block >= 0), 0) AS bits
            FROM (SELECT block, sum(records) AS records, bit_or(bits) AS bits FROM {kind}_first
                WHERE part = 'ids' GROUP BY block)"""
        ).first()
        return row is not None and row.ids == row.bits

    def _judged(self, plan: FilePlan, keys: DataFrame | None) -> DataFrame:
        kind = plan.file.kind
        if keys is None:
            return self._spark.createDataFrame([], tasks.schema(JUDGED_COLUMNS))
        columns = tasks.schema(CANDIDATE_COLUMNS)
        found = (
            keys.repartition(min(len(plan.splits), 4 * self._partitions), "split")
            .sortWithinPartitions("split")
            .mapInArrow(tasks.candidates(plan, self._room), columns)
        )
        self._view(f"{kind}_candidates", found, keep=True)
        return self._spark.sql(judged_candidates(kind, plan.file.has_row_ids, is_standard=True))

    def join(self) -> Totals:
        """Sum by order and then by customer, and sort the customers."""
        self._view("refused_records", self._spark.sql(refused_records_by_customer(is_standard=True)))
        joined = self._keep(sort(self._spark.sql(_RESULTS), "customer_reference", self._partitions))
        self._view("results", joined)
        rows = self._spark.sql(
            """SELECT spark_partition_id() AS part, count(*) AS customers, sum(orders) AS orders, sum(items) AS items,
                sum(amount) AS amount, count_if(refused_records > 0) AS incomplete
            FROM results GROUP BY spark_partition_id()"""
        ).collect()
        self._results = SortedRows(joined, {row.part: row.customers for row in rows})
        counted = {kind: sum(row[kind.value] for row in rows) for kind in Kind}
        return Totals(
            counted,
            sum((row.amount for row in rows), Decimal(0)),
            self._read_amount,
            self._refused_amount,
            self._refused_without_amount,
            sum(row.incomplete for row in rows),
        )

    def write_results(self, chunks: ChunkWriter) -> None:
        """Write all full chunk files in tasks; the driver writes the remaining rows."""
        size, found = chunks.chunk_records, self._need_results()
        full = found.count // size
        task = tasks.result_chunks(self._batch, self._store, size, _CHUNKS_PER_GROUP, self._room)
        self._take_over(
            chunks, found.write_chunks(task, chunks.directory, size, full, _CHUNKS_PER_GROUP, 4 * self._partitions)
        )
        rest = found.after(full, size)
        with open_database(self._workdir, self._room.memory_mb, 1) as connection:
            connection.register("results", rest)
            results.write_results(connection, self._batch, chunks)

    def _take_over(self, chunks: ChunkWriter, written: list[Chunk]) -> None:
        chunks.take_over(written)
        self.stored.update(chunk.path for chunk in written)

    def remove_customers(self, chunks: ChunkWriter) -> int:
        """Compare the lists of earlier versions with the results."""
        if not self._previous_customers:
            return 0
        lists = len(self._previous_customers)
        before = self._spark.range(0, lists, 1, lists).mapInArrow(
            tasks.references(self._previous_customers, self._room), "customer_reference STRING"
        )
        gone = before.distinct().join(self._need_results().rows, "customer_reference", "left_anti")
        rows = self._keep(sort(gone, "customer_reference", self._partitions))
        sizes = rows.selectExpr("spark_partition_id() AS part").groupBy("part").count().collect()
        removed = SortedRows(rows, {row["part"]: row["count"] for row in sizes})
        if removed.count:
            chunks.flush()
            per_chunk = results.removals_per_chunk(chunks.chunk_records)
            # The driver writes the last removals, as further requests may follow in the same chunk.
            full = (removed.count - 1) // per_chunk
            task = tasks.removal_chunks(self._batch, self._store, chunks.chunk_records, len(chunks.chunks), self._room)
            self._take_over(
                chunks, removed.write_chunks(task, chunks.directory, per_chunk, full, 1, 4 * self._partitions)
            )
            rest = removed.after(full, per_chunk)
            results.add_removals(self._batch, rest.column("customer_reference").to_pylist(), chunks)
        return removed.count

    def refusals(self, file: CsvFile, limit: int) -> Iterator[Refusal]:
        """Return the first refused records; one task creates the sentences."""
        return self._worded(file, f"SELECT * FROM {file.kind}_refused ORDER BY line_number LIMIT {limit}")

    def first_refusals(self, file: CsvFile, limit: int) -> Iterator[Refusal]:
        """Return the first refused records of each code; one task creates the sentences."""
        occurrence = "row_number() OVER (PARTITION BY code ORDER BY line_number) AS occurrence"
        return self._worded(
            file, f"SELECT * FROM (SELECT *, {occurrence} FROM {file.kind}_refused) WHERE occurrence <= {limit}"
        )

    def _worded(self, file: CsvFile, refused: str) -> Iterator[Refusal]:
        # Without the lines: sentences do not need them, and they may be long.
        columns = ", ".join(f"CAST(NULL AS STRING) AS {name}" if name == "line" else name for name in JUDGED_COLUMNS)
        rows = (
            self._spark.sql(f"SELECT {columns} FROM ({refused})")
            .coalesce(1)
            .mapInArrow(
                tasks.reasons(self._plans[file.kind], self._room),
                "line BIGINT, code STRING, reason STRING, customer_reference STRING, order_reference STRING",
            )
        )
        return iter([Refusal(*row) for row in rows.collect()])

    def write_rejects(self, file: CsvFile, target: Path) -> None:
        """Write parts of the file in tasks; the driver only concatenates them."""
        parts, folder = -(-self._refused[file.kind] // _ROWS_PER_PARTITION), f"parts/{file.kind}-rejects-"
        refused = self._spark.sql(f"SELECT {', '.join(JUDGED_COLUMNS)} FROM {file.kind}_refused")
        task = tasks.rejects(self._plans[file.kind], self._store, folder, self._room)
        written = sort(refused, "line_number", max(parts, 1)).mapInArrow(task, "part INT, name STRING").collect()
        with self._room.database(file.name) as (connection, workdir):
            create_sentences(connection)
            create_judged(connection, file.kind)
            write_rejects(connection, file, workdir / "header.csv")  # writes only the header line
            self._store.put(workdir / "header.csv", f"{folder}header.csv")
        self._store.concatenate([f"{folder}header.csv", *(row.name for row in sorted(written))], self._name(target))
        self.stored.add(target)

    def write_references(self, target: Path) -> None:
        """Write the references in one task."""
        references = self._need_results().rows.select("customer_reference").coalesce(1)
        (_,) = references.mapInArrow(
            tasks.reference_list(self._store, self._name(target), self._room), "name STRING"
        ).collect()
        self.stored.add(target)

    def _name(self, target: Path) -> str:
        """Return the name in the store of a file that would otherwise be in the working folder."""
        return target.relative_to(self._workdir).as_posix()

    def _need_results(self) -> SortedRows:
        if self._results is None:
            raise ValueError("the day is not joined yet")
        return self._results

    def _keep(self, rows: DataFrame) -> DataFrame:
        """Persist rows on the workers' disks; rows that are lost with a worker are computed again.

        As with `DataFrame.localCheckpoint`, the query plan is cut here: otherwise the plans of a day would contain each
        other, and Spark would spend most of its time on printing them. Unlike with it, lost rows can be recomputed.
        """
        from pyspark.sql import DataFrame

        kept = rows.persist(StorageLevel.DISK_ONLY)
        self._kept.append(kept)
        java: Any = kept._jdf
        plan = self._spark._jsparkSession.internalCreateDataFrame(java.queryExecution().toRdd(), java.schema(), False)
        return DataFrame(plan, self._spark)

    def _view(self, name: str, rows: DataFrame, keep: bool = False) -> None:
        (self._keep(rows) if keep else rows).createOrReplaceTempView(name)


def configure(spark: SparkSession, partitions: int) -> None:
    """Configure Spark for exact decimals, errors instead of NULL, and small Arrow batches."""
    for name, value in {
        "spark.sql.shuffle.partitions": str(partitions),
        "spark.sql.ansi.enabled": "true",
        "spark.sql.decimalOperations.allowPrecisionLoss": "false",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "5000",
        "spark.sql.maxPlanStringLength": "10000",
    }.items():
        spark.conf.set(name, value)


def _accepted(kind: Kind, has_candidates: bool) -> str:
    """Select the accepted records: all that were not candidates, and the candidates that were not refused."""
    customer = "parent" if KINDS[kind].parent else "reference"
    good = f"SELECT reference, parent, {customer} AS customer FROM {kind}_good"
    if not has_candidates:
        return good
    return f"""{good} LEFT ANTI JOIN (SELECT reference AS candidate FROM {kind}_judged WHERE own_code IS NULL)
            ON reference = candidate
        UNION ALL SELECT reference, parent, {customer} AS customer FROM {kind}_judged WHERE code IS NULL"""
