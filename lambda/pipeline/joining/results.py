"""The results as table writes: one put request for each, sorted by reference, in chunk files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import duckdb

from pipeline.joining.acceptance import carried
from pipeline.joining.chunks import ChunkWriter
from pipeline.joining.sums import measure_column
from pipeline.model.data_model import MODEL
from pipeline.model.items import (
    IDENTITY,
    REFUSED_RECORDS,
    RESULT_ATTRIBUTES,
    delete_line,
    put_line,
    removed_item,
    result_key,
    result_line,
)
from pipeline.model.record_kinds import Count
from pipeline.reading.sql import file_literal, in_order, literal

_FETCH = 5_000


def write_results(connection: duckdb.DuckDBPyConnection, batch: str, chunks: ChunkWriter) -> None:
    """Add the put requests of the relation `results` to the chunks; only incomplete totals have `refused_records`."""
    with in_order(connection):
        rows = connection.execute(f"SELECT {put_request(batch)} FROM (FROM results ORDER BY reference)")
        while requests := rows.fetchmany(_FETCH):
            chunks.add([request for (request,) in requests])


def put_request(batch: str) -> str:
    """Return the SQL of a result's put request: the text of `result_line`, with the values in place of its blanks."""
    values = {IDENTITY: _text("reference")}
    for measure in MODEL.result.measures:
        column = measure_column(measure)
        values[measure.name] = _number(column if isinstance(measure, Count) else f"number_text({column})")
    for column, name in carried(MODEL.root).items():
        values[name] = _carried(column, RESULT_ATTRIBUTES[name])
    begin, key, others = result_line(batch, "", {name: {} for name in values}).partition(json.dumps(result_key("")))
    *before, end = others.split("{}")
    parts = [literal(begin), f"to_json({literal(json.loads(key))} || reference)"]
    for text, value in zip(before, values.values(), strict=True):
        parts += [literal(text), value]
    incomplete = f"concat({literal(f',{json.dumps(REFUSED_RECORDS)}:')}, {_number('refused_records')})"
    parts += [f"CASE WHEN refused_records > 0 THEN {incomplete} ELSE '' END", literal(end)]
    return f"concat({', '.join(parts)})"


def _text(value: str) -> str:
    return f"""concat('{{"S":', to_json({value}), '}}')"""


def _number(value: str) -> str:
    return f"""concat('{{"N":"', {value}, '"}}')"""


def _carried(column: str, type_name: str) -> str:
    if type_name == "S":
        return _text(f"coalesce({column}, '')")
    number = f"TRY_CAST({column} AS BIGINT)"
    return f"""CASE WHEN {number} IS NULL THEN '{{"NULL":true}}' ELSE {_number(number)} END"""


def write_references(connection: duckdb.DuckDBPyConnection, table: str, target: Path) -> None:
    """Write the references in a table into a Parquet file, for a later correction."""
    connection.execute(f"COPY (SELECT reference AS {IDENTITY} FROM {table}) TO {literal(str(target))} (FORMAT parquet)")


def listed(paths: Sequence[Path]) -> str:
    """Select the references in Parquet files that `write_references` wrote."""
    return f"SELECT {IDENTITY} AS reference FROM read_parquet([{', '.join(file_literal(path) for path in paths)}])"


def dropped(earlier: Sequence[Path], present: Sequence[Path]) -> str:
    """Select the references in the lists `earlier` that no list of `present` has, sorted."""
    return f"""SELECT DISTINCT earlier.reference FROM ({listed(earlier)}) AS earlier
        ANTI JOIN ({listed(present)}) AS present ON earlier.reference = present.reference ORDER BY 1"""


def write_removals(connection: duckdb.DuckDBPyConnection, batch: str, chunks: ChunkWriter) -> None:
    """Add chunks that remove the results in the relation `removed`, sorted by reference.

    Each removal is a put, which causes the message, and then the deletion; a chunk has both.
    """
    rows = connection.execute("FROM removed ORDER BY reference")
    while found := rows.fetchmany(max(chunks.chunk_records // 2, 1)):
        chunks.flush()
        items = [removed_item(reference, batch) for (reference,) in found]
        puts = [put_line(item) for item in items]
        chunks.add(puts + [delete_line(item["pk"], item["sk"]) for item in items])
