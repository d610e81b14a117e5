"""A whole small AWS in memory (moto) for every test that asks for it, ready to use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support import Cloud, Context, set_credentials, small_aws


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Credentials that lead nowhere."""
    set_credentials(monkeypatch)
    return monkeypatch


@pytest.fixture
def cloud(environment: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A versioned bucket, the table, a FIFO output queue and a state machine, and the functions' settings."""
    with small_aws(environment) as cloud:
        yield cloud
