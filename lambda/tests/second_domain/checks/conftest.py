"""These checks run only in a clone; see `lambda/tests/second_domain`."""

from __future__ import annotations

import sys
from pathlib import Path

import contract_documents
import pytest

from scripts.tests.conftest import run, stack

__all__ = ["run", "stack"]

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def _contracts() -> None:
    """Write the contracts of the other model, as `make contracts` does."""
    contract_documents.main()
