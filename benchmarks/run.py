"""Run a command in a process of its own, and measure its time, CPU and memory."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.model.data_model import MODEL

from benchmarks.contenders import CONTENDERS, VALIDATORS, Files, Limits
from benchmarks.results import ROOT

POLL_SECONDS = 0.1
ROLES = {"java": "java", "pyspark.daemon": "workers"}
"""The role of a process by what its command line contains; the process that was started has the role `main`."""


@dataclass(slots=True)
class Usage:
    """What a run took: wall and CPU seconds, and peak memory by role in MB; and its answer."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: dict[str, float] = field(default_factory=dict)
    answer: list[Any] = field(default_factory=list)


class OutOfMemoryError(RuntimeError):
    """DuckDB needed more memory than its limit."""


def run_apart(module: str, *arguments: object, folder: Path) -> Usage:
    """Run `python -m module` in a session of its own, with a new working folder in `folder` as its last argument.

    It prints its answer as one line of JSON: its seconds, CPU seconds and peak memory in MB, and what it has to say.

    Raises
    ------
    OutOfMemoryError
        DuckDB's limit was too small.
    RuntimeError
        The run failed otherwise.
    """
    workdir = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
    command = [sys.executable, "-m", module, *map(str, arguments), str(workdir)]
    usage, cpu = Usage(), {}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        run = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=errors, start_new_session=True)
        while run.poll() is None:
            memory: dict[str, float] = {}
            for pid, role, seconds, megabytes in _processes(run.pid):
                cpu[pid] = seconds
                memory[role] = memory.get(role, 0.0) + megabytes
            for role, megabytes in memory.items():
                usage.peak_mb[role] = max(usage.peak_mb.get(role, 0.0), megabytes)
            time.sleep(POLL_SECONDS)
        shutil.rmtree(workdir, ignore_errors=True)  # Java deletes its own files there a moment longer
        errors.seek(0)
        if run.returncode:
            text = errors.read()
            error = OutOfMemoryError if "OutOfMemoryException" in text else RuntimeError
            raise error(f"{command[2:]} failed: {text[-2000:]}")
        output.seek(0)
        usage.seconds, own_cpu, own_peak, *usage.answer = json.loads(output.read().splitlines()[-1])
    usage.cpu_seconds = max(own_cpu, sum(cpu.values()))
    usage.peak_mb["main"] = own_peak
    return usage


def _processes(session: int) -> Iterator[tuple[int, str, float, float]]:
    """Yield the processes of a session: id, role, CPU seconds so far, and resident memory in MB (Linux)."""
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                command = (path / "cmdline").read_text()
                role = next((role for sign, role in ROLES.items() if sign in command), "main")
                yield int(path.name), role, (int(fields[11]) + int(fields[12])) / ticks, int(fields[21]) * page / 1e6
        except OSError:  # it has ended
            continue


def peak_megabytes() -> float:
    """Return the peak memory of this process.

    On Linux, `ru_maxrss` begins with the memory of the parent process, so the kernel's own figure is preferred.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    # In kilobytes, but in bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024)


def report(start: float, *answer: object) -> None:
    """Print what `run_apart` reads: the seconds since `start`, and this process's CPU and memory."""
    print(json.dumps([time.perf_counter() - start, time.process_time(), peak_megabytes(), *answer]))


def contender(name: str, files: Files, limits: Limits) -> Usage:
    """Run a contender; its answer is the number of results and the sum of all totals."""
    paths = [files[kind] for kind in MODEL.kinds]
    return run_apart("benchmarks.run", name, limits.memory_mb, limits.threads, *paths, folder=paths[0].parent)


if __name__ == "__main__":
    name, memory_mb, threads, *paths, workdir = sys.argv[1:]
    files = dict(zip(MODEL.kinds, map(Path, paths), strict=True))
    begun, cpu = time.perf_counter(), time.process_time()
    found, total = (CONTENDERS | VALIDATORS)[name](files, Limits(int(memory_mb), int(threads)), Path(workdir))
    taken = [time.perf_counter() - begun, time.process_time() - cpu, peak_megabytes()]
    print(json.dumps([*taken, found, total if isinstance(total, str) else total()]))
