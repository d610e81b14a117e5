"""A whole small AWS in memory (moto) for every test that asks for it, ready to use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support import REGION, Cloud, Context, small_aws


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Credentials that lead nowhere, and fresh clients, loggers and metrics."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SESSION_TOKEN": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "POWERTOOLS_SERVICE_NAME": "test",
        "POWERTOOLS_METRICS_NAMESPACE": "test",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def cloud(environment: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A versioned bucket, the table, a FIFO output queue and a state machine, and the functions' settings."""
    with small_aws(environment) as cloud:
        yield cloud
