"""How long a cold function takes until it can work, and how much of the package it loads.

Each handler is imported in processes of its own that see nothing but the package, as it is shipped; then its clients
are made. Lambda's own work before that (fetching the package, starting the interpreter) is not in it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline_cli.deploy import package
from pipeline_cli.deploy.target import LOCAL

from benchmarks.document import table
from benchmarks.results import SCRATCH, Result

HANDLERS = ("intake", "transform", "deliver", "finalize", "publish")
PROBE = Path(__file__).with_name("start_probe.py")
REPEATS = 7
LARGEST = 5
"""Parts of the zip that are shown."""
HEAVIEST = 8
"""Packages whose share of the imports is shown."""
STATES = ("shipped", "sources")
"""The package as it is, and without its bytecode."""

_IMPORTED = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)")


def measure(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Import every handler again and again, in turn with bare boto3 and the same clients."""
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
        say("weighing")
        weights = {name: weigh(folders["shipped"], name) for name in HANDLERS}
    return {
        "repeats": repeats,
        "zip": sizes(built.file),
        "handlers": {
            name: {
                state: {side: best[state, name, side] for side in ("ours", "bare")} | {"join": _join(runs, state, name)}
                for state in STATES
            }
            for name in HANDLERS
        },
        "weights": weights,
    }


def _ready(run: Mapping[str, Any]) -> float:
    return float(run["import"] + run["clients"])


def _join(runs: Mapping[tuple[str, str, str], Sequence[Mapping[str, Any]]], state: str, name: str) -> float:
    return min(float(run["join"]) for run in runs[state, name, "ours"])


def probe(folder: Path, module: str, *services: str, options: Sequence[str] = ()) -> dict[str, Any]:
    """Measure one start."""
    found: dict[str, Any] = json.loads(_run(folder, module, *services, options=options).stdout)
    return found


def weigh(folder: Path, name: str) -> dict[str, float]:
    """Tell the milliseconds that the packages' own modules take of a handler's import, by package."""
    told = _run(folder, f"pipeline.handlers.{name}", options=["-X", "importtime"]).stderr
    weights: Counter[str] = Counter()
    for microseconds, module in _before_clients(told, f"pipeline.handlers.{name}"):
        weights[_package(module)] += microseconds
    return {package_name: weight / 1000 for package_name, weight in weights.most_common()}


def _before_clients(told: str, last: str) -> Iterator[tuple[int, str]]:
    """Yield each module with its own time, up to the handler: a module is told after those that it imports."""
    for match in _IMPORTED.finditer(told):
        yield int(match[1]), match[2]
        if match[2] == last:
            return


def _package(module: str) -> str:
    top = module.partition(".")[0]
    return "Python's library" if top in sys.stdlib_module_names or top.startswith("_") else top


def _run(folder: Path, *arguments: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    # -I and -S: of this machine's Python only the standard library is seen; -B: what is compiled is not kept.
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", *options, str(PROBE), f"{folder}{os.sep}", *arguments],
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


def sizes(file: Path) -> dict[str, Any]:
    """Tell the sizes of a package and of its largest parts, and whether it brings bytecode."""
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
    """Show what each handler takes, beside bare boto3, and what is in the package."""
    data = result.data
    size, transform = data["zip"], data["handlers"]["transform"]
    times = table(
        ["handler", "import", "processor", "clients", "ready", "bare boto3", "ratio", "DuckDB"], _time_rows(data)
    )
    parts = ([name, _mb(zipped), _mb(plain)] for name, zipped, plain in size["parts"])
    return f"""Milliseconds until a function can work, best of {data["repeats"]} processes that see the package alone:

{times}

"Bare boto3" imports boto3 and makes the same clients, without any code of ours. DuckDB comes with the join, when
`transform` gets to it, and takes {_ms(transform["shipped"]["join"])} ms more.

The package has {_bytecode(size)}: where the builder's Python is the runtime's, all of it is compiled. A function
cannot keep any bytecode, as only /tmp is writable. Without it, every cold start compiles what it imports:

{table(["handler", "as shipped", "without bytecode", "ratio"], _bytecode_rows(data))}

What of the package is loaded, and the most memory that the process had by then:

{table(["handler", "MB loaded", "MB of memory"], _load_rows(data))}

Milliseconds of each import by whose modules they are (`-X importtime`, which takes time of its own):

{table(["package", *HANDLERS], _weight_rows(data["weights"]))}

All five share one zip: {size["zipped"] / 1e6:.1f} MB, unzipped {size["unzipped"] / 1e6:.1f} MB. Its largest parts:

{table(["part", "MB zipped", "MB unzipped"], parts)}"""


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"


def _mb(count: float) -> str:
    return f"{count / 1e6:.1f}"


def _bytecode(size: Mapping[str, Any]) -> str:
    return f"{size['bytecode']:,} files of bytecode" if size["bytecode"] else "no bytecode"


def _time_rows(data: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, states in data["handlers"].items():
        ours, bare = states["shipped"]["ours"], states["shipped"]["bare"]
        yield [
            name,
            _ms(ours["import"]),
            _ms(ours["import_cpu"]),
            _ms(ours["clients"]),
            _ms(_ready(ours)),
            _ms(_ready(bare)),
            f"{_ready(ours) / _ready(bare):.2f}",
            "imported" if ours["duckdb"] else "not imported",
        ]


def _bytecode_rows(data: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, states in data["handlers"].items():
        shipped, sources = (_ready(states[state]["ours"]) for state in STATES)
        yield [name, _ms(shipped), _ms(sources), f"{shipped / sources:.2f}"]


def _load_rows(data: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, states in data["handlers"].items():
        ours = states["shipped"]["ours"]
        more = f" + {_mb(ours['join_bytes'])} for the join" if ours["join_bytes"] else ""
        yield [name, f"{_mb(ours['loaded_bytes'])}{more}", f"{ours['peak_kilobytes'] / 1024:.0f}"]


def _weight_rows(weights: Mapping[str, Mapping[str, float]]) -> Iterator[list[str]]:
    total: Counter[str] = Counter()
    for found in weights.values():
        total.update(found)
    shown = [name for name, _ in total.most_common(HEAVIEST)]
    for name in shown:
        yield [name, *(f"{weights[handler].get(name, 0):.0f}" for handler in HANDLERS)]
    rest = (
        sum(weights[handler].values()) - sum(weights[handler].get(name, 0) for name in shown) for handler in HANDLERS
    )
    yield ["others", *(f"{weight:.0f}" for weight in rest)]
