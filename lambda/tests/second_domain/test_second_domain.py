"""The product with another domain: only `data_model.py` is another, and all else follows from it.

The checks are tests that run in a copy of the project with the second domain. To look at one alone, run it with `-s`:
its output is in the failure.
"""

from __future__ import annotations

import pytest
from clone import Clone

CHECKS = "lambda/tests/second_domain/checks"


@pytest.mark.slow
@pytest.mark.parametrize("check", ["day", "properties"])
def test_the_second_domain_gets_right_totals_marks_removals_and_documents(second_domain: Clone, check: str) -> None:
    second_domain.run_tests(f"{CHECKS}/check_{check}.py")
