"""Retries with exponential backoff and full jitter, within a deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

Clock = Callable[[], float]
"""Returns the seconds that are left for the work."""

BASE_SECONDS = 0.05
CAP_SECONDS = 5.0


def seconds_left(remaining_millis: Callable[[], int], reserve_seconds: float = 10.0) -> Clock:
    """Count down to `reserve_seconds` before Lambda ends the invocation."""
    return lambda: remaining_millis() / 1000 - reserve_seconds


def within(seconds: float) -> Clock:
    """Count down from `seconds`."""
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()


def attempts(left: Clock, sleep: Callable[[float], None] = time.sleep) -> Iterator[int]:
    """Yield the number of each attempt, from 0, with growing random pauses between them, until the time is up.

    The pause before attempt n is uniform between 0 and min(5 s, 0.05 s · 2ⁿ). Full jitter prevents writers that were
    throttled together from retrying together.
    """
    number = 0
    while True:
        yield number
        number += 1
        pause = random.uniform(0, min(CAP_SECONDS, BASE_SECONDS * 2**number))
        if left() < pause:
            return
        sleep(pause)
