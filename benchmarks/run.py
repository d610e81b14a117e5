"""Run one contender in its own process and measure its time, its peak memory and the peak size of its folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.model import data_model
from pipeline.model.data_model import MODEL

from benchmarks.contenders import CONTENDERS, Files, Limits
from benchmarks.results import ROOT
from benchmarks.start_probe import peak_kilobytes


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one contender; `peak_mb` is its peak memory, `disk_mb` the peak size of its folder."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    disk_mb: float
    customers: int
    total: str


class OutOfMemoryError(RuntimeError):
    """DuckDB needed more memory than its limit."""


def run_apart(name: str, files: Files, limits: Limits) -> Measurement:
    """Run a contender in its own process and watch the size of its folder.

    Raises
    ------
    OutOfMemoryError
        DuckDB's limit was too small.
    RuntimeError
        The contender failed otherwise.
    """
    workdir = Path(tempfile.mkdtemp(prefix="run-", dir=files[data_model.ITEMS].parent))
    arguments = [name, limits.memory_mb, limits.threads, workdir, *(files[kind] for kind in MODEL.kinds)]
    command = [sys.executable, "-m", "benchmarks.run", *map(str, arguments)]
    try:
        with _Watch(workdir) as watch:
            reply = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    finally:
        shutil.rmtree(workdir)
    if reply.returncode:
        error = OutOfMemoryError if "OutOfMemoryException" in reply.stderr else RuntimeError
        raise error(f"{name} failed: {reply.stderr[-2000:]}")
    return Measurement(**json.loads(reply.stdout) | {"disk_mb": watch.peak_mb})


def run_here(name: str, files: Files, limits: Limits, workdir: Path) -> Measurement:
    """Run a contender in this process."""
    start, cpu = time.perf_counter(), time.process_time()
    customers, total = CONTENDERS[name](files, limits, workdir)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    return Measurement(
        seconds, cpu_seconds, peak_kilobytes() / 1024, 0.0, customers, total if isinstance(total, str) else total()
    )


class _Watch:
    """Measures the peak size of a folder in MB."""

    def __init__(self, folder: Path) -> None:
        self.peak_mb = 0.0
        self._folder = folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            # os.walk ignores folders that are deleted meanwhile, as DuckDB's temporary folders are.
            files = (Path(folder, name) for folder, _, names in os.walk(self._folder) for name in names)
            self.peak_mb = max(self.peak_mb, sum(map(_size, files)) / 1e6)


def _size(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:  # likewise
        return 0


if __name__ == "__main__":
    name, memory_mb, threads, folder, *paths = sys.argv[1:]
    files = dict(zip(MODEL.kinds, map(Path, paths), strict=True))
    print(json.dumps(asdict(run_here(name, files, Limits(int(memory_mb), int(threads)), Path(folder)))))
