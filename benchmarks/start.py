"""The cold start: the time until a function is ready, and how much of the package it loads.

Each handler is imported in new processes that can import only the standard library and the package; then its clients
are created. Lambda's own work before that (fetching the package, starting the interpreter) is not included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline_cli.terraform import package
from pipeline_cli.terraform.target import LOCAL

from benchmarks.document import paragraph, table
from benchmarks.results import SCRATCH, Result

HANDLERS = ("intake", "transform", "deliver", "finalize", "publish")
PROBE = Path(__file__).with_name("start_probe.py")
REPEATS = 7
LARGEST = 5
"""Number of parts of the zip that are shown."""
STATES = ("shipped", "sources")
"""The package as shipped, and without its bytecode."""


def measure(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Import every handler repeatedly, alternating with bare boto3 and the same clients."""
    say("packaging")
    built = package.build(LOCAL, quiet=True)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="start-", dir=SCRATCH) as temporary:
        folders = {state: Path(temporary, state) for state in STATES}
        for folder in folders.values():
            with zipfile.ZipFile(built.file) as archive:
                archive.extractall(folder)
        for file in folders["sources"].rglob("*.pyc"):
            file.unlink()
        runs: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        repeats = 2 if quick else REPEATS
        for number in range(repeats):
            for state, folder in folders.items():
                say(f"round {number + 1} of {repeats}, {state}")
                for name in HANDLERS:
                    run = probe(folder, f"pipeline.handlers.{name}")
                    runs.setdefault((state, name, "ours"), []).append(run)
                    runs.setdefault((state, name, "bare"), []).append(probe(folder, "boto3", *run["services"]))
        best = {key: min(found, key=_ready) for key, found in runs.items()}
    return {
        "repeats": repeats,
        "zip": sizes(built.file),
        "handlers": {
            name: {
                state: {
                    "ours": best[state, name, "ours"],
                    "bare": best[state, name, "bare"],
                    "join": min(run["join"] for run in runs[state, name, "ours"]),
                }
                for state in STATES
            }
            for name in HANDLERS
        },
    }


def _ready(run: Mapping[str, Any]) -> float:
    return float(run["import"] + run["clients"])


def probe(folder: Path, module: str, *services: str) -> dict[str, Any]:
    """Measure one start in a new process."""
    # -I and -S hide installed packages; -B prevents that compiled bytecode is stored.
    reply = subprocess.run(
        [sys.executable, "-I", "-S", "-B", str(PROBE), f"{folder}{os.sep}", module, *services],
        env={
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        },
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(reply.stdout)
    return found


def sizes(file: Path) -> dict[str, Any]:
    """Return the sizes of a package and of its largest parts, and the number of its bytecode files."""
    zipped: Counter[str] = Counter()
    unzipped: Counter[str] = Counter()
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    for entry in entries:
        part = entry.filename.partition("/")[0]
        zipped[part] += entry.compress_size
        unzipped[part] += entry.file_size
    return {
        "zipped": file.stat().st_size,
        "unzipped": unzipped.total(),
        "bytecode": sum(entry.filename.endswith(".pyc") for entry in entries),
        "parts": [[name, zipped[name], unzipped[name]] for name, _ in unzipped.most_common(LARGEST)],
    }


def render(result: Result) -> str:
    """Return the times of each handler and of bare boto3, and the content of the package, as Markdown."""
    data = result.data
    size, transform = data["zip"], data["handlers"]["transform"]
    headings = ("handler", "import", "clients", "ready", "bare boto3", "ratio", "no bytecode", "MB loaded", "memory")
    parts = ", ".join(f"`{name}` {_mb(zipped)} ({_mb(plain)})" for name, zipped, plain in size["parts"])
    text = f"""Milliseconds until a function is ready, best of {data["repeats"]} processes that have only the package.
        "Bare boto3" imports boto3 and creates the same clients. "No bytecode" is the time until ready if the package
        was built with another Python version than that of the runtime, so that every cold start compiles its imports;
        this package has {size["bytecode"]:,} files of bytecode."""
    notes = f"""DuckDB comes with the join, when `transform` gets to it, and takes {_ms(transform["shipped"]["join"])}
        ms and {_mb(transform["shipped"]["ours"]["join_bytes"])} MB more. All five share one zip:
        {_mb(size["zipped"])} MB, unzipped {_mb(size["unzipped"])} MB. Its largest parts, zipped (unzipped): {parts}."""
    return f"{paragraph(text)}\n\n{table(headings, _rows(data))}\n\n{paragraph(notes)}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"


def _mb(count: float) -> str:
    return f"{count / 1e6:.1f}"


def _rows(data: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, states in data["handlers"].items():
        ours, bare = states["shipped"]["ours"], states["shipped"]["bare"]
        yield [
            name,
            _ms(ours["import"]),
            _ms(ours["clients"]),
            _ms(_ready(ours)),
            _ms(_ready(bare)),
            f"{_ready(ours) / _ready(bare):.2f}",
            _ms(_ready(states["sources"]["ours"])),
            _mb(ours["loaded_bytes"]),
            f"{ours['peak_kilobytes'] / 1024:.0f}",
        ]
