"""A clone whose domain is the second one."""

from __future__ import annotations

from pathlib import Path

import pytest
from clone import Clone, clone


@pytest.fixture(scope="session")
def second_domain(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return clone(tmp_path_factory.mktemp("clone") / "project", Path(__file__).with_name("data_model.py"))
