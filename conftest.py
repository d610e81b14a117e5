"""For all tests: one in-memory AWS a module, how they are spread over workers, and a line that sums up the faults."""

from __future__ import annotations

import functools
import gc
from collections.abc import Generator, Iterator
from typing import Any

import botocore.session
import pytest
from botocore.endpoint import Endpoint
from hypothesis import settings
from tracing import is_measured, paused, untraced


def pytest_configure() -> None:
    """Spend less on service models, garbage and the tracing of coverage.

    Measured in processor seconds of 83 tests of stages and verbs (6.1; of 304 unit tests with coverage 28.3). Each
    model is parsed once a process and not once a session (without: 6.9). Garbage is looked for less often, as modules
    and tests all stay (6.8).
    """
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
    gc.set_threshold(100_000, 50, 50)
    # How long an example takes says nothing on a machine that does other things, too.
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")
    # Here the SDK has a request and gives it to moto: the package's own handlers at the SDK's events run outside it
    # (without: 39.8 instead of 28.3).
    Endpoint.make_request = untraced(Endpoint.make_request)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure coverage only in the tests that it is for, fixtures included (without: 6.6 instead of 6.1)."""
    if is_measured(item):
        return (yield)
    with paused():
        return (yield)


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of the search for garbage."""
    gc.freeze()


@pytest.fixture(scope="module")
def moto_active() -> Iterator[None]:
    """Keep moto active for a module, as registering its addresses takes longer than most tests.

    `support.in_memory_aws` empties it for each test.
    """
    from moto import mock_aws

    with mock_aws():
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep tests that share fixtures on one worker."""
    from workers import Scheduling

    return Scheduling(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up what the fault tests counted, on whichever worker they ran."""
    counts = [
        value
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        for name, value in report.user_properties
        if name == "faults"
    ]
    if counts:
        injected, survived, lost, doubled = (sum(column) for column in zip(*counts, strict=True))
        terminalreporter.write_line(f"faults: {injected} injected, {survived} survived, {lost} lost, {doubled} doubled")
