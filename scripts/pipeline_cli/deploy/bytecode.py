"""Bytecode in the Lambda package: a function can't keep any itself, as only `/tmp` is writable there.

Without it, every cold start compiles what it imports. Bytecode belongs to one minor version of Python, so it is made
where the builder's Python is the runtime's; elsewhere the package goes without, and works as well.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from pipeline_cli.output.errors import CommandError

_COMPILE = """
import py_compile, sys
unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
for line in sys.stdin:
    name, source, target = line.rstrip("\\n").split("\\t")
    try:
        py_compile.compile(source, target, dfile=name, doraise=True, invalidation_mode=unchecked)
    except py_compile.PyCompileError as error:
        sys.exit(f"{name}: {error.exc_value}")
"""


def interpreter_for(python: str) -> str:
    """Name the Python whose bytecode a package for the version `python`, such as 3.13, gets; empty: it gets none."""
    own = sys.version_info
    fits = python == f"{own.major}.{own.minor}" and sys.implementation.name == "cpython"
    return sys.version if fits and own.releaselevel == "final" else ""


def compiled(files: Iterable[tuple[str, Path]], folder: Path) -> list[tuple[str, Path]]:
    """Compile the Python sources among files, by their names in the package, into a folder.

    The bytecode is unchecked: the interpreter takes it without a look at its source, whose time stamp is not the
    builder's. A process of its own that has loaded nothing else, with the sources in the order of their names, gives
    the same bytes from the same inputs: what a process has interned shows in the bytes that it writes.

    Raises
    ------
    CommandError
        A source can't be compiled.
    """
    sources = sorted((name, file) for name, file in files if name.endswith(".py"))
    targets = [
        (importlib.util.cache_from_source(name), folder / f"{number}.pyc") for number, (name, _) in enumerate(sources)
    ]
    lines = (f"{name}\t{file}\t{target}" for (name, file), (_, target) in zip(sources, targets, strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", _COMPILE],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise CommandError(f"The package could not be compiled: {reason[-1]}.")
    return targets
