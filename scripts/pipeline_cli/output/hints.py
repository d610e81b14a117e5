"""Commands that error messages advise, written as the caller would type them: with make or with the program itself."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

CALLED_BY = "CALLED_BY"
"""The environment variable that the Makefile sets to `make`."""

MAKE_TARGETS = {
    "backfill": None, "check": "DIR", "feedback": "BATCH", "rehearse": None,
    "demo": None, "doctor": None, "errors": "BATCH", "logs": "BATCH", "messages": None,
    "purge": None, "redrive": "BATCH", "release": "BATCH", "replay": "BATCH", "report": "BATCH",
    "status": "BATCH", "upload": "FILE",
}  # fmt: skip
"""The commands that are targets of the Makefile, with the make variable for their argument."""


def command(name: str, *arguments: str, env: str = "local") -> str:
    """Return a command line: `make errors BATCH=20220131`, or `.venv/bin/pipeline errors 20220131`.

    It is make's form if make called this program and has a variable for every argument.
    """
    if called_by_make() and name in MAKE_TARGETS and len(arguments) <= (MAKE_TARGETS[name] is not None):
        words = ["make", name, *(f"{MAKE_TARGETS[name]}={argument}" for argument in arguments)]
        return " ".join([*words, *([f"ENV={env}"] if env != "local" else [])])
    return " ".join([program(), name, *arguments, *(["--env", env] if env != "local" else [])])


def called_by_make() -> bool:
    """Return whether make called this program."""
    return os.environ.get(CALLED_BY) == "make"


def program() -> str:
    """Return what the caller would type to run this program, from the working folder."""
    path = Path(sys.argv[0])
    if path.name != "pipeline":
        return ".venv/bin/pipeline"
    if shutil.which("pipeline") == str(path):
        return "pipeline"
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
