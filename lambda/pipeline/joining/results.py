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
    # JSON escapes are left to the json function only where a reference needs any.
    rows = connection.execute(
        f"""SELECT '{{"PutRequest":{{"Item":{{"pk":{{"S":"' || {literal(customer_key(""))} || reference
            || '"}},"sk":{{"S":' || {literal('"' + customer_sort_key(batch) + '"')}
            || '}},"customer_reference":{{"S":"' || reference
            || '"}},"number_of_orders":{{"N":"' || orders
            || '"}},"total_amount_spent":{{"N":"'
            || rtrim(rtrim(amount::VARCHAR, '0'), '.') || '"}}}}}}}}' AS line
        FROM (SELECT *, CASE WHEN regexp_full_match(customer_reference, '[ !#-\\[\\]-~]*') THEN customer_reference
                ELSE (to_json(customer_reference)::VARCHAR)[2:-2] END AS reference FROM results)
        ORDER BY customer_reference"""
    )
    while found := rows.fetchmany(_FETCH):
        chunks.add([row[0] for row in found])


def write_references(connection: duckdb.DuckDBPyConnection, target: Path) -> None:
    """Write the references of the customers in `results` into a Parquet file, for a later correction."""
    connection.execute(f"COPY (SELECT customer_reference FROM results) TO {literal(str(target))} (FORMAT parquet)")
