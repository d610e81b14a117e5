"""A large day on Spark, compared with the function on the same files: time, CPU, and the memory of each process.

Needs Java and the packages of `make test-spark`, so `make bench` runs it only if it is named.

Example:
    python -m benchmarks large
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.joining.customer_data_processor import Options, SourceFile, process
from pipeline.model import data_model
from pipeline.model.data_model import MODEL

from benchmarks.document import paragraph, table
from benchmarks.generate import BATCH, Day, generate
from benchmarks.results import ROOT, SCRATCH, Result

SIZES = (500_000, 2_000_000, 5_000_000)
QUICK_SIZES = (10_000, 50_000)
CORES = 2
HEAP_MB = 1024
"""Limit of the Java heap, which the driver and the worker share on one machine; the same for all sizes."""
TASK_MB = 512
POLL_SECONDS = 0.25
ROLES = {"java": "java", "pyspark.daemon": "workers"}
"""The role of a process by what its command line contains; the process that was started has the role `main`."""

Say = Callable[[str], None]


@dataclass(slots=True)
class Usage:
    """What a run took: wall and CPU seconds, and the peak memory by role, in MB."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: dict[str, float] = field(default_factory=dict)
    answer: list[Any] = field(default_factory=list)


def measure(quick: bool, say: Say) -> dict[str, Any]:
    """Run each size by both engines, in processes of their own."""
    sizes = []
    for customers in QUICK_SIZES if quick else SIZES:
        say(f"generating {customers:,} customers")
        day = Day(customers)
        files = generate(day, SCRATCH / f"{customers}-{day.orders_per_customer}-{day.items_per_order}-0-none")
        runs = {}
        for engine in ("function", "spark"):
            say(f"{customers:,} customers, {engine}")
            runs[engine] = watch(engine, files[data_model.ITEMS].parent)
        if runs["function"].answer != runs["spark"].answer:
            raise RuntimeError(f"the engines came to different results: {runs}")
        megabytes = sum(path.stat().st_size for path in files.values()) / 1e6
        sizes.append({"customers": customers, "csv_mb": megabytes} | {name: asdict(run) for name, run in runs.items()})
    return {"cores": CORES, "heap_mb": HEAP_MB, "task_mb": TASK_MB, "sizes": sizes}


def watch(engine: str, folder: Path) -> Usage:
    """Run an engine in a session of its own and add up what all its processes use, looking at them in intervals."""
    begun, usage, cpu = time.perf_counter(), Usage(), {}
    with tempfile.TemporaryDirectory(prefix="run-", dir=folder.parent) as workdir:
        command = [sys.executable, "-m", "benchmarks.large", engine, str(folder), workdir]
        run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True)
        while run.poll() is None:
            memory: dict[str, float] = {}
            for pid, role, seconds, megabytes in _processes(run.pid):
                cpu[pid] = seconds
                memory[role] = memory.get(role, 0.0) + megabytes
            for role, megabytes in memory.items():
                usage.peak_mb[role] = max(usage.peak_mb.get(role, 0.0), megabytes)
            time.sleep(POLL_SECONDS)
        output, _ = run.communicate()
    if run.returncode:
        raise RuntimeError(f"{engine} failed")
    usage.seconds, usage.cpu_seconds = time.perf_counter() - begun, sum(cpu.values())
    usage.answer = json.loads(output.splitlines()[-1])
    return usage


def _processes(session: int) -> list[tuple[int, str, float, float]]:
    """Return the processes of a session: id, role, CPU seconds so far, and resident memory in MB."""
    found = []
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) != session:
                    continue
                command = (path / "cmdline").read_text()
            except OSError:  # it has ended
                continue
            role = next((role for sign, role in ROLES.items() if sign in command), "main")
            found.append(
                (int(path.name), role, (int(fields[11]) + int(fields[12])) / ticks, int(fields[21]) * page / 1e6)
            )
    return found


def run_here(engine: str, folder: Path, workdir: Path) -> list[Any]:
    """Run an engine in this process; return what must be the same for both."""
    sources = {kind: SourceFile(f"{kind}_{BATCH}.csv", folder / f"{kind}_{BATCH}.csv") for kind in MODEL.kinds}
    options = Options(TASK_MB * CORES, CORES)
    if engine == "spark":
        from pipeline.large.local import local_session
        from pipeline.large.local import process as process_on_spark

        spark = local_session(CORES, workdir, HEAP_MB)
        options = Options(TASK_MB, 1)
        outcome = process_on_spark(spark, BATCH, sources, workdir / "day", options)
        spark.stop()
    else:
        outcome = process(BATCH, sources, workdir / "day", options)
    return [
        outcome.state,
        len(outcome.chunks),
        *(outcome.summary.as_dict()[name] for name in ("customers", "total_amount")),
    ]


def render(result: Result) -> str:
    """Describe the result in Markdown."""
    rows = []
    for size in result.data["sizes"]:
        function, spark, customers = size["function"], size["spark"], size["customers"]
        rows.append(
            (
                f"{customers:,}",
                f"{function['seconds']:.0f} s",
                f"{spark['seconds']:.0f} s",
                f"{function['cpu_seconds'] * 1e6 / customers:.0f} s",
                f"{spark['cpu_seconds'] * 1e6 / customers:.0f} s",
                f"{spark['cpu_seconds'] / function['cpu_seconds']:.1f}",
                f"{spark['peak_mb']['main']:,.0f} MB",
                f"{spark['peak_mb']['java']:,.0f} MB",
                f"{spark['peak_mb']['workers']:,.0f} MB",
            )
        )
    headings = (
        "customers",
        "time: function",
        "Spark",
        "CPU seconds per million: function",
        "Spark",
        "ratio of CPU",
        "driver (Python)",
        "Java",
        "tasks (Python)",
    )
    note = f"""Here Java is driver and worker in one process, with a heap of {result.data["heap_mb"]:,} MB for all
        sizes; the memory of tasks is that of {result.data["cores"]} at a time."""
    return f"{table(headings, rows)}\n\n{paragraph(note)}"


if __name__ == "__main__":
    name, folder, workdir = sys.argv[1:]
    print(json.dumps(run_here(name, Path(folder), Path(workdir))))
