"""The results as table writes: one put request for each, sorted by reference, in chunk files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from pipeline.joining.chunks import ChunkWriter
from pipeline.joining.steps import carried, measure_column
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
from pipeline.model.record_kinds import Count, Sum
from pipeline.reading.sql import file_literal, in_order, literal

_FETCH = 5_000


def write_results(connection: duckdb.DuckDBPyConnection, batch: str, chunks: ChunkWriter) -> None:
    """Add the put requests of the relation `results` to the chunks; only incomplete totals have `refused_records`."""
    with in_order(connection):
        rows = connection.execute(f"SELECT {put_request(batch)} FROM (FROM results ORDER BY reference)")
        while requests := rows.fetchmany(_FETCH):
            chunks.add([request for (request,) in requests])


def put_request(batch: str) -> str:
    """Return the SQL of a result's put request: the text of `result_line`, whose blanks DuckDB fills in."""
    values = {
        IDENTITY: _text("reference"),
        **{measure.name: _number(_measure(measure)) for measure in MODEL.result.measures},
        **{name: _carried(column, RESULT_ATTRIBUTES[name]) for column, name in carried(MODEL.root).items()},
    }
    incomplete = _filled(batch, values | {REFUSED_RECORDS: _number("refused_records")})
    return f"CASE WHEN refused_records > 0 THEN {incomplete} ELSE {_filled(batch, values)} END"


def _measure(measure: Count | Sum) -> str:
    column = measure_column(measure)
    return column if isinstance(measure, Count) else f"number_text({column})"


_Value = tuple[str, str, str]
"""A value in DynamoDB JSON: the text before it, its SQL, and the text after it."""


def _text(value: str) -> _Value:
    return '{"S":', f"to_json({value})", "}"


def _number(value: str) -> _Value:
    return '{"N":"', value, '"}'


def _carried(column: str, type_name: str) -> _Value:
    if type_name == "S":
        return _text(f"coalesce({column}, '')")
    before, value, after = _number(f"TRY_CAST({column} AS BIGINT)")
    return "", f"coalesce({literal(before)} || {value} || {literal(after)}, {literal(_NULL)})", ""


_NULL = '{"NULL":true}'


def _filled(batch: str, values: Mapping[str, _Value]) -> str:
    """Return the SQL of a put request with the values of the attributes."""
    key = json.dumps(result_key(""))
    text, _, attributes = result_line(batch, "", {name: {} for name in values}).partition(key)
    parts = [literal(text), f"to_json({literal(result_key(''))} || reference)"]
    between = attributes.split("{}")
    text = ""
    for before, (opening, value, closing) in zip(between, values.values(), strict=False):
        parts += [literal(text + before + opening), value]
        text = closing
    return f"concat({', '.join([*parts, literal(text + between[-1])])})"


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
