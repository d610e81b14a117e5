"""Ways to turn a day's three files into each customer's orders and total, from the product's own to the simplest.

Each takes the paths by kind, what it may use and a folder to work in, and returns the number of customers and the sum
of all totals. Only `ours` validates every record and writes what is to be delivered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from pipeline.model.data_model import KINDS, ColumnType, Kind

from benchmarks.generate import BATCH, rows

_TYPES = {ColumnType.INTEGER: "BIGINT", ColumnType.TIMESTAMP: "BIGINT", ColumnType.AMOUNT: "DECIMAL(18,4)"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What DuckDB may use: memory in MB, threads."""

    memory_mb: int
    threads: int


Files = Mapping[Kind, Path]
Answer = tuple[int, str]


def ours(files: Files, limits: Limits, workdir: Path) -> Answer:
    """Run the whole transform: validation, totals, reconciliation and chunk files.

    As in the function, the files lie in its folder and go when they were read.
    """
    from pipeline.joining.customer_data_processor import Options, SourceFile, process

    sources = {kind: SourceFile(path.name, workdir / path.name) for kind, path in files.items()}
    for kind, source in sources.items():
        source.path.hardlink_to(files[kind])
    options = Options(limits.memory_mb, limits.threads, keep_files=False)
    summary = process(BATCH, sources, workdir, options).summary
    return summary.customers, summary.total_amount


def bare(files: Files, limits: Limits, workdir: Path) -> Answer:
    """Scan, join and aggregate into a table; DuckDB's CSV reader is told the types, and trusts the data."""
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{limits.memory_mb}MB",
        "threads": str(limits.threads),
        "temp_directory": str(workdir / "spill"),
        "preserve_insertion_order": "false",
    }
    with duckdb.connect(config=config) as connection:
        for kind, path in files.items():
            connection.execute(f"CREATE VIEW {kind} AS FROM {_typed_scan(kind, path)}")
        connection.execute(
            """CREATE TABLE results AS
            SELECT customer_reference, count(DISTINCT order_reference) AS orders, sum(total_price) AS total
            FROM customers LEFT JOIN (SELECT customer_reference, order_reference FROM orders) USING (customer_reference)
            LEFT JOIN (SELECT order_reference, total_price FROM items) USING (order_reference)
            GROUP BY customer_reference"""
        )
        row = connection.execute("SELECT count(*), sum(total) FROM results").fetchone()
    if row is None:
        raise RuntimeError("no total came back")
    return row[0], str(row[1])


def _typed_scan(kind: Kind, path: Path) -> str:
    with path.open() as file:
        names = file.readline().strip().replace('"', "").split(",")
    types = {column.name: _TYPES.get(column.type, "VARCHAR") for column in KINDS[kind].columns}
    columns = ", ".join(f"'{name}': '{types.get(name, 'VARCHAR')}'" for name in names)
    return f"""read_csv('{path}', auto_detect = false, header = true, quote = '"', columns = {{{columns}}},
        ignore_errors = {_has_bad_prices(path)})"""


def _has_bad_prices(path: Path) -> bool:
    """Tell whether the generator put prices that are none into the file, which the bare query must skip."""
    with path.open("rb") as file:
        return b"n/a" in file.read(1 << 20)


def polars(files: Files, limits: Limits, workdir: Path) -> Answer:  # noqa: ARG001 (one signature for all)
    """Join and aggregate with polars' streaming engine; amounts are exact decimals, nothing is validated."""
    import polars as pl

    schema = {"total_price": pl.Decimal(18, 4)}
    customers, orders, items = (pl.scan_csv(files[kind], schema_overrides=schema) for kind in Kind)
    spent = (
        orders.select("customer_reference", "order_reference")
        .join(items.select("order_reference", "total_price"), on="order_reference", how="left")
        .group_by("customer_reference")
        .agg(pl.col("order_reference").n_unique(), pl.col("total_price").sum())
    )
    results = customers.select("customer_reference").join(spent, on="customer_reference", how="left")
    table = results.collect(engine="streaming")
    return table.height, str(table["total_price"].sum())


def pandas(files: Files, limits: Limits, workdir: Path) -> Answer:  # noqa: ARG001 (one signature for all)
    """Merge and group with pandas as it is mostly used: amounts are binary floats, nothing is validated."""
    import pandas as pd

    customers = pd.read_csv(files[Kind.CUSTOMERS], usecols=["customer_reference"])
    orders = pd.read_csv(files[Kind.ORDERS], usecols=["customer_reference", "order_reference"])
    items = pd.read_csv(files[Kind.ITEMS], usecols=["order_reference", "total_price"])
    joined = customers.merge(orders, how="left").merge(items, how="left")
    results = joined.groupby("customer_reference").agg({"order_reference": "nunique", "total_price": "sum"})
    return len(results), f"{results['total_price'].sum():.4f}"


def plain(files: Files, limits: Limits, workdir: Path) -> Answer:  # noqa: ARG001 (one signature for all)
    """Read with the csv module and add up Decimals in dictionaries; checks references and numbers, row by row."""
    spent = {row["customer_reference"]: Decimal(0) for row in rows(files[Kind.CUSTOMERS])}
    orders: dict[str, int] = defaultdict(int)
    owner: dict[str, str] = {}
    for row in rows(files[Kind.ORDERS]):
        if row["customer_reference"] in spent and row["order_reference"] not in owner:
            int(row["order_timestamp"])
            owner[row["order_reference"]] = row["customer_reference"]
            orders[row["customer_reference"]] += 1
    for row in rows(files[Kind.ITEMS]):
        customer = owner.get(row["order_reference"])
        if customer is not None:
            int(row["quantity"])
            spent[customer] += Decimal(row["total_price"])
    return len(spent), str(sum(spent.values()))


def nested(files: Files, limits: Limits, workdir: Path) -> Answer:  # noqa: ARG001 (one signature for all)
    """Filter all orders for each customer, and all items for each order: work grows with the square of the day."""
    customers, orders, items = (list(rows(files[kind])) for kind in Kind)
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
