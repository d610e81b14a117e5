"""Rows sorted by customer reference over all workers, and the chunk files that tasks write from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.joining.chunks import Chunk
from pipeline.large import joining, writing
from pipeline.large.blocks import unpack
from pipeline.large.plan import Room
from pipeline.large.shuffle import Blocks, Shuffle

_SAMPLE = 100
"""References of each bucket from which the ranges are taken."""


@dataclass(frozen=True, slots=True)
class SortedRows:
    """Rows of a table in ranges of about the same size, in blocks whose number is that of their range."""

    shuffle: Shuffle
    blocks: Blocks
    before: list[int]
    """Number of rows before each range."""
    count: int
    """Number of all rows."""

    def write_chunks(
        self, task: writing.Task, directory: Path, rows_per_chunk: int, full: int, chunks_per_group: int
    ) -> list[Chunk]:
        """Write the first `full` chunks ; each task writes groups of chunks."""
        if not full:
            return []
        groups = -(-full // chunks_per_group)
        slices = writing.by_group(self.before, rows_per_chunk * chunks_per_group, 0, full * rows_per_chunk)
        divided = self.shuffle.divide(self.blocks.mapPartitions(slices), groups)
        written = divided.coalesce(min(groups, 4 * self.shuffle.buckets)).mapPartitions(task).collect()
        return [Chunk(directory / name, records) for name, records in sorted(written)]

    def after(self, full: int, rows_per_chunk: int) -> pa.Table | None:
        """Return the rows after the first `full` chunks, None if there are none; they are at most one chunk."""
        start = full * rows_per_chunk
        if start >= self.count:
            return None
        rest = self.blocks.mapPartitions(writing.by_group(self.before, self.count, start, self.count)).collect()
        return pa.concat_tables(rows for _, rows in unpack(rest))


def sort(
    shuffle: Shuffle, blocks: Blocks, table: str, sums: str, room: Room, what: str
) -> tuple[SortedRows, list[tuple[Any, ...]]]:
    """Sort the rows of a table; return also the `sums`, SQL aggregates, of each bucket."""
    unsorted = shuffle.keep(blocks)
    parts: list[joining.Part] = unsorted.mapPartitions(joining.parts(table, sums, _SAMPLE, room, what)).collect()
    cuts = _cuts([reference for part in parts for reference in part.sample], shuffle.buckets)
    ranges = shuffle.divide(unsorted.mapPartitions(writing.by_range(table, cuts, room, what)), len(cuts) + 1)
    ordered = shuffle.keep(ranges.mapPartitionsWithIndex(writing.sort_range(table, room, what)))
    sizes: Counter[int] = Counter()
    for number, rows in ordered.map(lambda one: (one[0], one[1].rows)).collect():
        sizes[number] += rows
    before = list(accumulate((sizes[number] for number in range(len(cuts) + 1)), initial=0))
    return SortedRows(shuffle, ordered, before, before[-1]), [part.sums for part in parts]


def _cuts(sample: Iterable[str], ranges: int) -> list[str]:
    """Return the references at which ranges begin, in the order of their bytes, as DuckDB sorts them."""
    ordered = sorted(set(sample), key=str.encode)
    step = -(-len(ordered) // ranges)
    return ordered[step::step] if ordered else []
