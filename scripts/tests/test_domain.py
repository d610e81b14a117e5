"""The command line names no kind and no column: what it says of them follows from the data model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pipeline.model.data_model import MODEL
from pipeline_cli.terraform.target import ROOT

PACKAGE = ROOT / "scripts" / "pipeline_cli"
SOURCES = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.html")]
ALSO_PLAIN_ENGLISH = {"items", "item", "order", "orders", "status"}
"""Words of the domain that mean something else as well: items of a table, an order of lines, the status of a batch."""


def words() -> set[str]:
    kinds = {word for kind in MODEL.kinds for word in (str(kind), kind.singular)}
    columns = {column.name for kind in MODEL.kinds for column in kind.required}
    return (kinds | columns | {measure.name for measure in MODEL.result.measures}) - ALSO_PLAIN_ENGLISH


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_names_the_domain(source: Path) -> None:
    kinds = "|".join(map(str, MODEL.kinds))
    named = re.compile(rf"(?<![a-z_])(?:{'|'.join(sorted(words()))})(?![a-z])|\b(?:{kinds})_(?:\d|YYYY|…)")
    text = source.read_text().replace("pipeline.joining.customer_data_processor", "")  # a module of the product
    assert named.findall(text) == []
