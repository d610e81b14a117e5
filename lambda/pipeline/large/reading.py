"""Tasks that read splits of a file with the function's own SQL, for `mapInArrow`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, groupby

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.joining import first_pass as reader
from pipeline.joining.acceptance import amounts, candidate_columns, carried
from pipeline.joining.second_pass import collect_candidates
from pipeline.large.splits import FilePlan
from pipeline.large.tasks import TaskLimits
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.line_reader import records_sql
from pipeline.reading.sql import quoted

Task = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]

ROWS = 50_000
"""Rows that a task returns at a time."""
_LINES = 500
"""The same for rows with whole lines, which may be long."""

TOTALS = {"is_blank": "BOOLEAN", "code": "STRING", "id_block": "BIGINT", "id_bits": "BIGINT"}
KEYS = "split INT, part STRING, key STRING"
"""Why a record is a candidate: `part` is its `reference`, `parent` or `id`, or empty for errors of single records."""


def first_columns(kind: RecordKind) -> dict[str, str]:
    """Return the columns of the first pass over splits: those of `<kind>_totals` and of its valid records."""
    return {
        "split": "INT",
        "is_total": "BOOLEAN",
        **TOTALS,
        "records": "BIGINT",
        **dict.fromkeys(amounts(kind), "DECIMAL(38,4)"),
        **dict.fromkeys(("reference", "parent", *carried(kind)), "STRING"),
    }


def first_pass(plan: FilePlan, limits: TaskLimits) -> Task:
    """Read each split once: its totals, and its valid records; if the kind has no identity, summed by parent."""
    kind = plan.file.kind
    sums = {name: f"sum({name})" for name in amounts(kind)}
    if kind.identity:
        of_records = {"records": "1", "reference": "reference", **{name: name for name in (*sums, *carried(kind))}}
        group = ""
    else:
        of_records, group = {"records": "count(*)", **sums}, "GROUP BY parent"
    if kind.parent:
        of_records["parent"] = "parent"
    is_valid = f"{'parent' if kind.parent else 'reference'} IS NOT NULL"

    def read(number: int) -> Iterator[pa.RecordBatch]:
        with limits.database(plan.file.name) as (connection, workdir):
            reader.first_pass(connection, plan.load(number, workdir), workdir, with_parents=False)
            of_totals = {name: name for name in (*TOTALS, "records", *sums)}
            totals = _select(kind, number, of_totals | {"is_total": "true"}, f"FROM {kind}_totals")
            records = _select(
                kind, number, of_records | {"is_total": "false"}, f"FROM {kind}_records WHERE {is_valid} {group}"
            )
            yield from connection.sql(f"{totals} UNION ALL {records}").to_arrow_reader(ROWS)

    return _of_splits(read)


def _select(kind: RecordKind, split: int, values: dict[str, str], rows: str) -> str:
    columns = first_columns(kind).items()
    known = {"split": str(split)} | values
    selected = (f"CAST({known.get(name, 'NULL')} AS {type_name}) AS {name}" for name, type_name in columns)
    return f"SELECT {', '.join(selected)} {rows}"


def row_ids(plan: FilePlan, limits: TaskLimits) -> Task:
    """Read the row ids of the valid records of each split: (split, id)."""
    unique = quoted(str(plan.file.unique))

    def read(number: int) -> Iterator[pa.RecordBatch]:
        with limits.database(plan.file.name) as (connection, workdir):
            records = records_sql(plan.load(number, workdir))
            ids = (
                f"SELECT {number}::INTEGER AS split, {unique} AS id FROM ({records}) WHERE is_valid AND {unique} <> ''"
            )
            yield from connection.sql(ids).to_arrow_reader(ROWS)

    return _of_splits(read)


def _of_splits(read: Callable[[int], Iterator[pa.RecordBatch]]) -> Task:
    """Return the task that calls `read` with each split number that it gets."""

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in chain.from_iterable(batch.column(0).to_pylist() for batch in batches):
            yield from read(number)

    return task


def candidates(plan: FilePlan, limits: TaskLimits) -> Task:
    """Read the candidates of each split for which there are keys (KEYS); the rows of a split must be consecutive."""
    kind = plan.file.kind
    cells = {"reference": kind.identity, "parent": kind.parent and kind.parent.column, "id": plan.file.unique}

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number, parts in groupby(_by_split(batches), lambda part: part[0]):
            keys = pa.Table.from_batches([rows for _, rows in parts])
            conditions = [
                f"{quoted(str(cells[part]))} IN (SELECT key FROM keys WHERE part = '{part}')"
                for part in pc.unique(keys.column("part")).to_pylist()
                if part
            ]
            with limits.database(plan.file.name) as (connection, workdir):
                connection.register("keys", keys)
                collect_candidates(connection, plan.load(number, workdir), conditions)
                columns = (
                    f"CAST({name} AS {type_name}) AS {name}" for name, type_name in candidate_columns(kind).items()
                )
                found = connection.sql(f"SELECT {', '.join(columns)} FROM {kind}_candidates")
                yield from found.to_arrow_reader(_LINES)

    return task


def _by_split(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Divide batches of keys, sorted by split, into those of a single split."""
    for batch in batches:
        splits = batch.column(0).to_pylist()
        for split, group in groupby(range(batch.num_rows), splits.__getitem__):
            positions = list(group)
            yield split, batch.slice(positions[0], len(positions))
