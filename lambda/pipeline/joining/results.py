"""The results as table writes: one put request a customer, in chunk files, sorted by reference."""

from __future__ import annotations

from pathlib import Path

import duckdb

from pipeline.joining.chunks import ChunkWriter
from pipeline.model.items import customer_key, customer_sort_key
from pipeline.reading.sql import literal

_FETCH = 20_000


def write_results(connection: duckdb.DuckDBPyConnection, batch: str, chunks: ChunkWriter) -> None:
    """Add the put requests of the relation `results` (customer_reference, orders, amount) to the chunks."""
    key, sort_key = literal(customer_key("")), literal(customer_sort_key(batch))
    rows = connection.execute(
        f"""SELECT to_json({{'PutRequest': {{'Item': {{
            'pk': {{'S': {key} || customer_reference}},
            'sk': {{'S': {sort_key}}},
            'customer_reference': {{'S': customer_reference}},
            'number_of_orders': {{'N': orders::VARCHAR}},
            'total_amount_spent': {{'N': rtrim(rtrim(amount::VARCHAR, '0'), '.')}}
        }}}}}})::VARCHAR FROM results ORDER BY customer_reference"""
    )
    while found := rows.fetchmany(_FETCH):
        chunks.add([row[0] for row in found])


def write_references(connection: duckdb.DuckDBPyConnection, target: Path) -> None:
    """Write the references of the customers in `results` into a Parquet file, for a later correction."""
    connection.execute(f"COPY (SELECT customer_reference FROM results) TO {literal(str(target))} (FORMAT parquet)")
