"""The results of the checks of an environment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: its subject, what was found, and in one sentence what to do about it."""

    level: Level
    subject: str
    text: str
    advice: str = ""

    def as_plain(self) -> dict[str, Any]:
        """Return the finding as plain values for JSON."""
        return asdict(self)


def ok(subject: str, text: str, advice: str = "") -> Finding:
    """Return the finding that all is well."""
    return Finding(Level.OK, subject, text, advice)


def warning(subject: str, text: str, advice: str = "") -> Finding:
    """Return the finding that something will need attention."""
    return Finding(Level.WARNING, subject, text, advice)


def problem(subject: str, text: str, advice: str = "") -> Finding:
    """Return the finding that something does not work."""
    return Finding(Level.PROBLEM, subject, text, advice)
