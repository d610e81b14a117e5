"""`csv-check`: `pipeline check` as a program of its own, for partners, who have neither a checkout nor AWS."""

from __future__ import annotations

from typing import Any

from pipeline_cli import app
from pipeline_cli.output import program


def main() -> None:
    """Run the program."""
    program.run(_run, "csv-check")


def _run(**options: Any) -> None:
    command = app.load("check")
    command.help = command.help.replace("pipeline check", "csv-check")
    command(**options)


if __name__ == "__main__":
    main()
