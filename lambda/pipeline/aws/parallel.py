"""Concurrent calls with a limited number of threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

THREADS = 8
"""Concurrent calls; fewer than the connections that a client keeps open."""

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")


def parallel_map(function: Callable[[Argument], Answer], arguments: Sequence[Argument]) -> list[Answer]:
    """Call a function for each argument, several at once; return the results in the order of the arguments.

    Raises the exception of the first argument, in this order, whose call failed.
    """
    with ThreadPoolExecutor(min(len(arguments), THREADS) or 1) as pool:
        return list(pool.map(function, arguments))
