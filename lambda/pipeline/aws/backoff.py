"""Retries with exponential backoff and full jitter, within a deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

BASE_SECONDS = 0.05
CAP_SECONDS = 5.0
RESERVE_SECONDS = 10.0
"""Time that a function keeps to report what it has not done before Lambda ends the invocation."""


class Deadline:
    """A moment by which work must be done.

    Parameters
    ----------
    remaining_seconds
        Returns the seconds until then; negative afterwards.
    """

    def __init__(self, remaining_seconds: Callable[[], float]) -> None:
        self.remaining_seconds = remaining_seconds

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the moment in so many seconds from now."""
        end = time.monotonic() + seconds
        return cls(lambda: end - time.monotonic())

    @classmethod
    def of_invocation(cls, remaining_millis: Callable[[], int]) -> Deadline:
        """Return the moment `RESERVE_SECONDS` before Lambda ends the invocation."""
        return cls(lambda: remaining_millis() / 1000 - RESERVE_SECONDS)


def attempts(deadline: Deadline, sleep: Callable[[float], None] = time.sleep) -> Iterator[int]:
    """Yield the number of each attempt, from 0, with growing random pauses between them, until the deadline.

    The pause before attempt n is uniform between 0 and min(5 s, 0.05 s · 2ⁿ). Full jitter prevents writers that were
    throttled together from retrying together.
    """
    number = 0
    while True:
        yield number
        number += 1
        pause = random.uniform(0, min(CAP_SECONDS, BASE_SECONDS * 2**number))
        if deadline.remaining_seconds() < pause:
            return
        sleep(pause)
