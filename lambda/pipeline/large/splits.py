"""Plan how a file is read: in splits, if each can be read like a file of its own, else first in order by one task.

A split is a range of whole lines. A task reads it like a file of its own, under the file's header.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.large.storage import READ_BYTES, LocalSource, Source, Store, copy
from pipeline.large.tasks import TaskLimits
from pipeline.model.record_kinds import RecordKind
from pipeline.observability import logger
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.csv_parser import read_file, verify_records_are_lines
from pipeline.reading.decimal_marks import DecimalMark, Votes, amounts_decide, count_votes, with_decimal_mark
from pipeline.reading.dialect import BLOCK, RefusedFileError, read_profile
from pipeline.reading.header import read_header

if TYPE_CHECKING:
    from pyspark import SparkContext

LISTS = ("truncated_csv", "quote_errors_csv")
"""The lists of `RecordLines`; each row begins with a record number."""


@dataclass(frozen=True, slots=True)
class Split:
    """A range of whole lines, and the description of the file that consists of the header and these lines."""

    start: int
    end: int
    file: CsvFile

    @property
    def lines(self) -> int:
        """Lines after the header."""
        return self.file.lines.count - self.file.header.skip


@dataclass(frozen=True, slots=True)
class FilePlan:
    """A file and its division into splits."""

    file: CsvFile
    source: Source
    header: bytes
    """The lines up to and including the header."""
    splits: list[Split]
    lists: Mapping[str, Source] = field(default_factory=dict)
    """The lists of `RecordLines` of a file that was rewritten, by name (LISTS)."""

    def load(self, number: int, workdir: Path) -> CsvFile:
        """Copy a split into a local file, which is then read like any other file."""
        split = self.splits[number]
        path = write_part(self.source, self.header, split.start, split.end, workdir / f"{self.file.kind}.csv")
        lists: dict[str, Any] = {name: copy(source, workdir / name) for name, source in self.lists.items()}
        lines = replace(split.file.lines, path=path, **lists)
        is_as_sent = split.file.lines.path == split.file.profile.path
        profile = replace(split.file.profile, path=path if is_as_sent else Path())
        return replace(self.file, header=split.file.header, is_fast=split.file.is_fast, lines=lines, profile=profile)


def write_part(source: Source, header: bytes, start: int, end: int, target: Path) -> Path:
    """Write the header and a range of the lines after it into a local file."""
    with target.open("wb") as file:
        file.write(header)
        file.writelines(source.read(start, end))
    return target


def cut(start: int, end: int, split_bytes: int) -> list[tuple[int, int]]:
    """Divide a range of bytes into ranges of about the same size, of which there is at least one."""
    return [(first, min(first + split_bytes, end)) for first in range(start, end, split_bytes)] or [(start, end)]


def whole_lines(source: Source, start: int, end: int, first: int) -> tuple[int, int]:
    """Return the range of the lines that begin in a range of bytes; `first` is the offset of the first line of all."""
    begin = start if start == first else _after_line_end(source, start - 1)
    return begin, end if end == source.size else max(begin, _after_line_end(source, end - 1))


def _after_line_end(source: Source, start: int) -> int:
    """Return the offset after the first line end from `start` on."""
    step = 4096
    while start < source.size:
        for block in source.read(start, min(start + step, source.size)):
            line_end = block.find(b"\n")
            if line_end >= 0:
                return start + line_end + 1
            start += len(block)
        step = READ_BYTES
    return source.size


def numbered(splits: Iterable[Split]) -> list[Split]:
    """Tell each split how many lines are before it. Splits without lines are left out, unless there are no others."""
    found: list[Split] = []
    before, some = 0, list(splits)
    for split in some:
        if split.lines:
            lines = replace(split.file.lines, before=before)
            found.append(replace(split, file=replace(split.file, lines=lines)))
            before += split.lines
    return found or some[:1]


class NotSplittableError(Exception):
    """A file can't be read in splits; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class Planner:
    """Examines all bytes of a file in tasks. It is sent to them, so the Spark session is no part of it.

    Parameters
    ----------
    store
        Where a file that was rewritten is stored for the other tasks.
    split_bytes
        Bytes of a file that one task reads.
    max_unpacked
        Bytes that a gzip file may unpack to; None for no limit.
    """

    store: Store
    split_bytes: int
    max_unpacked: int | None
    decimal_mark: DecimalMark
    limits: TaskLimits

    def plan(self, spark: SparkContext, kind: RecordKind, name: str, source: Source) -> FilePlan:
        """Return the plan for reading a file.

        Raises
        ------
        RefusedFileError
            The file as a whole can't be used.
        """
        try:
            return self._in_splits(spark, kind, name, source)
        except NotSplittableError as reason:
            logger().info("one task reads the whole file in order", kind=kind, reason=str(reason))
        found: list[FilePlan | RefusedFileError] = (
            spark.parallelize([0], 1).map(lambda _: self._in_order(kind, name, source)).collect()
        )
        if isinstance(found[0], RefusedFileError):
            raise found[0]
        return found[0]

    def _in_splits(self, spark: SparkContext, kind: RecordKind, name: str, source: Source) -> FilePlan:
        header = self._header(kind, name, source)
        first = len(header)

        def examine(of_range: tuple[int, int]) -> tuple[Split, dict[str, Votes] | None] | str:
            start, end = whole_lines(source, *of_range, first)
            with self.limits.database(name) as (connection, workdir):
                path = write_part(source, header, start, end, workdir / "split.csv")
                try:
                    # Which mark the amounts decide on, only all splits show.
                    file = read_file(connection, kind, name, read_profile(path, kind, workdir), workdir, "point")
                    file = verify_records_are_lines(connection, file, workdir)
                except RefusedFileError as error:
                    return f"it may have to be refused: {error.code}"
                if file.lines.path != path:
                    return "line ends, quotes, encoding or very long lines"
                if file.may_repeat_header:
                    return "its header may be there again"
                file = replace(file, is_mark_given=False)
                votes = count_votes(connection, file) if amounts_decide(file, self.decimal_mark) else None
                return Split(start, end, file), votes

        ranges = cut(first, source.size, self.split_bytes)
        found = spark.parallelize(ranges, len(ranges)).map(examine).collect()
        examined = [one for one in found if not isinstance(one, str)]
        splits = numbered(split for split, _ in examined)
        reasons = [reason for reason in found if isinstance(reason, str)]
        if len({split.file.sentinels for split in splits}) > 1:
            reasons.append("control characters")
        if reasons:
            raise NotSplittableError(reasons[0])
        file = with_decimal_mark(_whole(splits), self.decimal_mark, add_votes(votes for _, votes in examined if votes))
        return FilePlan(file, source, header, splits)

    def _header(self, kind: RecordKind, name: str, source: Source) -> bytes:
        """Return the bytes of a file up to and including its header."""
        head = b"".join(source.read(0, BLOCK))
        if head.startswith(b"\x1f\x8b"):
            raise NotSplittableError("it is gzip")
        with self.limits.database(name) as (_, workdir):
            path = workdir / "header.csv"
            path.write_bytes(head)
            try:
                lines = read_header(path, kind).skip
            except RefusedFileError as error:
                raise NotSplittableError(f"it may have to be refused: {error.code}") from error
        header = b"".join(islice(BytesIO(head), lines))
        if not header.endswith(b"\n") and len(header) < source.size:
            raise NotSplittableError("line ends of the header")
        return header

    def _in_order(self, kind: RecordKind, name: str, source: Source) -> FilePlan | RefusedFileError:
        """Read a whole file in one task; if it was rewritten, store the lines, so that many tasks can read them."""
        with self.limits.database(name) as (connection, workdir):
            path = copy(source, workdir / "source")
            try:
                profile = read_profile(path, kind, workdir, self.max_unpacked)
                file = read_file(connection, kind, name, profile, workdir, self.decimal_mark)
                file = verify_records_are_lines(connection, file, workdir)
            except RefusedFileError as error:
                return error
            local = LocalSource(file.lines.path)
            if local.path != path:
                source = self._stored(local.path, f"large_day/{kind}.csv")
            lists = {
                name: self._stored(kept, f"large_day/{kind}.{name}")
                for name in LISTS
                if (kept := getattr(file.lines, name))
            }
            with local.path.open("rb") as lines:
                header = b"".join(islice(lines, file.header.skip))
            splits = numbered(self._cut_lines(file, local, len(header)))
            return FilePlan(file, source, header, splits, lists)

    def _stored(self, path: Path, name: str) -> Source:
        """Put a file of a task where other tasks can read it."""
        self.store.put(path, name)
        return self.store.source(name)

    def _cut_lines(self, file: CsvFile, source: LocalSource, first: int) -> Iterator[Split]:
        """Cut a file with one record a line into splits, each with the number of line ends removed before it."""
        truncated: list[list[str]] = []
        if file.lines.truncated_csv:
            with file.lines.truncated_csv.open(newline="") as rows:
                truncated = list(csv.reader(rows))
        newline, before, removed = file.sentinels.newline.encode(), file.header.skip, file.lines.removed_before
        for of_range in cut(first, source.size, self.split_bytes):
            start, end = whole_lines(source, *of_range, first)
            of_truncated = sum(int(count) for record, count in truncated if int(record) <= before)
            count, last = file.header.skip, b"\n"
            lines = replace(file.lines, removed_before=removed + of_truncated)
            for block in source.read(start, end):
                count, last = count + block.count(b"\n"), block[-1:]
                removed += block.count(newline)
            count += last != b"\n"
            profile = replace(file.profile, blank_end=file.profile.blank_end if end == source.size else 0)
            yield Split(start, end, replace(file, lines=replace(lines, count=count), profile=profile))
            before += count - file.header.skip


def add_votes(of_splits: Iterable[dict[str, Votes]]) -> dict[str, Votes] | None:
    """Add what the amounts of all splits show for each mark; None if no split was asked."""
    total: dict[str, Votes] = {}
    for votes in of_splits:
        total = {mark: total.get(mark, Votes()) + found for mark, found in votes.items()}
    return total or None


def _whole(splits: list[Split]) -> CsvFile:
    """Return the description of the file that the splits make up."""
    file, last = splits[0].file, splits[-1].file
    lines = sum(split.file.profile.lines - file.header.lines for split in splits) + file.header.lines
    profile = replace(file.profile, lines=lines, has_final_line_end=last.profile.has_final_line_end)
    count = replace(file.lines, count=file.header.skip + sum(split.lines for split in splits))
    return replace(file, profile=profile, lines=count)
