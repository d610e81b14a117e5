"""What a check of an environment found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of an examination: what was looked at, what was found, and in one sentence what to do about it."""

    level: Level
    subject: str
    text: str
    advice: str = ""

    def as_plain(self) -> dict[str, Any]:
        """Return the finding for a machine."""
        return asdict(self)
