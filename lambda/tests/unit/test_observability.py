"""Logs of a function: every line has the batch, also if an exception is the first thing that it logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pipeline.errors import SettingsError, ThrottledError
from pipeline.observability import instrument, logger
from support import Context


@pytest.fixture(autouse=True)
def own_logger(
    environment: pytest.MonkeyPatch, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """A logger that writes where this test looks: Python keeps one for each service name."""
    environment.setenv("POWERTOOLS_SERVICE_NAME", request.node.name)
    logger.cache_clear()
    yield
    logger.cache_clear()


@pytest.mark.parametrize(
    ("error", "level"), [(SettingsError("no TABLE_NAME"), "ERROR"), (ThrottledError("too fast"), "WARNING")]
)
def test_the_exception_that_ends_a_function_is_logged_with_the_batch(
    error: Exception, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @instrument
    def handler(event: dict[str, Any], context: object) -> None:
        raise error

    with pytest.raises(type(error)):
        handler({"batch": "20220131"}, Context())  # type: ignore[arg-type]

    (line,) = [json.loads(row) for row in capsys.readouterr().out.splitlines() if '"message"' in row]
    assert (line["batch"], line["level"]) == ("20220131", level)
    assert str(error) in json.dumps(line)


def test_the_next_event_does_not_inherit_the_batch(capsys: pytest.CaptureFixture[str]) -> None:
    @instrument
    def handler(event: dict[str, Any], context: object) -> None:
        logger().info("called")

    handler({"batch": "20220131"}, Context())  # type: ignore[arg-type]
    handler({}, Context())  # type: ignore[arg-type]

    first, second = (json.loads(row) for row in capsys.readouterr().out.splitlines() if '"message"' in row)
    assert first["batch"] == "20220131"
    assert "batch" not in second
