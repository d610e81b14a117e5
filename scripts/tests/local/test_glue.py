"""Glue on the local AWS: what a job's end says. lambda/tests/large/test_day_on_the_stack.py runs jobs."""

from __future__ import annotations

import pytest
from pipeline_cli.local import glue


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (
            ["Traceback (most recent call last):", "  x", "pipeline.errors.SupersededError: run 2 is superseded", ""],
            "SupersededError: run 2 is superseded",
        ),
        (
            [
                *("Traceback (most recent call last):", "  x", "KeyError: 1"),
                *("Traceback (most recent call last):", "  y", "a.b.ClientError: not authorized", "more about it"),
                *("library: leaked 3 functions", "see the manual"),
            ],
            "ClientError: not authorized",
        ),
        (["KeyboardInterrupt"], "KeyboardInterrupt"),
        ([], "the job ended without a word"),
    ],
)
def test_the_error_of_a_job_is_the_last_line_of_its_traceback(lines: list[str], error: str) -> None:
    assert glue.error_of(lines) == error
