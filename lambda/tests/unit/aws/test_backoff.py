"""The pauses between attempts, and the time that a function keeps for its report."""

from __future__ import annotations

import itertools

import pytest
from pipeline.aws.backoff import CAP_SECONDS, RESERVE_SECONDS, Deadline, attempts


def test_pauses_grow_at_random_up_to_a_limit() -> None:
    runs = []
    for _ in range(40):
        pauses: list[float] = []
        for _ in itertools.islice(attempts(Deadline.after(3600), pauses.append), 13):
            pass
        runs.append(pauses)
    longest = [max(pauses) for pauses in zip(*runs, strict=True)]

    assert longest[0] <= 0.1
    assert CAP_SECONDS / 2 < longest[-1] <= CAP_SECONDS
    assert min(pauses[-1] for pauses in runs) < CAP_SECONDS / 2, "all writers that were throttled wait equally long"


def test_there_is_one_attempt_even_after_the_deadline() -> None:
    assert list(attempts(Deadline.after(-1), lambda _: pytest.fail("it waited"))) == [0]


def test_a_function_keeps_time_to_report_what_it_has_not_done() -> None:
    assert Deadline.of_invocation(lambda: 60_000).remaining_seconds() == 60 - RESERVE_SECONDS
    assert RESERVE_SECONDS > 0
