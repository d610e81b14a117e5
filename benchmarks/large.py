"""A large day on Spark, compared with the function on the same files: time, CPU, and the memory of each process.

Needs Java and the packages of `make test-spark`, so `make bench` runs it only if it is named.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.joining.customer_data_processor import Options, SourceFile, process
from pipeline.model.data_model import MODEL

from benchmarks.generate import BATCH, Day, generate
from benchmarks.results import SCRATCH, Result, table
from benchmarks.run import report, run_apart

SIZES = (500_000, 2_000_000, 5_000_000)
QUICK_SIZES = (10_000, 50_000)
ENGINES = ("function", "spark")
CORES = 2
HEAP_MB = 1024
"""Limit of the Java heap, which the driver and the worker share on one machine; the same for all sizes."""
TASK_MB = 512


def measure(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Run each size by both engines, in processes of their own."""
    sizes = []
    for roots in QUICK_SIZES if quick else SIZES:
        say(f"generating {roots:,} {MODEL.root}")
        files = generate(Day(roots), SCRATCH / f"{roots}-0")
        runs = {}
        for engine in ENGINES:
            say(f"{roots:,} {MODEL.root}, {engine}")
            runs[engine] = run_apart("benchmarks.large", engine, files[MODEL.root].parent, folder=SCRATCH)
        if runs["function"].answer != runs["spark"].answer:
            raise RuntimeError(f"the engines came to different results: {runs}")
        sizes.append({"roots": roots} | {name: asdict(run) for name, run in runs.items()})
    return {"cores": CORES, "heap_mb": HEAP_MB, "sizes": sizes}


def run_here(engine: str, folder: Path, workdir: Path) -> list[Any]:
    """Run an engine in this process; return what must be the same for both."""
    sources = {kind: SourceFile(f"{kind}_{BATCH}.csv", folder / f"{kind}_{BATCH}.csv") for kind in MODEL.kinds}
    if engine == "spark":
        from pipeline.large.local import local_session
        from pipeline.large.local import process as process_on_spark

        spark = local_session(CORES, workdir, HEAP_MB)
        outcome = process_on_spark(spark, BATCH, sources, workdir / "day", Options(TASK_MB, 1))
        spark.stop()
    else:
        outcome = process(BATCH, sources, workdir / "day", Options(TASK_MB * CORES, CORES))
    summary = outcome.summary.as_dict()
    return [outcome.state, summary[str(MODEL.root)], summary["total_amount"]]


def render(result: Result) -> str:
    """Describe the result in Markdown."""
    rows = []
    for size in result.data["sizes"]:
        function, spark, roots = size["function"], size["spark"], size["roots"]
        rows.append(
            [
                f"{roots:,}",
                *(f"{run['seconds']:.0f} s" for run in (function, spark)),
                *(f"{run['cpu_seconds'] * 1e6 / roots:.0f} s" for run in (function, spark)),
                *(f"{spark['peak_mb'][role]:,.0f} MB" for role in ("main", "java", "workers")),
            ]
        )
    measures = ("time: function", "Spark", "CPU a million: function", "Spark", "driver", "Java", "tasks")
    return table([str(MODEL.root), *measures], rows)


if __name__ == "__main__":
    begun = time.perf_counter()
    report(begun, *run_here(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
