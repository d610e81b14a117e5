"""Writes the table of variables into docs/configuration.md: `python -m infra.tests.settings_table`."""

from __future__ import annotations

import json
import re

from pipeline_cli.terraform.target import ROOT, declared_variables

DOCUMENT = ROOT / "docs" / "configuration.md"
BEGIN, END = "<!-- made by python -m infra.tests.settings_table -->\n", "<!-- end -->"


def with_table(text: str) -> str:
    """The document with the table as it must be now."""
    return re.sub(f"(?<={BEGIN}).*(?={END})", lambda _: _table(), text, flags=re.DOTALL)


def _table() -> str:
    """Each variable with its default and the beginning of its description in infra/variables.tf."""
    rows = [
        f"| `{name}` | {_default(body)} | {re.split(r'[.:] ', str(body['description']) + ' ')[0]} |"
        for name, body in declared_variables().items()
    ]
    return "\n".join(["| Variable | Default | What it is |", "| --- | --- | --- |", *rows, ""])


def _default(body: dict[str, object]) -> str:
    """The default; of an object those of its attributes."""
    inner = re.findall(r"(\w+) *= optional\(\w+, ([^)]+)\)", str(body["type"]))
    if inner:
        off = "off; on: " if body["default"] is None else ""
        return off + ", ".join(f"`{name} = {value}`" for name, value in inner)
    return "none" if body["default"] in (None, [], {}) else f"`{json.dumps(body['default']).strip(chr(34))}`"


def main() -> None:
    """Bring the document up to date."""
    DOCUMENT.write_text(with_table(DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
