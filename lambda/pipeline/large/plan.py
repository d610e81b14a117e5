"""The plan for reading a file in many tasks: its dialect and its splits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pipeline.joining.resource_limits import resource_limits
from pipeline.large.places import Source, Store, copy
from pipeline.large.splits import Split, cut, lines_of, numbered, profile, write_lines
from pipeline.large.worker import prepare_worker
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.csv_parser import proved, read_file
from pipeline.reading.dialect import BLOCK, RefusedFileError, header_name, read_text, refuse_foreign_formats
from pipeline.reading.header import Header, read_header
from pipeline.reading.sql import connect, open_database

if TYPE_CHECKING:
    import duckdb

GZIP = b"\x1f\x8b"


_BYTES_PER_BUCKET = 256 << 20
"""Bytes of the files for each bucket; the rows that are divided into buckets take about half as much."""


def buckets_of(size: int, cores: int) -> int:
    """Return the number of buckets for files of so many bytes on workers with so many cores."""
    return max(2 * cores, -(-size // _BYTES_PER_BUCKET))


@dataclass(frozen=True, slots=True)
class Room:
    """The limits of one task."""

    memory_mb: int = 512
    """DuckDB's memory limit in a task; beyond it, DuckDB spills to disk."""
    folder: Path | None = None
    """Folder for temporary files; None for the system's default."""

    @contextmanager
    def workdir(self) -> Iterator[Path]:
        """Provide a temporary folder for a task."""
        prepare_worker()
        with TemporaryDirectory(prefix="task-", dir=self.folder, ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    @contextmanager
    def database(self, what: str, has_macros: bool = True) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
        """Provide a database and a temporary folder for a task that processes `what`, a file or a day.

        Raises
        ------
        ResourceLimitError
            Memory or disk space is not sufficient.
        """
        opened = open_database if has_macros else connect
        with (
            self.workdir() as workdir,
            opened(workdir, self.memory_mb, 1) as connection,
            resource_limits(connection, workdir, what),
        ):
            yield connection, workdir


@dataclass(frozen=True, slots=True)
class Start:
    """The header of a file, and where its records begin."""

    header: Header
    size: int
    """Bytes before the first record."""


@dataclass(frozen=True, slots=True)
class FilePlan:
    """A file and its division into splits."""

    file: CsvFile
    source: Source
    splits: list[Split]
    start: int
    """Byte offset of the first record."""
    has_crlf: bool = False
    store: Store | None = None
    """Holds the lists of `RecordLines` (shortened, quotes) for each split, if the file has them."""

    def load(self, split: Split, workdir: Path) -> CsvFile:
        """Copy the lines of a split into a local file, which is then read like any other file."""
        path = workdir / f"{self.file.kind}.csv"
        write_lines(lines_of(self.source, split, self.start), path, self.has_crlf)
        kept: dict[str, Any] = {}
        for name in _LISTS:
            if self.store and getattr(self.file.records, name):
                kept[name] = copy(self.store.source(_part_name(name, self.file.kind, split)), workdir / f"{name}.csv")
        records = replace(self.file.records, path=path, before=split.before, extra_before=split.extra_before, **kept)
        header = replace(self.file.header, skip=0)
        return replace(self.file, records=records, header=header, new_line=r"\n")


class InOrderError(Exception):
    """A file can't be read in parts; the text gives the reason."""


def begin(kind: RecordKind, source: Source, workdir: Path) -> Start:
    """Read the header of a file.

    Raises
    ------
    InOrderError
        The header is not enough to read the file in parts.
    """
    head = b"".join(source.read(0, BLOCK))
    if head.startswith(GZIP):
        raise InOrderError("it is gzip")
    path = workdir / f"{kind}.head.csv"
    path.write_bytes(head)
    try:
        refuse_foreign_formats(head)
        header = read_header(path, kind)
    except RefusedFileError as error:
        raise InOrderError("it may have to be refused") from error
    size = _after_lines(head, header.skip)
    if size is None and len(head) == source.size:
        size = len(head)
    if size is None or header.lines > header.skip or not profile([head[:size]], header_name(kind)).is_plain:
        raise InOrderError("its header is not plain")
    return Start(header, size)


def _after_lines(data: bytes, lines: int) -> int | None:
    position = 0
    for _ in range(lines):
        position = data.find(b"\n", position) + 1
        if not position:
            return None
    return position


def read_in_order(
    kind: RecordKind, name: str, source: Source, store: Store, split_bytes: int, max_unpacked: int | None, room: Room
) -> FilePlan | RefusedFileError:
    """Read a whole file in one task, and store it normalized, so that many tasks can read it."""
    with room.database(name) as (connection, workdir):
        path = copy(source, workdir / "source")
        try:
            file = read_file(connection, kind, name, read_text(path, kind, workdir, max_unpacked), workdir)
            file = proved(connection, file, workdir)
        except RefusedFileError as error:
            return error
        local = file.records.path
        start = _start_of_records(local, file.header.skip)
        if local != path:
            source = store.source(_keep(store, local, f"records/{kind}.csv"))
        splits = _numbered_splits(source, start, split_bytes, file)
        for list_name in _LISTS:
            if path := getattr(file.records, list_name):
                _cut_list(list_name, path, kind, splits, store, workdir)
        return FilePlan(file, source, splits, start, file.new_line == r"\r\n", store)


def _keep(store: Store, path: Path, name: str) -> str:
    store.put(path, name)
    return name


def _start_of_records(path: Path, skip: int) -> int:
    with path.open("rb") as file:
        for _ in range(skip):
            file.readline()
        return file.tell()


def _numbered_splits(source: Source, start: int, split_bytes: int, file: CsvFile) -> list[Split]:
    splits, newline = cut(start, source.size, split_bytes), file.sentinels.newline.encode()
    counts = [_count_lines(lines_of(source, split, start), newline) for split in splits]
    found = numbered(splits, (lines for lines, _ in counts), file.header.skip)
    extra = accumulate((removed for lines, removed in counts if lines), initial=file.records.extra_before)
    shortened = list(_shortened(file))
    return [
        replace(split, extra_before=before + sum(removed for record, removed in shortened if record <= split.before))
        for split, before in zip(found, extra, strict=False)
    ]


def _count_lines(blocks: Iterator[bytes], newline: bytes) -> tuple[int, int]:
    """Count the lines, and the line ends that were removed from them."""
    lines, removed, last = 0, 0, b"\n"
    for block in blocks:
        lines += block.count(b"\n")
        removed += block.count(newline)
        last = block[-1:]
    return lines + (last != b"\n"), removed


def _shortened(file: CsvFile) -> Iterator[tuple[int, int]]:
    if file.records.shortened:
        with file.records.shortened.open() as rows:
            for row in rows:
                record, removed = row.split(",")
                yield int(record), int(removed)


_LISTS = ("shortened", "quotes")
"""The lists of `RecordLines`; each row begins with a record number."""


def _part_name(name: str, kind: RecordKind, split: Split) -> str:
    return f"{name}/{kind}-{split.number:05}.csv"


def _cut_list(name: str, path: Path, kind: RecordKind, splits: list[Split], store: Store, workdir: Path) -> None:
    """Divide a list by split; each part begins with the last row before the records of the split."""
    part = workdir / "part.csv"
    last = ""
    with path.open() as rows:
        row = rows.readline()
        for split in splits:
            with part.open("w") as target:
                target.write(last)
                while row and int(row.partition(",")[0]) <= split.before + split.lines:
                    target.write(row)
                    last, row = row, rows.readline()
            store.put(part, _part_name(name, kind, split))
