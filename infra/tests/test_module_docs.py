"""A module's README is as true as its files."""

from __future__ import annotations

import pytest

from infra.tests.module_docs import BEGIN, with_tables
from infra.tests.support import INFRA, MODULES


@pytest.mark.parametrize("module", MODULES)
def test_readme_lists_the_modules_inputs_and_outputs(module: str) -> None:
    folder = INFRA / "modules" / module
    text = (folder / "README.md").read_text()

    assert BEGIN in text
    assert text == with_tables(text, folder), "write it anew: python -m infra.tests.module_docs"


@pytest.mark.parametrize("module", MODULES)
def test_module_has_the_usual_files(module: str) -> None:
    names = {file.name for file in (INFRA / "modules" / module).iterdir()}

    assert names >= {"main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md"}
