"""Results of benchmarks, stored as files, and shown in docs/performance.md between two comments with their name."""

from __future__ import annotations

import json
import os
import platform
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "performance.md"
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


def load(name: str) -> Result | None:
    """Read a stored result; None if there is none."""
    path = KEPT / f"{name}.json"
    return Result(**json.loads(path.read_text())) if path.exists() else None


def machine() -> str:
    """Describe this machine in one line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = (line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name"))
        model = next(names, model)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a Markdown table; the first column is text, all others are numbers."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def paragraph(text: str) -> str:
    """Wrap a text."""
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def fill(text: str, results: Iterable[Result], renders: Mapping[str, Callable[[Result], str]]) -> str:
    """Insert the results between the comments `<!-- name -->` and `<!-- /name -->`.

    Raises
    ------
    ValueError
        The document does not have these comments.
    """
    for result in results:
        block = f"{renders[result.name](result).strip()}\n\nMeasured on {result.date}: {result.machine}."
        begin, end = f"<!-- {result.name} -->\n", f"<!-- /{result.name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"{DOCUMENT.name} has no place for {result.name}: {begin.strip()} … {end}")
        text = f"{before}{begin}{block}\n{end}{after}"
    return text
