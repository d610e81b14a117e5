"""Several calls at once, by a bounded number of threads."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

CALLERS = 8
"""Threads that call at once; fewer than the connections that a client keeps open."""

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")


class Callers(Protocol):
    """Calls a function for each argument, and yields the answers in the order of the arguments, like `map`."""

    def __call__(self, call: Callable[[Argument], Answer], over: Iterable[Argument], /) -> Iterator[Answer]:
        """Call, and answer."""
        ...


@contextmanager
def callers(calls: int) -> Iterator[Callers]:
    """Provide up to 8 threads for `calls` calls; a single call runs in the caller's thread."""
    if calls < 2:
        yield map
        return
    cores = _one_core()
    with ThreadPoolExecutor(min(calls, CALLERS), initializer=_stay_on, initargs=(cores,)) as pool:
        yield pool.map


def _one_core() -> set[int]:
    """Choose a processor core; an empty set where threads can't be pinned."""
    return {random.choice(sorted(os.sched_getaffinity(0)))} if hasattr(os, "sched_getaffinity") else set()


def _stay_on(cores: set[int]) -> None:
    # The interpreter runs one thread at a time. Threads on two cores hand over its lock by waking each other across
    # cores, which takes a third of all processor time and makes no answer arrive sooner.
    if cores:
        with suppress(OSError):  # a sandbox may forbid it
            os.sched_setaffinity(0, cores)
