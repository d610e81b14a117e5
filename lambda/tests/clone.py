"""A copy of the project with another data model, as a team's clone has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DATA_MODEL = "lambda/pipeline/model/data_model.py"
_NOT_COPIED = (".git", ".venv", "build", "tmp", "__pycache__", ".*_cache", ".hypothesis", ".coverage*", "*.egg-info")


_DAY = """
import json, sys
from batches import observe
from pipeline.model.data_model import MODEL
files = {MODEL.kind(kind): text.encode() for kind, text in json.load(sys.stdin).items()}
found = observe(files)
fields = ("state", "results", "incomplete", "messages", "summary")
print(json.dumps({name: getattr(found, name) for name in fields} | {"errors": found.codes()}, default=str))
"""


@dataclass(frozen=True)
class Clone:
    """The folder of a copy; what runs in it imports its own packages."""

    root: Path

    def run(self, *command: str, given: str = "", timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run `python` with these arguments and `given` as its input; the caller looks at the exit code."""
        packages = [str(self.root / folder) for folder in ("lambda", "scripts", "lambda/tests")]
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(packages)},
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def pipeline(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the copy's own command line."""
        return self.run("-m", "pipeline_cli.app", *arguments)

    def day(self, files: dict[str, str]) -> dict[str, Any]:
        """Process a day with the copy's package; return what came out (see `batches.Observed`) as JSON values."""
        done = self.run("-c", _DAY, given=json.dumps(files))
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def run_tests(self, *files: str, timeout: float = 600) -> None:
        """Run test files of the copy; the failure has their output."""
        done = self.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *files, timeout=timeout)
        assert done.returncode == 0, f"{' '.join(files)} failed in a clone with another data model:\n{done.stdout}"


def clone(root: Path, data_model: Path | None = None) -> Clone:
    """Copy the project to `root`, with another `data_model.py` if one is given."""
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*_NOT_COPIED), symlinks=True)
    if data_model:
        shutil.copyfile(data_model, root / DATA_MODEL)
    return Clone(root)
