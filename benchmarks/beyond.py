"""How large a day may get: for one transform function by its measured rates, for delivery by the services' quotas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.stages.transform import MB_PER_CPU

from benchmarks.bill import MILLION, NEW_TABLE_WRITES, Times, pace, prices, times
from benchmarks.cost import scaled
from benchmarks.document import table
from benchmarks.results import Result, load
from benchmarks.traffic import Sizes, invocations, read_settings

LAMBDA_MB, LAMBDA_STORAGE_MB, LAMBDA_SECONDS = 10_240, 10_240, 900
"""The largest function (Lambda developer guide, quotas)."""
ALARM_SHARE = 0.9
"""Share of the timeout and of /tmp that may be used: from there on there is an alarm, or no room."""
TABLE_WRITES = 40_000
"""Writes a second of one table unless AWS raised it (DynamoDB developer guide, quotas)."""
DAYS = (MILLION, 3 * MILLION, 10 * MILLION, 100 * MILLION)
ATHENA_PASSES = 3
"""How often a query over the day would read each file: to judge records, to sum up, to write what was refused."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What a customer takes of a transform function."""

    cpu_seconds: float
    csv_mb: float
    disk_mb: float
    """Of /tmp, the files included."""
    threads: int
    peak_mb: float
    """Highest memory of the largest day that was measured, and `memory_mb`, the limit that it had."""
    memory_mb: int
    measured_to: int
    """Customers of that day."""


def rates(sizes: list[Mapping[str, Any]]) -> Rates:
    """Take the rates from the largest day that was measured: small ones hide what grows."""
    largest = max(sizes, key=lambda size: size["customers"])
    ours, customers = largest["sides"]["ours"], largest["customers"]
    return Rates(
        cpu_seconds=ours["cpu_seconds"] / customers,
        csv_mb=largest["csv_mb"] / customers,
        disk_mb=ours["disk_mb"] / customers,
        threads=largest["threads"],
        peak_mb=ours["peak_mb"],
        memory_mb=largest["memory_mb"],
        measured_to=customers,
    )


def most_customers(found: Rates, memory_mb: int, storage_mb: int, moments: Times) -> dict[str, float]:
    """Return the customers at which a function of this size has used up its time, or its /tmp.

    Processor time is taken to shrink with the processors that the memory brings, of which measurements on
    `found.threads` threads are the only evidence. Memory sets no limit of its own, as the join spills to /tmp.
    """
    moved_mb = found.csv_mb + Sizes().chunk_line / 1e6
    seconds = found.cpu_seconds * MB_PER_CPU / memory_mb + moved_mb * 1e6 / moments.bytes_a_second
    return {
        "time": ALARM_SHARE * LAMBDA_SECONDS / seconds,
        "storage": ALARM_SHARE * storage_mb / found.disk_mb,
    }


def measure(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:  # noqa: ARG001 (every benchmark takes it)
    """Reckon the limits from what the transform's benchmark kept, and from the quotas."""
    say("reckoning")
    kept = load("transform")
    sizes = kept.data.get("sizes") if kept else None
    settings, moments = read_settings(), times()
    found = rates(sizes) if sizes else None
    functions = {
        "default": (settings.memory_mb["transform"], settings.storage_mb),
        "largest": (LAMBDA_MB, LAMBDA_STORAGE_MB),
    }
    return {
        "rates": asdict(found) if found else None,
        "functions": [
            {
                "name": name,
                "memory_mb": memory,
                "storage_mb": storage,
                **most_customers(found, memory, storage, moments),
            }
            for name, (memory, storage) in functions.items()
            if found
        ],
        "delivery": [
            {
                "customers": customers,
                "csv_gb": customers * Sizes().csv / 1e9,
                "children": invocations(scaled(customers), settings)["deliver"],
                "minutes": [
                    max(speed.deliver, speed.publish) / 60
                    for speed in (
                        pace(scaled(customers), settings, moments, NEW_TABLE_WRITES),
                        pace(scaled(customers), settings, moments, TABLE_WRITES),
                    )
                ],
                "dollars_athena": ATHENA_PASSES * customers * Sizes().csv / 1e12 * prices()["athena_tb"].usd,
            }
            for customers in DAYS
        ],
    }


def render(result: Result) -> str:
    """Show both tables."""
    data = result.data
    delivery = table(
        ["customers", "CSV, GB", "chunk files", "minutes, new table", "minutes, grown table", "Athena, dollars"],
        (
            [
                f"{row['customers']:,}",
                f"{row['csv_gb']:.1f}",
                f"{row['children']:,}",
                *(f"{minutes:.1f}" for minutes in row["minutes"]),
                f"{row['dollars_athena']:.2f}",
            ]
            for row in data["delivery"]
        ),
    )
    return f"""{_functions(data)}

Delivery and publishing, from the first write to the last message, with the default settings: a new table takes
{NEW_TABLE_WRITES:,} writes a second, the quota of one table is {TABLE_WRITES:,}. The last column is what Athena charges
for reading the files {ATHENA_PASSES} times.

{delivery}"""


def _functions(data: Mapping[str, Any]) -> str:
    if not data["functions"]:
        return "The transform was not measured yet."
    found = Rates(**data["rates"])
    gigabytes = found.measured_to * found.csv_mb / 1000
    return f"""Measured up to {found.measured_to:,} customers ({gigabytes:.1f} GB). A million of them take
{found.cpu_seconds * MILLION:.0f} seconds of a processor and {found.disk_mb * MILLION / 1000:.1f} GB of /tmp, the files
included. Memory is no limit of its own: {found.peak_mb:,.0f} MB at most, with {found.memory_mb:,} MB allowed to DuckDB.
From these rates, with a tenth of time and /tmp to spare:

{table(["transform", "customers by time", "customers by /tmp", "so up to", "CSV, GB"], _function_rows(data, found))}"""


def _function_rows(data: Mapping[str, Any], found: Rates) -> Iterator[list[str]]:
    for row in data["functions"]:
        least = min(row["time"], row["storage"])
        size = f"{row['name']}: {row['memory_mb']:,} MB, {row['storage_mb']:,} MB of /tmp"
        yield [
            size,
            *(_millions(row[name]) for name in ("time", "storage")),
            _millions(least),
            f"{least * found.csv_mb / 1000:.0f}",
        ]


def _millions(customers: float) -> str:
    return f"{customers / MILLION:.1f} million"
