"""Implementations that turn a day's three files into each customer's orders and total, from ours to the simplest.

Each takes the paths by kind, DuckDB's limits and a working folder, and returns the number of customers and the sum of
all totals. Only `ours` validates every record and writes chunk files.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind

from benchmarks.generate import BATCH, rows


@dataclass(frozen=True, slots=True)
class Limits:
    """DuckDB's limits: memory in MB, and threads."""

    memory_mb: int
    threads: int


Files = Mapping[RecordKind, Path]
Answer = tuple[int, str | Callable[[], str]]
"""The number of customers, and the sum of all totals or a function that reads it from the output (not measured)."""


def ours(files: Files, limits: Limits, workdir: Path) -> Answer:
    """Run the whole transform: validation, totals, reconciliation and chunk files.

    As in the Lambda function, the files are in the working folder and are deleted after they were read.
    """
    from pipeline.joining.customer_data_processor import Options, SourceFile, process

    sources = {kind: SourceFile(path.name, workdir / path.name) for kind, path in files.items()}
    for kind, source in sources.items():
        source.path.hardlink_to(files[kind])
    options = Options(limits.memory_mb, limits.threads, keep_files=False)
    summary = process(BATCH, sources, workdir, options).summary
    return summary.as_dict()["customers"], summary.as_dict()["total_amount"]


def bare(files: Files, limits: Limits, workdir: Path) -> Answer:
    """Sum the items by order, join and write the result as JSON lines with DuckDB, without validation."""
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{limits.memory_mb}MB",
        "threads": str(limits.threads),
        "temp_directory": str(workdir / "spill"),
        "preserve_insertion_order": "false",
    }
    with duckdb.connect(config=config) as connection:
        for kind, path in files.items():
            connection.execute(f"CREATE VIEW {kind} AS FROM read_csv('{path}', header = true, all_varchar = true)")
        row = connection.execute(
            f"""COPY (
                WITH spent AS (
                    SELECT order_reference, sum({_amount(files)}) AS amount FROM items GROUP BY order_reference
                ),
                ordered AS (
                    SELECT customer_reference, count(*) AS orders, sum(amount) AS amount
                    FROM orders LEFT JOIN spent USING (order_reference) GROUP BY customer_reference
                )
                SELECT 'customer_message' AS type, customer_reference, coalesce(orders, 0) AS number_of_orders,
                    coalesce(amount, 0) AS total_amount_spent
                FROM customers LEFT JOIN ordered USING (customer_reference) ORDER BY customer_reference
            ) TO '{workdir / "bare.jsonl"}' (FORMAT json)"""
        ).fetchone()
    return row[0] if row else 0, functools.partial(_written_total, workdir / "bare.jsonl")


def _written_total(path: Path) -> str:
    with path.open(encoding="utf-8") as lines:
        return str(sum(json.loads(line, parse_float=Decimal)["total_amount_spent"] for line in lines))


def _amount(files: Files) -> str:
    """Return the SQL of an item's price; if the generated file has invalid prices, the bare query skips them."""
    with files[data_model.ITEMS].open("rb") as file:
        has_bad_prices = b"n/a" in file.read(1 << 20)
    return f"{'TRY_CAST' if has_bad_prices else 'CAST'}(total_price AS DECIMAL(18,4))"


def polars(files: Files, limits: Limits, workdir: Path) -> Answer:  # noqa: ARG001 (one signature for all)
    """Do the same with polars' streaming engine; amounts are exact decimals, nothing is validated."""
    import polars as pl

    schema = {"total_price": pl.Decimal(18, 4)}
    customers, orders, items = (pl.scan_csv(files[kind], schema_overrides=schema) for kind in MODEL.kinds)
    spent = items.group_by("order_reference").agg(pl.col("total_price").sum())
    ordered = (
        orders.join(spent, on="order_reference", how="left")
        .group_by("customer_reference")
        .agg(pl.len().alias("number_of_orders"), pl.col("total_price").sum().alias("total_amount_spent"))
    )
    results = customers.select("customer_reference").join(ordered, on="customer_reference", how="left")
    table = results.sort("customer_reference").collect(engine="streaming")
    table.write_ndjson(workdir / "polars.jsonl")
    return table.height, str(table["total_amount_spent"].sum())


def pandas(files: Files, limits: Limits, workdir: Path) -> Answer:  # noqa: ARG001 (one signature for all)
    """Merge and group with pandas as it is usually used: amounts are binary floats, nothing is validated."""
    import pandas as pd

    customers = pd.read_csv(files[data_model.CUSTOMERS], usecols=["customer_reference"])
    orders = pd.read_csv(files[data_model.ORDERS], usecols=["customer_reference", "order_reference"])
    items = pd.read_csv(files[data_model.ITEMS], usecols=["order_reference", "total_price"])
    joined = customers.merge(orders, how="left").merge(items, how="left")
    results = joined.groupby("customer_reference").agg({"order_reference": "nunique", "total_price": "sum"})
    return len(results), f"{results['total_price'].sum():.4f}"


def plain(files: Files, limits: Limits, workdir: Path) -> Answer:  # noqa: ARG001 (one signature for all)
    """Read with the csv module and add up Decimals in dictionaries; checks references and numbers, row by row."""
    spent = {row["customer_reference"]: Decimal(0) for row in rows(files[data_model.CUSTOMERS])}
    orders: dict[str, int] = defaultdict(int)
    owner: dict[str, str] = {}
    for row in rows(files[data_model.ORDERS]):
        if row["customer_reference"] in spent and row["order_reference"] not in owner:
            int(row["order_timestamp"])
            owner[row["order_reference"]] = row["customer_reference"]
            orders[row["customer_reference"]] += 1
    for row in rows(files[data_model.ITEMS]):
        customer = owner.get(row["order_reference"])
        if customer is not None:
            int(row["quantity"])
            spent[customer] += Decimal(row["total_price"])
    return len(spent), str(sum(spent.values()))


def nested(files: Files, limits: Limits, workdir: Path) -> Answer:  # noqa: ARG001 (one signature for all)
    """Filter all orders for each customer, and all items for each order: the time is quadratic."""
    customers, orders, items = (list(rows(files[kind])) for kind in MODEL.kinds)
    total = Decimal(0)
    for customer in customers:
        for order in (row for row in orders if row["customer_reference"] == customer["customer_reference"]):
            for item in (row for row in items if row["order_reference"] == order["order_reference"]):
                total += Decimal(item["total_price"])
    return len(customers), str(total)


CONTENDERS: dict[str, Callable[[Files, Limits, Path], Answer]] = {
    "ours": ours,
    "bare": bare,
    "polars": polars,
    "pandas": pandas,
    "plain": plain,
    "nested": nested,
}
NAMES = {
    "ours": "ours",
    "bare": "bare DuckDB query",
    "polars": "polars",
    "pandas": "pandas",
    "plain": "csv and Decimal",
    "nested": "nested filters",
}
