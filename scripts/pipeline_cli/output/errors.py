"""The exceptions that commands raise for expected failures."""

from __future__ import annotations


class CommandError(Exception):
    """An expected failure: a sentence for the person at the terminal, and a hint what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Join the sentence and the hint into one line."""
        return f"{self.message} {self.hint}".rstrip()


class UsageError(CommandError):
    """The command was called with invalid arguments."""

    exit_code = 2
