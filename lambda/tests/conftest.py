"""A whole small AWS in memory (moto) for every test that asks for it, ready to use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support import Cloud, Context, in_memory_aws, set_credentials


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Credentials that lead nowhere."""
    set_credentials(monkeypatch)
    return monkeypatch


@pytest.fixture
def cloud(moto_active: None, environment: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A versioned bucket, the table, a FIFO output queue and a state machine, and the functions' settings."""
    with in_memory_aws(environment) as cloud:
        yield cloud
