"""The cold start: the time until a function is ready, and the size of the package.

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
from collections.abc import Callable, Mapping
from typing import Any

from pipeline_cli.terraform import package
from pipeline_cli.terraform.target import LOCAL

from benchmarks.results import SCRATCH, Result, paragraph

HANDLERS = ("intake", "transform", "deliver", "finalize", "publish")
PROBE = """
import sys, time
folder, module, *services = sys.argv[1:]
sys.path.insert(0, folder)
clock = time.perf_counter()
__import__(module)
imported = time.perf_counter() - clock
bare = bool(services)
services = services or [name for name in ("s3", "dynamodb", "sqs", "workflow") if f"pipeline.aws.{name}" in sys.modules]
services = [name.replace("workflow", "stepfunctions") for name in services]
clock = time.perf_counter()
if bare:
    from boto3 import client
else:
    from pipeline.aws.clients import client
for name in services:
    client(name)
made = time.perf_counter() - clock
import json
print(json.dumps({"import": imported, "clients": made, "services": services}))
"""
"""Imports a module of the unpacked package and creates clients: those named, or the handler's own. It imports as little
as possible, and as late: a module that is loaded already costs no time."""
REPEATS = 7
NO_CREDENTIALS = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def measure(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Import every handler repeatedly, alternating with bare boto3 and the same clients."""
    say("packaging")
    built = package.build(LOCAL)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {name: {"ours": [], "bare": []} for name in HANDLERS}
    repeats = 2 if quick else REPEATS
    with tempfile.TemporaryDirectory(prefix="start-", dir=SCRATCH) as folder:
        with zipfile.ZipFile(built.file) as archive:
            archive.extractall(folder)
        for number in range(repeats):
            for name, sides in runs.items():
                say(f"round {number + 1} of {repeats}, {name}")
                sides["ours"].append(probe(folder, f"pipeline.handlers.{name}"))
                sides["bare"].append(probe(folder, "boto3", *sides["ours"][-1]["services"]))
    best = {name: {side: min(found, key=_ready) for side, found in sides.items()} for name, sides in runs.items()}
    return {"repeats": repeats, "zipped": built.zipped, "unzipped": built.unzipped, "handlers": best}


def _ready(run: Mapping[str, Any]) -> float:
    return float(run["import"] + run["clients"])


def probe(folder: str, module: str, *services: str) -> dict[str, Any]:
    """Measure one start in a new process."""
    # -I and -S hide installed packages; -B prevents that compiled bytecode is stored.
    command = [sys.executable, "-I", "-S", "-B", "-c", PROBE, folder, module, *services]
    reply = subprocess.run(command, env=NO_CREDENTIALS, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(reply.stdout)
    return found


def render(result: Result) -> str:
    """Return the times of each handler and of bare boto3, and the size of the package."""
    data = result.data
    shown = [
        f"{name} {_ready(sides['ours']) * 1000:.0f} ms ({_ready(sides['bare']) * 1000:.0f})"
        for name, sides in data["handlers"].items()
    ]
    return paragraph(
        f"""Import and clients of a handler, best of {data["repeats"]} new processes, and in brackets boto3 with the
        same clients: {", ".join(shown)}. All share one zip: {data["zipped"] / 1e6:.1f} MB, unzipped
        {data["unzipped"] / 1e6:.1f} MB."""
    )
