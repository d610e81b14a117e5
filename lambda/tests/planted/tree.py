"""A copy of the tree in which one fault at a time is planted."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .faults import ROOT, Fault, Verdict

TIMEOUT_SECONDS = 300
_FAILED, _OK = 1, 0


class Tree:
    """The files that git knows or would add, copied into a folder, with the virtual environment of the original."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).exists():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        (folder / ".venv").symlink_to(ROOT / ".venv")
        (folder / "tmp").mkdir()

    def baseline(self, tests: str) -> str | None:
        """Run tests without a fault; return what is wrong, or None if they pass."""
        code, output = self._test(tests)
        return None if code == _OK else f"the tests do not pass without the fault:\n{output}"

    def judge(self, fault: Fault) -> tuple[Verdict, str]:
        """Plant a fault and run its tests; return the verdict and what to look at."""
        if problem := fault.problem(self._folder):
            return Verdict.NOT_APPLICABLE, problem
        with self._planted(fault):
            code, output = self._test(fault.tests)
        if code == _OK:
            return Verdict.MISSED, "the tests pass with it"
        if code == _FAILED:
            return Verdict.FOUND, ""
        return Verdict.NOT_APPLICABLE, f"pytest could not run its tests (exit code {code}):\n{output}"

    @contextmanager
    def _planted(self, fault: Fault) -> Iterator[None]:
        path = self._folder / fault.file
        right = path.read_text()
        try:
            self._write(path, right.replace(fault.text, fault.planted))
            yield
        finally:
            self._write(path, right)

    def _write(self, path: Path, text: str) -> None:
        """Write a file and remove its bytecode, which Python would use for a file of the same second and size."""
        path.write_text(text)
        for bytecode in path.parent.glob(f"__pycache__/{path.stem}.*"):
            bytecode.unlink()

    def _test(self, tests: str) -> tuple[int, str]:
        """Run pytest in the copy; return its exit code (1 where it had to be stopped) and the end of its output."""
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "--tb=line",
            "-p",
            "no:cacheprovider",
            *shlex.split(tests),
        ]
        # What a test starts by itself must import the copy, and not the tree that is installed.
        python_path = f"{self._folder / 'lambda'}:{self._folder / 'scripts'}"
        environment = {**os.environ, "PYTHONPATH": python_path, "TMPDIR": str(self._folder / "tmp")}
        try:
            done = subprocess.run(
                command,
                cwd=self._folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                timeout=TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return _FAILED, f"stopped after {TIMEOUT_SECONDS} s"
        return done.returncode, done.stdout[-1500:]
