"""Tasks that read splits of a file with the function's own SQL.

Each task is a function for `mapPartitions`, which maps the elements of a partition to others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.joining.control_totals import key, owner, row_id_number
from pipeline.joining.refusals import collect_candidates
from pipeline.joining.rules_between_records import CANDIDATE_COLUMNS
from pipeline.large.blocks import Numbered, bucket, load, pack, to_bytes, unpack
from pipeline.large.plan import FilePlan, Room
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.plain import NotPlainError, plain_records_sql
from pipeline.reading.rules import MAX_REFERENCE
from pipeline.reading.sql import ask, quoted
from pipeline.reading.steps import records_sql

if TYPE_CHECKING:
    import duckdb

LINE_ROWS = 500
"""Rows of whole lines, which may be long, that a task returns at a time."""


def first_reading(plan: FilePlan, buckets: int, room: Room) -> Callable[[Iterable[int]], Iterator[Numbered]]:
    """Read each split once: blocks of its control totals, its good records and their parents, and its row ids."""
    kind = plan.file.kind
    amount = "amount_1" if plan.file.amounts else "NULL::DECIMAL(18,4)"
    columns = f"""is_blank, code::VARCHAR AS code, is_valid, {amount} AS amount, {key(kind)} AS reference,
        {owner(kind)} AS parent, {row_id_number(plan.file)} AS number"""

    def read(connection: duckdb.DuckDBPyConnection, split_number: int, workdir: Path) -> Iterator[Numbered]:
        split = plan.splits[split_number]
        _create_records(connection, plan.load(split, workdir), columns, split.lines)
        of_split = f"{split_number}::INTEGER AS split"
        yield from pack(
            connection,
            f"{kind}_totals",
            "0",
            f"""SELECT {of_split}, is_blank, code, count(*) AS records, sum(amount) AS amount
            FROM records GROUP BY is_blank, code""",
        )
        if plan.file.unique:
            yield from pack(
                connection,
                f"{kind}_id_bits",
                bucket("id_block", buckets),
                """SELECT number >> 6 AS id_block, count(*) AS records, bit_or(1::UBIGINT << (number & 63)) AS bits
                FROM records WHERE is_valid AND number IS NOT NULL GROUP BY id_block""",
            )
        if kind.identity:
            yield from pack(
                connection,
                f"{kind}_good",
                bucket("reference", buckets),
                f"SELECT {of_split}, reference, parent FROM records WHERE is_valid",
            )
        if kind.parent:
            yield from pack(
                connection,
                f"{kind}_by_parent",
                bucket("parent", buckets),
                f"""SELECT {of_split}, parent, count(*) AS records, sum(amount) AS amount
                FROM records WHERE is_valid GROUP BY parent""",
            )

    return _splits(read, plan, room)


def _create_records(connection: duckdb.DuckDBPyConnection, file: CsvFile, columns: str, lines: int) -> None:
    """Create the table `records` of a split, by the fast path if it reads every line and all references are clean."""
    if file.is_plain:
        with suppress(*NotPlainError):
            connection.execute(f"CREATE TABLE records AS SELECT {columns} FROM ({plain_records_sql(file)})")
            # The fast path does not check references to a parent. Unlike in the function, the parents are not here.
            is_unclean = f"strlen(parent) > {MAX_REFERENCE} OR parent = '' OR trimmed(parent) <> parent"
            question = f"SELECT count(*) = {lines} AND count(*) FILTER ({is_unclean}) = 0 FROM records"
            # All rows are fetched: as long as a result is open, `connection.sql` refuses to run.
            if connection.execute(question).fetchall() == [(True,)]:
                return
        connection.execute("DROP TABLE IF EXISTS records")
    connection.execute(f"CREATE TABLE records AS SELECT {columns} FROM ({records_sql(file)})")


def row_ids(plan: FilePlan, buckets: int, room: Room) -> Callable[[Iterable[int]], Iterator[Numbered]]:
    """Read the row ids of the good records of each split."""

    def read(connection: duckdb.DuckDBPyConnection, split_number: int, workdir: Path) -> Iterator[Numbered]:
        file = plan.load(plan.splits[split_number], workdir)
        yield from pack(
            connection,
            f"{file.kind}_ids",
            bucket("id", buckets),
            f"""SELECT {split_number}::INTEGER AS split, {quoted(str(file.unique))} AS id FROM ({records_sql(file)})
            WHERE is_valid AND {quoted(str(file.unique))} <> ''""",
        )

    return _splits(read, plan, room)


def answers(
    plan: FilePlan, question: Callable[[CsvFile], str], room: Room
) -> Callable[[Iterable[int]], Iterator[bool | None]]:
    """Run a query with a boolean (or NULL) result on each split."""

    def read(connection: duckdb.DuckDBPyConnection, split_number: int, workdir: Path) -> Iterator[bool | None]:
        file = plan.load(plan.splits[split_number], workdir)
        (answer,) = connection.execute(question(file)).fetchone() or (None,)
        yield answer

    return _splits(read, plan, room)


def _splits(
    read: Callable[[duckdb.DuckDBPyConnection, int, Path], Iterator[Any]], plan: FilePlan, room: Room
) -> Callable[[Iterable[int]], Iterator[Any]]:
    """Return a task that calls `read` for each split number."""

    def task(split_numbers: Iterable[int]) -> Iterator[Any]:
        for split_number in split_numbers:
            with room.database(plan.file.name) as (connection, workdir):
                yield from read(connection, split_number, workdir)

    return task


def candidates(plan: FilePlan, room: Room) -> Callable[[Iterable[Numbered]], Iterator[bytes]]:
    """Read the splits with `keys` of candidates again, in order: the candidates (CANDIDATE_COLUMNS) as Arrow streams.

    All blocks with the same number, the split's, must follow one another.
    """
    kind = plan.file.kind
    conditions = {
        "reference": f"{key(kind)} IN (SELECT key FROM keys WHERE part = 'reference')",
        "parent": f"{owner(kind)} IN (SELECT key FROM keys WHERE part = 'parent')",
        "id": f"{quoted(str(plan.file.unique))} IN (SELECT key FROM keys WHERE part = 'id')",
    }

    def task(blocks: Iterable[Numbered]) -> Iterator[bytes]:
        for split_number, of_split in groupby(blocks, itemgetter(0)):
            with room.database(plan.file.name) as (connection, workdir):
                load(connection, unpack(of_split), ["keys"])
                needed = [
                    sql
                    for part, sql in conditions.items()
                    if ask(connection, f"SELECT EXISTS (FROM keys WHERE part = '{part}')")
                ]
                collect_candidates(connection, plan.load(plan.splits[split_number], workdir), needed)
                found = connection.sql(f"SELECT {', '.join(CANDIDATE_COLUMNS)} FROM {kind}_candidates")
                for batch in found.to_arrow_reader(LINE_ROWS):
                    yield to_bytes(batch)

    return task
