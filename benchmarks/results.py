"""Results of benchmarks, stored as files, so that documents and later runs can be compared with them."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
KEPT = Path(__file__).parent / "results"
SCRATCH = ROOT / "build" / "benchmarks"
"""Folder for generated files and the results of quick runs."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one benchmark; `data` consists of plain JSON values."""

    name: str
    date: str
    machine: str
    data: dict[str, Any]

    @classmethod
    def of(cls, name: str, data: dict[str, Any]) -> Result:
        """Create the result of a measurement that was just taken on this machine."""
        return cls(name, datetime.now(UTC).date().isoformat(), machine(), data)

    def save(self, folder: Path = KEPT) -> Path:
        """Write the result into the folder and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")
        return path


def load(name: str, folder: Path = KEPT) -> Result | None:
    """Read a stored result; None if there is none."""
    path = folder / f"{name}.json"
    return Result(**json.loads(path.read_text())) if path.exists() else None


def machine() -> str:
    """Describe this machine in one line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        with info.open() as lines:
            model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"
