"""For all tests: how they are spread over workers, and the line that sums up the faults."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file on one worker, as they share fixtures, but for those marked `spread`."""
    for item in items:
        if not item.get_closest_marker("spread"):
            item.add_marker(pytest.mark.xdist_group(str(item.path)))


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
