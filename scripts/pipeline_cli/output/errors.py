"""What the commands raise when something expected goes wrong."""

from __future__ import annotations


class CommandError(Exception):
    """An expected failure: one sentence for the person at the terminal, and what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Join the sentence and the hint into one line."""
        return f"{self.message} {self.hint}".rstrip()


class UsageError(CommandError):
    """The command was called in a way that it cannot understand."""

    exit_code = 2
