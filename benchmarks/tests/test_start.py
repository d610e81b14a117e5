"""The benchmark of cold starts reads the zip and shows every handler."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from benchmarks import start
from benchmarks.results import ROOT, Result
from benchmarks.start_probe import peak_kilobytes


def test_the_sizes_of_the_zip_are_those_of_its_parts(tmp_path: Path) -> None:
    file = tmp_path / "package.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("large/a.py", "a" * 9_000)
        archive.writestr("large/b.pyc", "b" * 1_000)
        archive.writestr("small.py", "c" * 100)

    found = start.sizes(file)

    assert found["zipped"] == file.stat().st_size
    assert (found["unzipped"], found["bytecode"]) == (10_100, 1)
    assert [(name, unzipped) for name, _, unzipped in found["parts"]] == [("large", 10_000), ("small.py", 100)]


def test_the_peak_memory_is_that_of_the_process_and_not_of_its_parent() -> None:
    ballast = bytearray(100_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    code = "from benchmarks.start_probe import peak_kilobytes; print(peak_kilobytes())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert int(child.stdout) < peak_kilobytes() / 2


def run(seconds: float, **more: Any) -> dict[str, Any]:
    return {
        "import": seconds,
        "clients": 0.05,
        "loaded_bytes": 4_500_000,
        "join": 0.0,
        "join_bytes": 0,
        "peak_kilobytes": 53_248,
        **more,
    }


def test_each_handler_is_shown_beside_bare_boto3() -> None:
    states = {
        "shipped": {"ours": run(0.35), "bare": run(0.30), "join": 0.0},
        "sources": {"ours": run(0.83), "bare": run(0.7), "join": 0.0},
    }
    handlers = dict.fromkeys(start.HANDLERS, states)
    handlers["transform"] = {
        **states,
        "shipped": {"ours": run(0.35, join_bytes=68_000_000), "bare": run(0.30), "join": 0.1},
    }
    data = {
        "repeats": 7,
        "zip": {"zipped": 26_800_000, "unzipped": 77_000_000, "bytecode": 900, "parts": [["duckdb", 100_000, 500_000]]},
        "handlers": handlers,
    }

    text = start.render(Result("start", "2022-01-31", "a machine", data))

    assert "| publish | 350 | 50 | 400 | 350 | 1.14 | 880 | 4.5 | 52 |" in text
    assert "takes 100 ms and 68.0 MB more" in " ".join(text.split())
