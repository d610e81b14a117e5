"""Concurrent calls with a limited number of threads."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

CALLERS = 8
"""Concurrent calls; fewer than the connections that a client keeps open."""

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")


class Callers(Protocol):
    """Like `map`: calls a function for each argument and yields the results in the order of the arguments."""

    def __call__(self, call: Callable[[Argument], Answer], over: Iterable[Argument], /) -> Iterator[Answer]:
        """Call the function for each argument."""
        ...


@contextmanager
def callers(calls: int) -> Iterator[Callers]:
    """Provide up to `CALLERS` threads for `calls` calls; a single call runs in the current thread."""
    if calls < 2:
        yield map
        return
    cores = _one_core()
    with ThreadPoolExecutor(min(calls, CALLERS), initializer=_stay_on, initargs=(cores,)) as pool:
        yield pool.map


def _one_core() -> set[int]:
    """Choose a processor core; an empty set if threads can't be pinned on this system."""
    return {random.choice(sorted(os.sched_getaffinity(0)))} if hasattr(os, "sched_getaffinity") else set()


def _stay_on(cores: set[int]) -> None:
    # Python runs one thread at a time. If the threads are on several cores, passing the interpreter lock between cores
    # takes a third of all CPU time, and no response arrives earlier (docs/adr/0005-one-core-for-calls.md).
    if cores:
        with suppress(OSError):  # a sandbox may forbid it
            os.sched_setaffinity(0, cores)
