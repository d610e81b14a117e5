"""A module's README agrees with its files."""

from __future__ import annotations

import pytest

from infra.tests.module_docs import BEGIN, with_tables
from infra.tests.support import INFRA, MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_readme_lists_the_inputs_and_outputs_of_its_module(module: str) -> None:
    folder = INFRA / "modules" / module
    text = (folder / "README.md").read_text()

    assert BEGIN in text
    assert text == with_tables(text, folder), "write it anew: python -m infra.tests.module_docs"


@pytest.mark.parametrize("module", MODULES)
def test_module_has_the_usual_files(module: str) -> None:
    names = {file.name for file in (INFRA / "modules" / module).iterdir()}

    assert names >= {"main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md"}
