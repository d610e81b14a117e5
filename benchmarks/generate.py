"""Write a day's three files of any size: the same arguments give the same bytes.

Example:
    python -m benchmarks.generate build/bench --customers 500000
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import duckdb
import typer
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind

BATCH = "20220131"


class Quoting(StrEnum):
    """Which cells are quoted: none, the customers' names, or all."""

    NONE = "none"
    NAMES = "names"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Day:
    """The shape of a generated day."""

    customers: int = 500_000
    orders_per_customer: int = 4
    items_per_order: int = 3
    bad_items: int = 0
    """Number of items with an invalid price, evenly spread over the file."""
    quoting: Quoting = Quoting.NONE

    @property
    def orders(self) -> int:
        """Number of orders of the day."""
        return self.customers * self.orders_per_customer

    @property
    def items(self) -> int:
        """Number of items of the day."""
        return self.orders * self.items_per_order


def generate(day: Day, directory: Path) -> dict[RecordKind, Path]:
    """Write the files into the directory and return their paths; existing files are kept."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = {kind: directory / f"{kind}_{BATCH}.csv" for kind in MODEL.kinds}
    with duckdb.connect(config={"threads": "2"}) as connection:
        for kind, query in _queries(day).items():
            if not paths[kind].exists():
                partial = paths[kind].with_suffix(".part")
                quoted = ", FORCE_QUOTE *" if day.quoting is Quoting.ALL else ""
                connection.execute(f"COPY ({query}) TO '{partial}' (FORMAT csv, HEADER true{quoted})")
                partial.rename(paths[kind])
    return paths


def rows(path: Path) -> Iterator[dict[str, str]]:
    """Read a file with the csv module; each record is a dictionary by column name."""
    with path.open(newline="") as file:
        yield from csv.DictReader(file)


def _queries(day: Day) -> dict[RecordKind, str]:
    # References are scrambled by a multiplication modulo 2^32, so that no file is sorted by them.
    customer = "printf('%08x-11ed-cust', ({} * 2654435761) % 4294967296)"
    order = "printf('%08x-ord', ({} * 2246822519) % 4294967296)"
    name = "'\"Last, Jr\" ' || i" if day.quoting is Quoting.NAMES else "'Last' || i % 5000"
    bad = f"i % {day.items // day.bad_items} = 0" if day.bad_items else "false"
    return {
        data_model.CUSTOMERS: f"""SELECT i AS id, 'First' || i % 1000 AS first_name, {name} AS last_name,
            {customer.format("i")} AS customer_reference, 'Active' AS status
            FROM range({day.customers}) AS numbers(i)""",
        data_model.ORDERS: f"""SELECT i AS id,
            {customer.format(f"(i // {day.orders_per_customer})")} AS customer_reference,
            'Delivered' AS order_status, {order.format("i")} AS order_reference,
            1643587200 + i % 86400 AS order_timestamp
            FROM range({day.orders}) AS numbers(i)""",
        data_model.ITEMS: f"""SELECT i AS id, {order.format(f"(i // {day.items_per_order})")} AS order_reference,
            'item ' || i % 1000 AS item_name, i % 9 + 1 AS quantity,
            CASE WHEN {bad} THEN 'n/a' ELSE printf('%d.%02d', i * 37 % 1000, i % 100) END AS total_price
            FROM range({day.items}) AS numbers(i)""",
    }


def main(
    directory: Path,
    customers: int = 500_000,
    orders_per_customer: int = 4,
    items_per_order: int = 3,
    bad_items: Annotated[int, typer.Option(help="Items without a valid price.")] = 0,
    quoting: Quoting = Quoting.NONE,
) -> None:
    """Write a day's files."""
    for path in generate(Day(customers, orders_per_customer, items_per_order, bad_items, quoting), directory).values():
        print(f"{path} {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
