"""Our transform against the bare work: DuckDB's own scan, join and aggregate of the same files, without validation.

Both sides run in processes of their own, in turn, on the same files and with the same limits; the best of the repeats
counts. The ratios are the result; the seconds hang on the machine.

Example:
    python -m benchmarks.transform --customers 500000 --memory 500
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.data_model import KINDS, ColumnType, Kind

from benchmarks.generate import BATCH, add_arguments, day_from, generate

_TYPES = {ColumnType.INTEGER: "BIGINT", ColumnType.TIMESTAMP: "BIGINT", ColumnType.AMOUNT: "DECIMAL(18,4)"}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one side."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    customers: int
    total: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What both sides may use."""

    memory_mb: int
    threads: int


def ours(files: Mapping[Kind, Path], limits: Limits, workdir: Path) -> tuple[int, str]:
    """Run the whole transform: validation, totals, reconciliation and chunk files."""
    from pipeline.customer_data_processor import Options, SourceFile, process

    sources = {kind: SourceFile(path.name, path) for kind, path in files.items()}
    summary = process(BATCH, sources, workdir, Options(limits.memory_mb, limits.threads)).summary
    return summary.customers, summary.total_amount


def bare(files: Mapping[Kind, Path], limits: Limits, workdir: Path) -> tuple[int, str]:
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
    """Tell whether the generator put prices that are none into the file, which the bare side must skip."""
    with path.open("rb") as file:
        return b"n/a" in file.read(1 << 20)


SIDES: dict[str, Callable[[Mapping[Kind, Path], Limits, Path], tuple[int, str]]] = {"ours": ours, "bare": bare}


def measure(side: str, files: Mapping[Kind, Path], limits: Limits) -> Measurement:
    """Run one side in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, "-m", "benchmarks.transform", "--run", side]
    command += ["--memory", str(limits.memory_mb), "--threads", str(limits.threads)]
    command += [str(files[kind]) for kind in Kind]
    reply = subprocess.run(command, check=True, capture_output=True, text=True)
    return Measurement(**json.loads(reply.stdout))


def run_side(side: str, files: Mapping[Kind, Path], limits: Limits) -> Measurement:
    """Run one side in this process."""
    workdir = Path(tempfile.mkdtemp(prefix="benchmark-", dir=files[Kind.ITEMS].parent))
    try:
        start, cpu = time.perf_counter(), time.process_time()
        customers, total = SIDES[side](files, limits, workdir)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    finally:
        shutil.rmtree(workdir)
    # Linux counts it in kilobytes, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20)
    return Measurement(seconds, cpu_seconds, peak, customers, total)


def compare(files: Mapping[Kind, Path], limits: Limits, repeats: int) -> dict[str, Measurement]:
    """Run both sides in turn and return the best run of each."""
    runs: dict[str, list[Measurement]] = {side: [] for side in SIDES}
    for _ in range(repeats):
        for side in SIDES:
            runs[side].append(measure(side, files, limits))
    return {side: min(measured, key=lambda run: run.seconds) for side, measured in runs.items()}


def machine() -> str:
    """Describe the machine in a line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next((line.split(":")[1].strip() for line in info.open() if line.startswith("model name")), model)
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def main() -> None:
    """Generate a day where needed, compare the two sides and print the ratios."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    add_arguments(parser)
    parser.add_argument("--directory", type=Path, help="where the files are kept; a temporary directory by default")
    parser.add_argument("--memory", type=int, default=500, help="DuckDB's memory limit in MB, for both sides")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--run", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    limits = Limits(arguments.memory, arguments.threads)
    if arguments.run:
        paths = dict(zip(Kind, arguments.files, strict=True))
        print(json.dumps(asdict(run_side(arguments.run, paths, limits))))
        return
    day = day_from(arguments)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        paths = generate(day, arguments.directory or Path(temporary))
        size = sum(path.stat().st_size for path in paths.values())
        best = compare(paths, limits, arguments.repeats)
    print(f"{day.customers:,} customers, {day.orders:,} orders, {day.items:,} items, {size / 1e6:,.0f} MB; {machine()}")
    print(f"memory limit {limits.memory_mb} MB, {limits.threads} threads, best of {arguments.repeats} runs in turn")
    for side, run in best.items():
        print(f"{side:5} {run.seconds:7.2f} s  {run.cpu_seconds:7.2f} s CPU  peak {run.peak_mb:5.0f} MB  {run.total}")
    mine, base = best["ours"], best["bare"]
    print(f"ratio {mine.seconds / base.seconds:7.2f}    {mine.cpu_seconds / base.cpu_seconds:7.2f}")


if __name__ == "__main__":
    main()
