"""The results as table writes: one put request per customer, sorted by reference, in chunk files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import duckdb

from pipeline.joining.chunks import ChunkWriter
from pipeline.model.items import REFUSED_RECORDS, customer_key, customer_sort_key, delete_line, put_line, removed_item
from pipeline.reading.sql import file_literal, in_order, literal

_FETCH = 5_000


def write_results(connection: duckdb.DuckDBPyConnection, batch: str, chunks: ChunkWriter) -> None:
    """Add the put requests of the relation `results` to the chunks; only incomplete totals have `refused_records`."""
    with in_order(connection):
        rows = connection.execute(f"SELECT {_put_request(batch)} FROM (FROM results ORDER BY customer_reference)")
        while requests := rows.fetchmany(_FETCH):
            chunks.add([request for (request,) in requests])


def _put_request(batch: str) -> str:
    """Return the SQL of a put request: the text of `put_line` with DuckDB's JSON for the references."""
    reference = f"to_json({literal(customer_key(''))} || customer_reference)"
    sort_key = json.dumps(customer_sort_key(batch))
    before = {
        '{"PutRequest":{"Item":{"pk":{"S":': reference,
        f'}},"sk":{{"S":{sort_key}}},"customer_reference":{{"S":': "to_json(customer_reference)",
        '},"number_of_orders":{"N":"': "orders",
        '"},"total_amount_spent":{"N":"': "number_text(amount)",
    }
    parts = ", ".join(f"{literal(text)}, {value}" for text, value in before.items())
    incomplete = f"""'"}},"{REFUSED_RECORDS}":{{"N":"' || refused_records"""
    return f"concat({parts}, CASE WHEN refused_records > 0 THEN {incomplete} END, '\"}}}}}}}}')"


def write_references(connection: duckdb.DuckDBPyConnection, target: Path) -> None:
    """Write the references of the customers in `results` into a Parquet file, for a later correction."""
    connection.execute(f"COPY (SELECT customer_reference FROM results) TO {literal(str(target))} (FORMAT parquet)")


def listed_customers(paths: Sequence[Path]) -> str:
    """Return the relation of the customers that are in any of these Parquet files."""
    return f"read_parquet([{', '.join(file_literal(path) for path in paths)}])"


def dropped_customers(
    connection: duckdb.DuckDBPyConnection, previous: Sequence[Path], present: str
) -> duckdb.DuckDBPyConnection:
    """Select the customers in the lists of earlier versions whom the relation `present` lacks, sorted by reference."""
    return connection.execute(
        f"""SELECT DISTINCT customer_reference FROM {listed_customers(previous)}
        WHERE customer_reference NOT IN (SELECT customer_reference FROM {present}) ORDER BY customer_reference"""
    )


def remove_customers(
    connection: duckdb.DuckDBPyConnection, batch: str, previous: Sequence[Path], chunks: ChunkWriter
) -> int:
    """Write a removal for every customer that an earlier version delivered and this one does not."""
    if not previous:
        return 0
    rows = dropped_customers(connection, previous, "results")
    removed = 0
    while found := rows.fetchmany(removals_per_chunk(chunks.chunk_records)):
        add_removals(batch, [row[0] for row in found], chunks)
        removed += len(found)
    return removed


def removals_per_chunk(chunk_records: int) -> int:
    """Return how many customers one chunk can remove; each needs two requests."""
    return max(chunk_records // 2, 1)


def add_removals(batch: str, customer_references: Sequence[str], chunks: ChunkWriter) -> None:
    """Add a new chunk of removals: for each customer a put, which causes the message, and then the deletion."""
    chunks.flush()
    items = [removed_item(reference, batch) for reference in customer_references]
    puts = [put_line(item) for item in items]
    chunks.add(puts + [delete_line(item["pk"], item["sk"]) for item in items])
