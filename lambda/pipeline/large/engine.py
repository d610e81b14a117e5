"""Spark as the engine of a day: tasks read splits, and join and sum them in buckets, with DuckDB; Spark shuffles.

The driver only plans. It holds counts, one entry per split and per chunk file, and the first refused records as far as
messages need them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.joining import results
from pipeline.joining.chunks import Chunk, ChunkWriter
from pipeline.joining.engine import Counts, Totals
from pipeline.joining.incomplete import refused_records_by_customer
from pipeline.joining.refusals import Refusal, create_judged, write_rejects
from pipeline.joining.rules_between_records import CANDIDATE_COLUMNS, JUDGED_COLUMNS, judged_candidates
from pipeline.large import joining, reading, writing
from pipeline.large.blocks import Numbered
from pipeline.large.joining import Signs
from pipeline.large.places import Source, Store
from pipeline.large.plan import FilePlan, Room
from pipeline.large.planner import Planner
from pipeline.large.shuffle import Blocks, Shuffle, schema
from pipeline.large.sorted_rows import SortedRows, sort
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import CsvFile, SourceFile
from pipeline.reading.sql import open_database

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MB = 1 << 20
_ROWS_PER_PARTITION = 200_000
"""Refused records that one task writes."""
_CHUNKS_PER_GROUP = 20
"""Chunk files that one task writes at a time."""
_TASKS_PER_BUCKET = 4
"""Tasks that read candidates, or write chunk files, for each bucket."""


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
    buckets
        Number of buckets into which the rows of the day are divided (`blocks`).
    room
        The limits of a task.
    """

    reads_all_first = True

    def __init__(
        self,
        spark: SparkSession,
        batch: str,
        sources: Mapping[RecordKind, Source],
        store: Store,
        workdir: Path,
        previous_customers: Sequence[Source] = (),
        max_unpacked: int | None = None,
        split_bytes: int = 64 * MB,
        buckets: int = 64,
        room: Room | None = None,
    ) -> None:
        self._spark = spark
        self._batch = batch
        self._sources = sources
        self._store = store
        self._workdir = workdir
        self._previous_customers = list(previous_customers)
        self._room = room or Room()
        self._shuffle = Shuffle(spark, buckets, self._room)
        self._planner = Planner(self._shuffle, store, split_bytes, max_unpacked, self._room)
        self._plans: dict[RecordKind, FilePlan] = {}
        self._good: dict[RecordKind, list[Blocks]] = {}
        """By kind, the blocks of the first reading and, if there are candidates, those of `judged`."""
        self._refused_items: list[Blocks] = []
        self._results: SortedRows | None = None
        self.stored: set[Path] = set()
        """Paths in the working folder of the files that are not there, but in the store under the same name."""
        self._refused: dict[RecordKind, int] = {}
        """The number of refused records of the kinds that have candidates."""
        self._read_amount = self._refused_amount = Decimal(0)
        self._refused_without_amount = 0

    def close(self) -> None:
        """Free what Spark has persisted for the day."""
        self._shuffle.close()

    def read(self, kind: RecordKind, source: SourceFile) -> CsvFile:
        """Examine all bytes of a file in tasks, in parallel if possible."""
        self._plans[kind] = self._planner.plan(kind, source.name, self._sources[kind])
        return self._plans[kind].file

    def judge(self, file: CsvFile) -> tuple[CsvFile, Counts]:
        """Read the file once, and the splits with errors a second time."""
        kind, plan = file.kind, self._plans[file.kind]
        splits = range(len(plan.splits))
        first = self._shuffle.each(splits, reading.first_reading(plan, self._shuffle.buckets, self._room))
        self._good[kind] = [self._shuffle.divide(first)]
        parent = kind.parent
        inputs = self._good[kind] + (self._good[parent.kind] if parent else [])
        found = self._shuffle.keep(self._shuffle.in_buckets(joining.signs(kind, self._room, file.name), *inputs))
        signs: list[Signs] = found.filter(_is_sign).collect()
        totals = [row for one in signs for row in one.totals]
        if kind is data_model.ITEMS:
            self._read_amount = sum((amount for *_, amount in totals if amount is not None), Decimal(0))
        lines = sum(records for _, _, records, _ in totals)
        blank = sum(records for is_blank, _, records, _ in totals if is_blank)
        keys = self._keys(plan, signs, found.filter(_is_block))
        if keys is None:
            return file, Counts(lines, lines - blank, 0)
        self._judge_candidates(plan, keys)
        return file, self._counts(kind, lines, blank)

    def prove(self, file: CsvFile) -> None:
        """Do nothing: `read` has found out all that refuses a file."""

    def _keys(self, plan: FilePlan, signs: list[Signs], keys: Blocks) -> Blocks | None:
        """Return the keys of the candidates; None if there are none."""
        has_keys = any(one.has_keys for one in signs)
        if sum(one.row_ids for one in signs) > sum(one.distinct_numbers for one in signs):
            task = reading.row_ids(plan, self._shuffle.buckets, self._room)
            ids = self._shuffle.divide(self._shuffle.each(range(len(plan.splits)), task))
            task_of_bucket = joining.repeated_ids(plan.file.kind, self._room, plan.file.name)
            repeated = self._shuffle.keep(self._shuffle.in_buckets(task_of_bucket, ids))
            has_keys = has_keys or not repeated.isEmpty()
            keys = keys.union(repeated)
        return keys if has_keys else None

    def _judge_candidates(self, plan: FilePlan, keys: Blocks) -> None:
        """Read the candidates; create the views of judged and refused records."""
        kind, parent = plan.file.kind, plan.file.kind.parent
        for other in MODEL.kinds:  # queries also name kinds without candidates, which have no views yet
            if other not in self._refused:
                self._view_judged(other, self._spark.createDataFrame([], schema(JUDGED_COLUMNS)))
        at_most = min(len(plan.splits), _TASKS_PER_BUCKET * self._shuffle.buckets)
        by_split = self._shuffle.divide(keys, len(plan.splits)).coalesce(at_most)
        found = by_split.mapPartitions(reading.candidates(plan, self._room))
        candidates = self._shuffle.to_frame(found, schema(CANDIDATE_COLUMNS))
        self._shuffle.keep_frame(candidates).createOrReplaceTempView(f"{kind}_candidates")
        if parent:
            self._view_accepted(parent.kind, f"SELECT DISTINCT parent AS reference FROM {kind}_candidates")
        judged = self._spark.sql(judged_candidates(kind, plan.file.unique, is_standard=True))
        self._view_judged(kind, self._shuffle.keep_frame(judged))
        self._share_judged(kind)

    def _view_judged(self, kind: RecordKind, rows: DataFrame) -> None:
        rows.createOrReplaceTempView(f"{kind}_judged")
        rows.where("code IS NOT NULL").createOrReplaceTempView(f"{kind}_refused")

    def _share_judged(self, kind: RecordKind) -> None:
        """Send to the buckets which of the good records are refused."""
        if kind.identity:
            judged = f"SELECT reference, parent, code IS NULL AS is_accepted FROM {kind}_judged WHERE own_code IS NULL"
            self._good[kind].append(self._shuffle.from_query(judged, f"{kind}_judged", "reference"))
        else:
            refused = f"""SELECT parent, CAST(1 AS BIGINT) AS records, CAST(amount AS DECIMAL(38,4)) AS amount
                FROM {kind}_judged WHERE own_code IS NULL AND code IS NOT NULL"""
            self._refused_items = [self._shuffle.from_query(refused, "refused_items", "parent")]

    def _view_accepted(self, kind: RecordKind, references: str) -> None:
        """Create the view of the accepted records among those with the selected references, which are few."""
        asked = self._shuffle.from_query(references, "asked", "reference")
        task = joining.accepted_among(kind, self._room, self._plans[kind].file.name)
        found = self._shuffle.in_buckets(task, *self._good[kind], asked)
        accepted = self._shuffle.to_frame(found, "reference STRING, parent STRING")
        customer = "parent" if kind.parent else "reference"
        with_customer = accepted.selectExpr("reference", "parent", f"{customer} AS customer")
        self._shuffle.keep_frame(with_customer).createOrReplaceTempView(f"{kind}_accepted")

    def _counts(self, kind: RecordKind, lines: int, blank: int) -> Counts:
        rows = self._spark.sql(
            f"""SELECT code, count(*) AS records, sum(amount) AS amount, count(*) - count(amount) AS without
            FROM {kind}_refused GROUP BY code ORDER BY code"""
        ).collect()
        if kind is data_model.ITEMS:
            self._refused_amount = sum((row.amount for row in rows if row.amount is not None), Decimal(0))
            self._refused_without_amount = sum(row.without for row in rows)
        self._refused[kind] = sum(row.records for row in rows)
        return Counts(lines, lines - blank, self._refused[kind], {row.code: row.records for row in rows})

    def join(self) -> Totals:
        """Sum by order and then by customer, and sort the customers."""
        day = f"batch {self._batch}"
        orders = joining.order_sums(self._shuffle.buckets, self._room, day)
        inputs = [*self._good[data_model.ORDERS], *self._good[data_model.ITEMS], *self._refused_items]
        sums = self._shuffle.divide(self._shuffle.in_buckets(orders, *inputs))
        customers = [*self._good[data_model.CUSTOMERS], sums, *self._refused_records()]
        of_customers = self._shuffle.in_buckets(joining.results(self._room, day), *customers)
        self._results, parts = sort(
            self._shuffle,
            of_customers,
            "results",
            """count(*), coalesce(sum(orders), 0)::BIGINT, coalesce(sum(items), 0)::BIGINT,
            coalesce(sum(amount), 0), count(*) FILTER (refused_records > 0)""",
            self._room,
            day,
        )
        *counted, amount, incomplete = (sum(column) for column in zip(*parts, strict=True))
        return Totals(
            dict(zip(MODEL.kinds, counted, strict=True)),
            amount,
            self._read_amount,
            self._refused_amount,
            self._refused_without_amount,
            incomplete,
        )

    def _refused_records(self) -> list[Blocks]:
        """Return the number of refused records of each customer, if any record of the day was refused."""
        if not self._refused:
            return []
        self._view_accepted(data_model.CUSTOMERS, "SELECT DISTINCT customer_reference AS reference FROM orders_refused")
        self._view_accepted(
            data_model.ORDERS,
            """SELECT order_reference AS reference FROM orders_refused
            UNION SELECT order_reference FROM items_refused""",
        )
        return [self._shuffle.from_query(refused_records_by_customer(is_standard=True), "refused_records", "customer")]

    def write_results(self, chunks: ChunkWriter) -> None:
        """Write all full chunk files in tasks; the driver writes the remaining rows."""
        size, found = chunks.chunk_records, self._need_results()
        full = found.count // size
        task = writing.result_chunks(self._batch, self._store, size, _CHUNKS_PER_GROUP, self._room)
        self._take_over(chunks, found.write_chunks(task, chunks.directory, size, full, _CHUNKS_PER_GROUP))
        rest = found.after(full, size)
        if rest is not None:
            with open_database(self._workdir, self._room.memory_mb, 1) as connection:
                connection.register("results", rest)
                results.write_results(connection, self._batch, chunks)

    def _take_over(self, chunks: ChunkWriter, written: list[Chunk]) -> None:
        chunks.take_over(written)
        self.stored.update(chunk.path for chunk in written)

    def remove_customers(self, chunks: ChunkWriter) -> int:
        """Compare the lists of earlier versions with the accepted customers."""
        if not self._previous_customers:
            return 0
        day, lists = f"batch {self._batch}", self._previous_customers
        task = writing.earlier_customers(lists, self._shuffle.buckets, self._room)
        before = self._shuffle.divide(self._shuffle.each(range(len(lists)), task))
        gone = self._shuffle.in_buckets(joining.removed(self._room, day), before, *self._good[data_model.CUSTOMERS])
        removed, _ = sort(self._shuffle, gone, "removed", "count(*)", self._room, day)
        if removed.count:
            chunks.flush()
            per_chunk = results.removals_per_chunk(chunks.chunk_records)
            # The driver writes the last removals, as further requests may follow in the same chunk.
            full = (removed.count - 1) // per_chunk
            write = writing.removal_chunks(
                self._batch, self._store, chunks.chunk_records, len(chunks.chunks), self._room
            )
            self._take_over(chunks, removed.write_chunks(write, chunks.directory, per_chunk, full, 1))
            rest = removed.after(full, per_chunk)
            if rest is not None:
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
                writing.reasons(self._plans[file.kind], self._room),
                "line BIGINT, code STRING, reason STRING, customer_reference STRING, order_reference STRING",
            )
        )
        return iter([Refusal(*row) for row in rows.collect()])

    def write_rejects(self, file: CsvFile, target: Path) -> None:
        """Write parts of the file in tasks; the driver only concatenates them."""
        parts, folder = -(-self._refused[file.kind] // _ROWS_PER_PARTITION), f"parts/{file.kind}-rejects-"
        refused = self._spark.sql(f"SELECT {', '.join(JUDGED_COLUMNS)} FROM {file.kind}_refused")
        task = writing.rejects(self._plans[file.kind], self._store, folder, self._room)
        ordered = _in_order(refused, max(parts, 1))
        written = ordered.mapInArrow(task, "part INT, name STRING").collect()
        with self._room.database(file.name) as (connection, workdir):
            create_judged(connection, file.kind)
            write_rejects(connection, file, workdir / "header.csv")  # writes only the header line
            self._store.put(workdir / "header.csv", f"{folder}header.csv")
        self._store.concatenate([f"{folder}header.csv", *(row.name for row in sorted(written))], self._name(target))
        self.stored.add(target)

    def write_references(self, table: str, target: Path) -> None:
        """Write the references in one task."""
        task = writing.reference_list(self._store, self._name(target), self._room)
        self._need_results().blocks.coalesce(1).mapPartitions(task).collect()
        self.stored.add(target)

    def _name(self, target: Path) -> str:
        """Return the name in the store of a file that would otherwise be in the working folder."""
        return target.relative_to(self._workdir).as_posix()

    def _need_results(self) -> SortedRows:
        if self._results is None:
            raise ValueError("the day is not joined yet")
        return self._results


def _in_order(rows: DataFrame, partitions: int) -> DataFrame:
    """Sort rows by line: each partition is sorted, and all its rows precede those of the next one."""
    divided = rows.coalesce(1) if partitions == 1 else rows.repartitionByRange(partitions, "line_number")
    return divided.sortWithinPartitions("line_number")


def _is_sign(one: Signs | Numbered) -> bool:
    return isinstance(one, Signs)


def _is_block(one: Signs | Numbered) -> bool:
    return not isinstance(one, Signs)
