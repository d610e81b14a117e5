"""Plan how a file is read: in splits, if each can be read like a file of its own, else first in order by one task.

A split is a range of whole lines. A task reads it like a file of its own, under the file's header.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pipeline.large.storage import LocalSource, Source, Store, copy
from pipeline.large.tasks import TaskLimits
from pipeline.model.record_kinds import RecordKind
from pipeline.observability import logger
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.csv_parser import ensure_records_are_lines, read_file
from pipeline.reading.dialect import BLOCK, ByteProfile, RefusedFileError, read_profile
from pipeline.reading.header import read_header

if TYPE_CHECKING:
    import duckdb
    from pyspark import SparkContext

LISTS = ("truncated_csv", "quote_errors_csv")
"""The lists of `RecordLines`; each row begins with a record number."""


@dataclass(frozen=True, slots=True)
class Split:
    """A range of whole lines, and the description of the file that consists of the header and these lines."""

    start: int
    end: int
    file: CsvFile


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
        path = copy(self.source, workdir / f"{self.file.kind}.csv", split.start, split.end, self.header)
        lists: dict[str, Any] = {name: copy(source, workdir / name) for name, source in self.lists.items()}
        lines = replace(split.file.lines, path=path, **lists)
        profile = replace(split.file.profile, path=Path() if split.file.is_rewritten else path)
        return replace(self.file, is_fast=split.file.is_fast, lines=lines, profile=profile)


def cut(source: Source, first: int, split_bytes: int) -> list[tuple[int, int]]:
    """Divide the lines from offset `first` on into ranges of about the same size, of which there is at least one."""
    starts = [first]
    while starts[-1] < source.size:
        starts.append(_after_line_end(source, starts[-1] + split_bytes - 1))
    return list(pairwise(starts)) or [(first, first)]


def _after_line_end(source: Source, start: int) -> int:
    """Return the offset after the first line end from `start` on."""
    while start < source.size:
        block = b"".join(source.read(start, start + BLOCK))
        if (line_end := block.find(b"\n")) >= 0:
            return start + line_end + 1
        start += len(block)
    return source.size


def _numbered(splits: Iterable[Split]) -> Iterator[Split]:
    """Tell each split how many lines are before it."""
    before = 0
    for split in splits:
        yield replace(split, file=replace(split.file, lines=replace(split.file.lines, before=before)))
        before += split.file.lines.count - split.file.header.skip


class NotSplittableError(Exception):
    """A file can't be read in splits; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class Planner:
    """Examines all bytes of a file in tasks. It is sent to them, so the Spark session is no part of it.

    A file that was rewritten is put into the store for the other tasks.
    """

    store: Store
    limits: TaskLimits

    def plan(self, spark: SparkContext, kind: RecordKind, name: str, source: Source) -> FilePlan:
        """Return the plan for reading a file whose decimal mark is not known yet.

        Raises
        ------
        RefusedFileError
            The file as a whole can't be used.
        """
        try:
            return self._in_splits(spark, kind, name, source)
        except NotSplittableError as reason:
            logger().info("one task reads the whole file in order", kind=kind, reason=str(reason))
        in_order = spark.parallelize([0], 1).map(lambda _: self._in_order(kind, name, source))
        found: FilePlan | RefusedFileError = in_order.first()
        if isinstance(found, RefusedFileError):
            raise found
        return found

    def _in_splits(self, spark: SparkContext, kind: RecordKind, name: str, source: Source) -> FilePlan:
        header = _header(kind, source)

        def examine(of_range: tuple[int, int]) -> Split | str:
            with self.limits.database(name) as (connection, workdir):
                path = copy(source, workdir / "split.csv", *of_range, header)
                try:
                    file = _examined(connection, kind, name, read_profile(path, kind, workdir), workdir)
                except RefusedFileError as error:
                    return f"it may have to be refused: {error.code}"
                if file.lines.path != path:
                    return "line ends, quotes, encoding or very long lines"
                return "its header may be there again" if file.may_repeat_header else Split(*of_range, file)

        ranges = cut(source, len(header), self.limits.split_bytes)
        found = spark.parallelize(ranges, len(ranges)).map(examine).collect()
        if reasons := [reason for reason in found if isinstance(reason, str)]:
            raise NotSplittableError(reasons[0])
        if len({split.file.sentinels for split in found}) > 1:
            raise NotSplittableError("control characters")
        return FilePlan(_whole(found), source, header, list(_numbered(found)))

    def _in_order(self, kind: RecordKind, name: str, source: Source) -> FilePlan | RefusedFileError:
        """Read a whole file in one task; if it was rewritten, store the lines, so that many tasks can read them."""
        with self.limits.database(name) as (connection, workdir):
            path = copy(source, workdir / "source")
            try:
                profile = read_profile(path, kind, workdir, self.limits.max_unpacked)
                file = _examined(connection, kind, name, profile, workdir)
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
            splits = list(_numbered(self._cut_lines(file, local, len(header))))
            return FilePlan(file, source, header, splits, lists)

    def _stored(self, path: Path, name: str) -> Source:
        """Put a file of a task where other tasks can read it."""
        self.store.put(path, name)
        return self.store.source(name)

    def _cut_lines(self, file: CsvFile, source: LocalSource, first: int) -> Iterator[Split]:
        """Cut a file with one record a line into splits, each with the number of line ends removed before it."""
        removed = file.lines.removed_before
        for start, end in cut(source, first, self.limits.split_bytes):
            content = b"".join(source.read(start, end))
            count = file.header.skip + content.count(b"\n") + (end > start and not content.endswith(b"\n"))
            lines = replace(file.lines, removed_before=removed, count=count)
            profile = replace(file.profile, blank_end=file.profile.blank_end if end == source.size else 0)
            yield Split(start, end, replace(file, lines=lines, profile=profile))
            removed += content.count(file.sentinels.newline.encode())


def _header(kind: RecordKind, source: Source) -> bytes:
    """Return the bytes of a file up to and including its header."""
    head = b"".join(source.read(0, BLOCK))
    with TemporaryDirectory() as folder:
        path = Path(folder, "head")
        path.write_bytes(head)
        try:
            lines = read_header(path, kind).skip
        except RefusedFileError as error:
            raise NotSplittableError(f"it may have to be refused: {error.code}") from error
    header = b"".join(islice(BytesIO(head), lines))
    if not header.endswith(b"\n") and len(header) < source.size:
        raise NotSplittableError("line ends of the header")
    return header


def _examined(
    connection: duckdb.DuckDBPyConnection, kind: RecordKind, name: str, profile: ByteProfile, workdir: Path
) -> CsvFile:
    """Examine a file, or a split of one, whose decimal mark is not known yet: only all splits show it."""
    file = read_file(connection, kind, name, profile, workdir, "point")
    return replace(ensure_records_are_lines(connection, file, workdir), is_mark_given=False)


def _whole(splits: list[Split]) -> CsvFile:
    """Return the description of the file that the splits make up."""
    file, last = splits[0].file, splits[-1].file
    lines = sum(split.file.profile.lines - file.header.lines for split in splits) + file.header.lines
    return replace(file, profile=replace(file.profile, lines=lines, has_final_line_end=last.profile.has_final_line_end))
