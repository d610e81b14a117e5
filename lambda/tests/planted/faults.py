"""The faults, as they are written in faults.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).parents[3]
FILE = Path(__file__).parent / "faults.toml"


class Verdict(StrEnum):
    """What became of a planted fault."""

    FOUND = "found"
    MISSED = "missed"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Fault:
    """A text of a file, what is planted in its place, and the tests that must fail then."""

    name: str
    """What is wrong with the product that has the fault."""
    file: str
    text: str
    """Occurs in the file exactly once."""
    planted: str
    tests: str
    """Arguments of pytest: files or tests, and options such as -k."""
    needs: str = ""
    """A package without which the tests are skipped, so that the fault can't be tried."""

    def problem(self, root: Path = ROOT) -> str | None:
        """Say why the fault can't be planted into a tree, or return None."""
        path = root / self.file
        count = path.read_text().count(self.text) if path.exists() else 0
        if count != 1:
            return f"its text is {count} times in the file, and must be there exactly once"
        return "it changes nothing" if self.text == self.planted else None


def read_faults() -> list[Fault]:
    """Read the faults; each name must be there once."""
    faults = [Fault(**fault) for fault in tomllib.loads(FILE.read_text())["fault"]]
    names = [fault.name for fault in faults]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{FILE.name} has two faults named {' and '.join(repeated)}")
    return faults
