"""The tests of a file share fixtures, so they run on one worker; the longest units are begun first."""

from __future__ import annotations

from pathlib import Path

import pytest
from workers import LONGEST, rank, unit

ROOT = Path(__file__).resolve().parents[3]


def test_what_shares_a_stack_is_one_unit_and_what_shares_nothing_is_several() -> None:
    assert unit("lambda/tests/e2e/test_day.py::test_a") == unit("lambda/tests/e2e/test_held.py::test_b")
    assert unit("lambda/tests/e2e/test_faults.py::test_a") != unit("lambda/tests/e2e/test_day.py::test_a")
    assert unit("lambda/tests/faults/test_held.py::test_a[x]") != unit("lambda/tests/faults/test_held.py::test_a[y]")
    assert unit("lambda/tests/unit/test_ledger.py::test_a[::]") == "lambda/tests/unit/test_ledger.py"


def test_the_longest_units_are_begun_first() -> None:
    units = ["lambda/tests/unit/test_ledger.py", *(f"{start}x" for start in reversed(LONGEST))]
    assert sorted(units, key=rank) == [*(f"{start}x" for start in LONGEST), "lambda/tests/unit/test_ledger.py"]


@pytest.mark.parametrize("start", LONGEST)
def test_every_file_and_folder_that_is_named_is_there(start: str) -> None:
    assert (ROOT / start).exists()
