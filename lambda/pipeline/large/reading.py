"""Tasks that read splits of a file with the function's own SQL, for `mapInArrow`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain

import pyarrow as pa

from pipeline.joining import first_pass as reader
from pipeline.joining.acceptance import amounts, candidate_columns, carried
from pipeline.joining.second_pass import collect_candidates
from pipeline.large.splits import FilePlan
from pipeline.large.tasks import TaskLimits
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.line_reader import records_sql
from pipeline.reading.sql import quoted

Task = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
ReadOne = Callable[[int], Iterator[pa.RecordBatch]]
"""Reads the split, or the file, with a number."""

ROWS = 50_000
"""Rows that a task returns at a time."""
_LINES = 500
"""The same for rows with whole lines, which may be long."""

_KEYS = pa.schema({"split": pa.int32(), "part": pa.string(), "key": pa.string()})
"""Why records of a split are candidates: `key` is their `reference`, `parent` or `id` (`part`). Without `part`, only
those are candidates that break a rule by themselves."""


def first_columns(kind: RecordKind) -> dict[str, str]:
    """Return the columns of the first pass over splits: those of `<kind>_totals` and of its valid records."""
    own = ["reference"] if kind.identity else []
    return {
        "split": "INT",
        "is_total": "BOOLEAN",
        "is_blank": "BOOLEAN",
        "code": "STRING",
        "id_block": "BIGINT",
        "id_bits": "BIGINT",
        "records": "BIGINT",
        **dict.fromkeys(amounts(kind), "DECIMAL(38,4)"),
        **dict.fromkeys([*own, *(["parent"] if kind.parent else []), *carried(kind)], "STRING"),
    }


def first_pass(plan: FilePlan, limits: TaskLimits) -> ReadOne:
    """Read each split once: its totals, and its valid records; if the kind has no identity, summed by parent."""
    kind = plan.file.kind
    named = "parent" if kind.parent else "reference"
    records = f"SELECT *, 1 AS records FROM {kind}_records WHERE {named} IS NOT NULL"
    if not kind.identity:
        sums = "".join(f", sum({name}) AS {name}" for name in amounts(kind))
        records = f"SELECT parent, count(*) AS records{sums} FROM ({records}) GROUP BY parent"

    def read(number: int) -> Iterator[pa.RecordBatch]:
        with limits.database(plan.file.name) as (connection, workdir):
            reader.first_pass(connection, plan.load(number, workdir), workdir, with_parents=False)
            found = f"""SELECT *, {number} AS split FROM (
                SELECT *, true AS is_total FROM {kind}_totals
                UNION ALL BY NAME SELECT *, false AS is_total FROM ({records}))"""
            yield from connection.sql(_typed(first_columns(kind), found)).to_arrow_reader(ROWS)

    return read


def row_ids(plan: FilePlan, limits: TaskLimits) -> ReadOne:
    """Read the row ids of the valid records of each split: (split, id)."""
    unique = quoted(str(plan.file.unique))

    def read(number: int) -> Iterator[pa.RecordBatch]:
        with limits.database(plan.file.name) as (connection, workdir):
            records = records_sql(plan.load(number, workdir))
            ids = f"SELECT {number} AS split, {unique} AS id FROM ({records}) WHERE is_valid AND {unique} <> ''"
            yield from connection.sql(ids).to_arrow_reader(ROWS)

    return read


def each(read: ReadOne) -> Task:
    """Read all that have the numbers which the task gets."""
    return lambda batches: chain.from_iterable(read(number) for batch in batches for number in batch[0].to_pylist())


def candidates(plan: FilePlan, limits: TaskLimits) -> Task:
    """Read the candidates of each split for which there are keys (_KEYS)."""
    kind = plan.file.kind
    cells = {"reference": kind.identity, "parent": kind.parent and kind.parent.column, "id": plan.file.unique}

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with limits.database(plan.file.name) as (connection, workdir):
            connection.register("sent", pa.RecordBatchReader.from_batches(_KEYS, batches))
            connection.execute("CREATE TABLE keys AS FROM sent")
            splits = connection.execute("SELECT split, array_agg(DISTINCT part) FROM keys GROUP BY split").fetchall()
            for number, parts in splits:
                conditions = [
                    f"{quoted(str(cells[part]))} IN (SELECT key FROM keys WHERE split = {number} AND part = '{part}')"
                    for part in filter(None, parts)
                ]
                collect_candidates(connection, plan.load(number, workdir), conditions)
                found = _typed(candidate_columns(kind), f"FROM {kind}_candidates")
                yield from connection.sql(found).to_arrow_reader(_LINES)
                connection.execute(f"DROP TABLE {kind}_candidates")

    return task


def _typed(columns: Mapping[str, str], rows: str) -> str:
    """Select columns with their types."""
    selected = (f"CAST({name} AS {type_name}) AS {name}" for name, type_name in columns.items())
    return f"SELECT {', '.join(selected)} FROM ({rows})"
