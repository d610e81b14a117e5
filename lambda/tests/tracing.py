"""What coverage is measured in. Python 3.11 traces every function, which doubles the time of all Python code."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import pytest

P = ParamSpec("P")
R = TypeVar("R")

MEASURED = "lambda/tests/unit/"


def is_measured(item: pytest.Item) -> bool:
    """Tell whether a test counts for coverage: the quick unit tests of the package reach every line by themselves."""
    return item.nodeid.startswith(MEASURED) and item.get_closest_marker("slow") is None


@contextmanager
def paused() -> Iterator[None]:
    """Do not trace this thread, and the threads that it starts, until the end of the block."""
    traced, threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        threading.settrace(threads)
        sys.settrace(traced)


def untraced(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a function that runs long and calls nothing of the package."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        traced = sys.gettrace()
        sys.settrace(None)
        try:
            return function(*args, **kwargs)
        finally:
            sys.settrace(traced)

    return call
