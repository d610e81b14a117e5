"""Writes the tables of variables and outputs into docs/configuration.md: `python -m infra.tests.settings_table`."""

from __future__ import annotations

import json
import re

import hcl2
from hcl2 import SerializationOptions
from pipeline_cli.terraform.target import ROOT, declared_variables

DOCUMENT = ROOT / "docs" / "configuration.md"
BEGIN, END = "<!-- made by python -m infra.tests.settings_table -->\n", "<!-- end -->"


def with_tables(text: str) -> str:
    """The document with the tables as they must be now."""
    return re.sub(f"(?<={BEGIN}).*(?={END})", lambda _: _tables(), text, flags=re.DOTALL)


def _tables() -> str:
    plain = SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)
    outputs = hcl2.loads((ROOT / "infra" / "outputs.tf").read_text(), serialization_options=plain)["output"]
    return "\n".join(
        [
            "| Variable | Default | What it is |",
            "| --- | --- | --- |",
            *(
                f"| `{name}` | {_default(body)} | {body['description']} |"
                for name, body in declared_variables().items()
            ),
            "",
            "| Output | What it is |",
            "| --- | --- |",
            *(f"| `{name}` | {body['description']} |" for block in outputs for name, body in block.items()),
            "",
        ]
    )


def _default(body: dict[str, object]) -> str:
    """The default; of an object those of its attributes."""
    inner = re.findall(r"(\w+) *= optional\(\w+, ([^)]+)\)", str(body["type"]))
    if inner:
        off = "off; on: " if body["default"] is None else ""
        return off + ", ".join(f"`{name} = {value}`" for name, value in inner)
    return "none" if body["default"] in (None, [], {}) else f"`{json.dumps(body['default']).strip(chr(34))}`"


def main() -> None:
    """Bring the document up to date."""
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
