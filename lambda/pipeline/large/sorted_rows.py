"""Globally sorted rows: they are numbered, and tasks write them to chunk files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.joining.chunks import Chunk
from pipeline.large import tasks

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def sort(rows: DataFrame, column: str, partitions: int) -> DataFrame:
    """Sort rows globally: each partition is sorted, and all its rows precede those of the next one."""
    if partitions == 1:
        return rows.coalesce(1).sortWithinPartitions(column)
    return rows.repartitionByRange(partitions, column).sortWithinPartitions(column)


@dataclass(frozen=True, slots=True)
class SortedRows:
    """Persisted rows, sorted by customer reference, and the number of rows in each partition."""

    rows: DataFrame
    sizes: dict[int, int]

    @property
    def count(self) -> int:
        """Number of rows."""
        return sum(self.sizes.values())

    def write_chunks(
        self, task: tasks.Task, directory: Path, rows_per_chunk: int, full: int, per_group: int, tasks_at_most: int
    ) -> list[Chunk]:
        """Write the first `full` chunks in tasks; each task writes groups of `per_group` chunks."""
        if not full:
            return []
        written = (
            self._numbered(self.rows, rows_per_chunk, per_group)
            .where(f"chunk < {full}")
            .repartition(min(-(-full // per_group), tasks_at_most), "chunk_group")
            .sortWithinPartitions("chunk_group", "customer_reference")
            .mapInArrow(task, "name STRING, records BIGINT")
            .collect()
        )
        return [Chunk(directory / row.name, row.records) for row in sorted(written)]

    def after(self, full: int, rows_per_chunk: int) -> pa.Table:
        """Return the rows after the first `full` chunks; they are at most one chunk."""
        from pyspark.sql.pandas.types import to_arrow_schema

        first, before = full * rows_per_chunk, self._before()
        last_parts = [part for part in before if before[part] + self.sizes[part] > first]
        rows = self.rows.where(f"spark_partition_id() >= {min(last_parts, default=max(before, default=0) + 1)}")
        rest = self._numbered(rows, rows_per_chunk, 1).where(f"chunk >= {full}")
        tables = list(unpack(rest.mapInArrow(tasks.packed, "rows BINARY").collect()))
        return pa.concat_tables(tables) if tables else to_arrow_schema(rest.schema).empty_table()

    def _numbered(self, rows: DataFrame, rows_per_chunk: int, per_group: int) -> DataFrame:
        columns = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in rows.schema.fields)
        return rows.mapInArrow(
            tasks.numbers(self._before(), rows_per_chunk, per_group), f"{columns}, chunk BIGINT, chunk_group BIGINT"
        )

    def _before(self) -> dict[int, int]:
        before, position = {}, 0
        for part in sorted(self.sizes):
            before[part] = position
            position += self.sizes[part]
        return before


def unpack(rows: Iterator[Any] | list[Any]) -> Iterator[pa.Table]:
    """Deserialise the batches that `tasks.packed` has serialised."""
    for row in rows:
        with pa.ipc.open_stream(bytes(row.rows)) as stream:
            yield stream.read_all()
