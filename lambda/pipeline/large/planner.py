"""Decides how each file of a day is read: in parts, if each part can be read independently, or in order by one task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.large import reading
from pipeline.large.places import Source, Store
from pipeline.large.plan import FilePlan, InOrderError, Room, begin, read_in_order
from pipeline.large.splits import cut, lines_of, numbered, profile
from pipeline.model.record_kinds import RecordKind
from pipeline.observability import logger
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.dialect import RefusedFileError, header_name, usual_sentinels
from pipeline.reading.normalize import RecordLines
from pipeline.reading.steps import MAX_COLUMNS, commas_in_amounts, has_broken_quotes

if TYPE_CHECKING:
    from pipeline.large.shuffle import Shuffle


class Planner:
    """Examines all bytes of a file in tasks.

    Parameters
    ----------
    store
        Where a file that was read in order is stored for the other tasks.
    split_bytes
        Bytes of a file that one task reads.
    max_unpacked
        Bytes that a gzip file may unpack to; None for no limit.
    """

    def __init__(self, shuffle: Shuffle, store: Store, split_bytes: int, max_unpacked: int | None, room: Room) -> None:
        self._shuffle = shuffle
        self._store = store
        self._split_bytes = split_bytes
        self._max_unpacked = max_unpacked
        self._room = room

    def plan(self, kind: RecordKind, name: str, source: Source) -> FilePlan:
        """Return the plan for reading a file.

        Raises
        ------
        RefusedFileError
            The file as a whole can't be used.
        """
        try:
            return self._in_parts(kind, name, source)
        except InOrderError as reason:
            logger().info("one task reads the whole file in order", kind=str(kind), reason=str(reason))
            return self._in_order(kind, name, source)

    def _in_parts(self, kind: RecordKind, name: str, source: Source) -> FilePlan:
        with self._room.workdir() as workdir:
            start = begin(kind, source, workdir)
        splits = cut(start.size, source.size, self._split_bytes)
        column = header_name(kind)
        profiles = self._each(splits, lambda split: profile(lines_of(source, split, start.size), column))
        header = profile([b"".join(source.read(0, start.size))], column)
        found = [header, *profiles]
        if not all(one.is_plain for one in found):
            raise InOrderError("its text is not plain: line ends, encoding or very long lines")
        if sum(one.names for one in found) > 1:
            raise InOrderError("its header may be there again")
        lines = sum(one.lines for one in found)
        records = RecordLines(Path("of-a-task"), lines)
        has_quotes = any(one.has_quotes for one in found)
        sentinels = usual_sentinels()
        is_plain = not has_quotes and len(start.header.names) <= MAX_COLUMNS
        file = CsvFile(kind, name, records, start.header, sentinels, has_quotes, lines, is_plain=is_plain)
        plan = FilePlan(
            file,
            source,
            numbered(splits, (one.lines for one in profiles), start.header.skip),
            start.size,
            has_crlf=any(one.has_crlf for one in found),
        )
        if has_quotes and True in self._ask(plan, has_broken_quotes):
            raise InOrderError("quoted cells reach over line ends, or quotes are wrong")
        return replace(plan, file=replace(file, decimal_mark=self._decimal_mark(plan)))

    def _decimal_mark(self, plan: FilePlan) -> str:
        if plan.file.header.delimiter == ",":
            return "."
        found = self._ask(plan, _must_be_decimal)
        if found == {False}:
            raise InOrderError("the commas in its amounts may group thousands")
        return "," if found else "."

    def _in_order(self, kind: RecordKind, name: str, source: Source) -> FilePlan:
        # Local variables, since the planner can't be sent to the tasks: it holds the Spark session.
        store, room, split_bytes, max_unpacked = self._store, self._room, self._split_bytes, self._max_unpacked
        (found,) = self._each(
            [kind], lambda kind: read_in_order(kind, name, source, store, split_bytes, max_unpacked, room)
        )
        if isinstance(found, RefusedFileError):
            raise found
        plan: FilePlan = found
        return plan

    def _each(self, values: Sequence[Any], work: Callable[[Any], Any]) -> list[Any]:
        """Process each value in a task of its own."""
        if not values:
            return []
        found: list[Any] = self._shuffle.each(values, lambda some: map(work, some)).collect()
        return found

    def _ask(self, plan: FilePlan, question: Callable[[CsvFile], str]) -> set[bool]:
        task = reading.answers(plan, question, self._room)
        return {answer for answer in self._shuffle.each(range(len(plan.splits)), task).collect() if answer is not None}


def _must_be_decimal(file: CsvFile) -> str:
    return f"SELECT is_decimal FROM ({commas_in_amounts(file)}) AS answer(amount, is_decimal)"
