"""The benchmark of cold starts measures this process and shows every handler."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import start
from benchmarks.results import ROOT, Result
from benchmarks.start_probe import peak_kilobytes


def test_the_peak_memory_is_that_of_the_process_and_not_of_its_parent() -> None:
    ballast = bytearray(100_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    code = "from benchmarks.start_probe import peak_kilobytes; print(peak_kilobytes())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert int(child.stdout) < peak_kilobytes() / 2


def test_each_handler_is_shown_beside_bare_boto3() -> None:
    sides = {
        "ours": {"import": 0.35, "clients": 0.05, "peak_kilobytes": 53_248},
        "bare": {"import": 0.30, "clients": 0.05, "peak_kilobytes": 0},
    }
    data = {
        "repeats": 7,
        "zipped": 26_800_000,
        "unzipped": 77_000_000,
        "handlers": dict.fromkeys(start.HANDLERS, sides),
    }

    text = start.render(Result("start", "2022-01-31", "a machine", data))

    assert "publish 400 ms (350)" in text
    assert "26.8 MB, unzipped 77.0 MB" in " ".join(text.split())
