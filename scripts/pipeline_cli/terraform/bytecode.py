"""Bytecode in the Lambda package, so that a cold start does not compile the modules that it imports.

Python can't cache bytecode in a function, as only `/tmp` is writable there. Bytecode is valid for one minor version of
Python. It is therefore included only if the builder's Python has the version of the Lambda runtime; a package without
bytecode works too, but starts more slowly.
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
    """Return the version of the Python that compiles a package for `python`, such as 3.13; empty if none can."""
    own = sys.version_info
    fits = python == f"{own.major}.{own.minor}" and sys.implementation.name == "cpython"
    return sys.version if fits and own.releaselevel == "final" else ""


def compiled(files: Iterable[tuple[str, Path]], folder: Path) -> list[tuple[str, Path]]:
    """Compile the Python sources among `files` (name in the package, file) into a folder.

    The bytecode is unchecked: the interpreter does not compare it with its source, whose time stamp differs on Lambda.
    The same inputs give the same bytes: interned strings of a process influence the bytecode that it writes, so a new
    process that has loaded nothing else compiles the sources in order of their names.

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
