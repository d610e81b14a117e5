"""Writes the input and output tables into the modules' READMEs: `python -m infra.tests.module_docs`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from infra.tests.support import INFRA, MODULES, blocks

BEGIN, END = "<!-- tables: make by python -m infra.tests.module_docs -->", "<!-- end of tables -->"


def with_tables(text: str, folder: Path) -> str:
    """A README with the tables as they must be now."""
    return re.sub(f"(?<={BEGIN}\n).*(?={END})", lambda _: tables(folder), text, flags=re.DOTALL)


def tables(folder: Path) -> str:
    """The tables of a module's inputs and outputs."""
    inputs = [
        f"| `{name}` | {_type(body)} | {_default(body)} | {body['description']} |"
        for name, body in blocks(folder, "variable").items()
    ]
    outputs = [f"| `{name}` | {body['description']} |" for name, body in blocks(folder, "output").items()]
    return "\n".join(
        [
            "",
            "## Inputs",
            "",
            "| Name | Type | Default | What it is |",
            "| --- | --- | --- | --- |",
            *inputs,
            "",
            "## Outputs",
            "",
            "| Name | What it is |",
            "| --- | --- |",
            *outputs,
            "",
            "",
        ]
    )


def _type(body: dict[str, Any]) -> str:
    return re.match(r"\W*(\w+)", str(body["type"]))[1]  # type: ignore[index]


def _default(body: dict[str, Any]) -> str:
    if "default" not in body:
        return "required"
    default = body["default"]
    if isinstance(default, bool) or default is None:
        default = str(default).lower().replace("none", "null")
    return f"`{default}`"


def main() -> None:
    """Bring every module's README up to date."""
    for name in MODULES:
        file = INFRA / "modules" / name / "README.md"
        file.write_text(with_tables(file.read_text(), file.parent))


if __name__ == "__main__":
    main()
