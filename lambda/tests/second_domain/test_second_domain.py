"""The product with another domain: only `data_model.py` is another, and all else follows from it.

The checks are tests that run in a copy of the project with the second domain; a failure shows their output.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from clone import DATA_MODEL, ROOT, Clone, clone

CHECKS = "lambda/tests/second_domain/checks"


@pytest.mark.slow
@pytest.mark.parametrize("check", ["day", "properties", "stages"])
def test_the_second_domain_gets_right_totals_marks_removals_and_documents(second_domain: Clone, check: str) -> None:
    second_domain.run_tests(f"{CHECKS}/check_{check}.py")


@pytest.mark.slow
def test_a_package_is_not_built_from_a_data_model_that_contradicts_itself(tmp_path: Path) -> None:
    wrong = clone(tmp_path / "clone")
    model = wrong.root / DATA_MODEL
    model.write_text(
        model.read_text().replace('"total_price"),', '"item_name"),').replace('singular="item"', 'singular="order"')
    )

    done = wrong.pipeline("package")

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "the data model is wrong: singular 'order' is there twice" in " ".join(done.stderr.split())
    assert "sums items.item_name, which is no column of amounts" in " ".join(done.stderr.split())


@pytest.mark.e2e
@pytest.mark.slow
def test_the_second_domain_passes_the_deployed_stack(second_domain: Clone) -> None:
    # The packages' archive is a cache, which a clone would have to fill first.
    (second_domain.root / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "packages").mkdir(parents=True, exist_ok=True)
    (second_domain.root / "build" / "packages").symlink_to(ROOT / "build" / "packages")
    second_domain.run_tests(f"{CHECKS}/check_stack.py")
