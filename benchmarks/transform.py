"""The transform compared with other implementations, on the same generated files, from small days to large ones.

Every run is a separate process, the contenders alternate, and the best repeat counts. Compare the ratios; the seconds
depend on the machine.

Example:
    python -m benchmarks.transform --customers 500000 --memory 500
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from pipeline.joining.chunks import ChunkWriter
from pipeline.joining.results import write_results
from pipeline.reading.sql import open_database
from pipeline.stages.transform import duckdb_room

from benchmarks.contenders import CONTENDERS, NAMES, Files, Limits
from benchmarks.document import paragraph, table
from benchmarks.generate import BATCH, Day, Quoting, generate
from benchmarks.results import ROOT, SCRATCH, Result
from benchmarks.run import Measurement, OutOfMemoryError, run_apart

PLOT = ROOT / "docs" / "performance.svg"
SIZES = (1_000, 10_000, 100_000, 1_000_000, 3_000_000)
QUICK_SIZES = (1_000, 10_000)
NESTED_CUSTOMERS = 1_000
"""Largest day for the nested filters, which would take minutes for more customers."""
LARGE = 1_000_000
"""Largest day that is repeated three times."""
LIMITS = Limits(memory_mb=1_000, threads=2)
TIGHT_MB = 512
AMPLE_MB = 4_000
FUNCTIONS_MB = (1_769, 3_008, 6_144)
BAD_ITEMS = 1_000_000

Say = Callable[[str], None]


def measure(quick: bool, say: Say) -> dict[str, Any]:
    """Compare all contenders at all sizes, then the transform alone under other limits and with bad data."""
    sizes = [_compare_all(customers, quick, say) for customers in (QUICK_SIZES if quick else SIZES)]
    largest, middle = sizes[-1]["customers"], QUICK_SIZES[-1] if quick else LARGE
    data: dict[str, Any] = {"sizes": sizes, "limits": [], "functions": [], "bad": []}
    for memory_mb in (TIGHT_MB, AMPLE_MB):
        limits = Limits(memory_mb, LIMITS.threads)
        data["limits"].append(_entry(Day(largest), limits, ["ours", "bare"], 1, say))
    for function_mb in FUNCTIONS_MB:
        entry = _entry(Day(middle), Limits(*duckdb_room(function_mb)), ["ours"], 1 if quick else 2, say)
        data["functions"].append({"function_mb": function_mb} | entry)
    for bad_items in (0, 1_000 if quick else BAD_ITEMS):
        data["bad"].append(_entry(Day(middle // 2, bad_items=bad_items), Limits(500, 2), ["ours"], 2, say))
    data["chunks"] = _measure_chunks(middle, say)
    return data


def _compare_all(customers: int, quick: bool, say: Say) -> dict[str, Any]:
    names = [name for name in CONTENDERS if name != "nested" or customers <= NESTED_CUSTOMERS]
    if customers <= LARGE:
        return _entry(Day(customers), LIMITS, names, 1 if quick else 3, say)
    entry = _entry(Day(customers), LIMITS, ["ours", "bare"], 2, say)
    entry["sides"] |= _entry(Day(customers), LIMITS, names[2:], 1, say)["sides"]
    return entry


def _entry(day: Day, limits: Limits, names: Iterable[str], repeats: int, say: Say) -> dict[str, Any]:
    """Measure some contenders on one day and return the results as plain values."""
    say(f"generating {day.customers:,} customers")
    folder = SCRATCH / f"{day.customers}-{day.orders_per_customer}-{day.items_per_order}-{day.bad_items}-{day.quoting}"
    files = generate(day, folder)
    best = compare(files, limits, names, repeats, lambda text: say(f"{day.customers:,} customers, {text}"))
    _check(best)
    return {
        "customers": day.customers,
        "orders": day.orders,
        "items": day.items,
        "bad_items": day.bad_items,
        "csv_mb": sum(path.stat().st_size for path in files.values()) / 1e6,
        "memory_mb": limits.memory_mb,
        "threads": limits.threads,
        "sides": {name: asdict(run) for name, run in best.items()},
    }


def compare(files: Files, limits: Limits, names: Iterable[str], repeats: int, say: Say) -> dict[str, Measurement]:
    """Run the contenders alternately and return the best run of each; one that runs out of memory is left out."""
    runs: dict[str, list[Measurement]] = {name: [] for name in names}
    for number in range(repeats):
        for name in list(runs):
            say(f"{NAMES[name]}, run {number + 1} of {repeats}")
            try:
                runs[name].append(run_apart(name, files, limits))
            except OutOfMemoryError:
                if name == "ours":
                    raise
                del runs[name]
    return {name: min(measured, key=lambda run: run.seconds) for name, measured in runs.items()}


def _check(runs: dict[str, Measurement]) -> None:
    """Fail if the contenders have different results; amounts are rounded because of pandas' floats."""
    answers = {name: (run.customers, round(Decimal(run.total), 2)) for name, run in runs.items()}
    if len(set(answers.values())) != 1:
        raise RuntimeError(f"the contenders came to different results: {answers}")


def _measure_chunks(records: int, say: Say) -> dict[str, Any]:
    """Measure how fast results are written to chunk files."""
    say(f"writing {records:,} records into chunk files")
    best = math.inf
    with (
        tempfile.TemporaryDirectory(dir=SCRATCH) as folder,
        open_database(Path(folder), LIMITS.memory_mb, LIMITS.threads) as connection,
    ):
        connection.execute(
            """CREATE TABLE results AS SELECT printf('%08x-11ed-cust', i * 2654435761 % 4294967296)
                AS customer_reference, i % 9 AS orders, (i * 37 % 100000)::DECIMAL(38,4) / 100 AS amount,
                0 AS refused_records
            FROM range(?) AS numbers(i)""",
            [records],
        )
        for repeat in range(3):
            writer = ChunkWriter(Path(folder, str(repeat)), 5_000)
            start = time.perf_counter()
            write_results(connection, BATCH, writer)
            writer.flush()
            best = min(best, time.perf_counter() - start)
    return {"records": records, "seconds": best, "records_per_second": records / best}


def growth(sizes: Sequence[dict[str, Any]], name: str, number: int) -> float | None:
    """Return the exponent of the growth of a contender's time from the previous size; 1 is linear."""
    if number == 0 or any(name not in sizes[at]["sides"] for at in (number - 1, number)):
        return None
    before, after = sizes[number - 1], sizes[number]
    seconds = after["sides"][name]["seconds"] / before["sides"][name]["seconds"]
    return math.log(seconds) / math.log(after["customers"] / before["customers"])


def render(result: Result) -> str:
    """Return the tables as Markdown."""
    data = result.data
    sizes = data["sizes"]
    return "\n\n".join(
        [
            f"All with a limit of {sizes[0]['memory_mb']:,} MB and {sizes[0]['threads']} threads for DuckDB; 4 orders a"
            " customer, 3 items an order. Growth is the exponent from the size before: 1 is linear.",
            _ours_table(sizes),
            "Other implementations, as multiples of our time; only ours validates and writes the chunk files:",
            _others_table(sizes),
            "![Time and memory by size of the day](performance.svg)",
            "The largest day under other limits, and a day of a million customers in functions of other sizes"
            if sizes[-1]["customers"] > LARGE
            else "Under other limits, and in functions of other sizes",
            _limits_table([*data["limits"], *data["functions"]]),
            paragraph(
                f"{_bad_sentence(data['bad'])} Chunk files: {data['chunks']['records_per_second'] / 1e6:.2f} million"
                " records a second, sorted."
            ),
        ]
    )


def _ours_table(sizes: Sequence[dict[str, Any]]) -> str:
    rows = []
    for number, size in enumerate(sizes):
        run, exponent = size["sides"]["ours"], growth(sizes, "ours", number)
        records = size["customers"] + size["orders"] + size["items"]
        rows.append(
            [
                f"{size['customers']:,}",
                f"{size['csv_mb']:,.1f} MB",
                f"{run['seconds']:.2f} s",
                f"{records / run['seconds'] / 1e6:.2f} M",
                f"{run['peak_mb']:,.0f} MB",
                f"{run['disk_mb']:,.0f} MB",
                "" if exponent is None else f"{exponent:.2f}",
                f"{run['seconds'] / size['sides']['bare']['seconds']:.2f}",
                f"{run['cpu_seconds'] / size['sides']['bare']['cpu_seconds']:.2f}",
            ]
        )
    headings = ("customers", "CSV", "time", "rows/s", "peak memory", "disk", "growth", "× bare", "× bare, CPU")
    return table(headings, rows)


def _others_table(sizes: Sequence[dict[str, Any]]) -> str:
    rows = []
    for size in sizes:
        mine = size["sides"]["ours"]["seconds"]
        row = [f"{size['customers']:,}"]
        for name in list(CONTENDERS)[1:]:
            run = size["sides"].get(name)
            row.append("" if run is None else f"{run['seconds'] / mine:.2f} ({run['peak_mb']:,.0f} MB)")
        rows.append(row)
    return table(["customers", *(NAMES[name] for name in list(CONTENDERS)[1:])], rows)


def _limits_table(entries: Sequence[dict[str, Any]]) -> str:
    rows = []
    for entry in entries:
        run, other = entry["sides"]["ours"], entry["sides"].get("bare")
        rows.append(
            [
                f"{entry['customers']:,}",
                f"{entry['function_mb']:,} MB" if "function_mb" in entry else "",
                f"{entry['memory_mb']:,} MB",
                entry["threads"],
                f"{run['seconds']:.2f} s",
                f"{run['peak_mb']:,.0f} MB",
                f"{run['disk_mb']:,.0f} MB",
                f"{run['seconds'] / other['seconds']:.2f}" if other else "" if "function_mb" in entry else "bare fails",
            ]
        )
    return table(("customers", "function", "DuckDB's limit", "threads", "time", "peak memory", "disk", "× bare"), rows)


def _bad_sentence(bad: Sequence[dict[str, Any]]) -> str:
    clean, dirty = (entry["sides"]["ours"] for entry in bad)
    return (
        f"Bad data: {bad[1]['bad_items']:,} of {bad[1]['items']:,} items without a valid price take "
        f"{dirty['seconds'] / clean['seconds']:.2f} times as long as none ({dirty['seconds']:.2f} s, "
        f"{dirty['peak_mb']:,.0f} MB at a limit of {bad[1]['memory_mb']} MB)."
    )


def draw(result: Result, target: Path = PLOT) -> None:
    """Draw time and memory by size; the same results give the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    sizes = result.data["sizes"]
    with mpl.rc_context({"svg.hashsalt": "performance", "font.size": 9}):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        panels = figure.subplots(1, 2)
        for axes, (measure_name, label) in zip(
            panels, (("seconds", "seconds"), ("peak_mb", "peak memory, MB")), strict=True
        ):
            for name in CONTENDERS:
                points = [
                    (size["customers"], size["sides"][name][measure_name]) for size in sizes if name in size["sides"]
                ]
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=NAMES[name])
            axes.set(xscale="log", yscale="log", xlabel="customers", ylabel=label)
            axes.grid(visible=True, alpha=0.3)
        panels[0].legend()
        figure.savefig(target, format="svg", metadata={"Date": None, "Source": fingerprint(result)})


def fingerprint(result: Result) -> str:
    """Return a digest of the plotted data, which is stored in the plot, so that an outdated plot is detected."""
    return hashlib.sha256(json.dumps(result.data["sizes"]).encode()).hexdigest()


def main(
    customers: int = 500_000,
    orders_per_customer: int = 4,
    items_per_order: int = 3,
    bad_items: Annotated[int, typer.Option(help="Items without a valid price.")] = 0,
    quoting: Quoting = Quoting.NONE,
    memory: Annotated[int, typer.Option(help="DuckDB's memory limit in MB, for both.")] = 500,
    threads: int = os.cpu_count() or 1,
    repeats: int = 3,
) -> None:
    """Compare the transform with the bare query on one day of any shape and print the ratios."""
    day = Day(customers, orders_per_customer, items_per_order, bad_items, quoting)
    entry = _entry(day, Limits(memory, threads), ["ours", "bare"], repeats, lambda _: None)
    print(f"{entry['customers']:,} customers, {entry['csv_mb']:,.0f} MB, limit {memory} MB")
    for name, run in entry["sides"].items():
        print(
            f"{name:5} {run['seconds']:7.2f} s  {run['cpu_seconds']:7.2f} s CPU  peak {run['peak_mb']:5.0f} MB"
            f"  disk {run['disk_mb']:5.0f} MB  {run['total']}"
        )
    mine, base = (entry["sides"][name] for name in ("ours", "bare"))
    print(f"ratio {mine['seconds'] / base['seconds']:7.2f}    {mine['cpu_seconds'] / base['cpu_seconds']:7.2f}")


if __name__ == "__main__":
    typer.run(main)
