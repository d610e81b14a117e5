"""Translate what Spark raises when a task has failed into the exception that the task raised."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from pipeline import errors
from pipeline.errors import DiskFullError, MemoryLimitError

# The last line of a traceback. Of chained exceptions the last one is what the task raised.
_RAISED = re.compile(r"^pipeline\.errors\.(\w+): (.*)$", re.MULTILINE)
_NO_MEMORY = ("java.lang.OutOfMemoryError", "exit code 137", "exited with code 137")


@contextmanager
def failures_of_tasks(what: str) -> Iterator[None]:
    """Raise the exception of a failed task, which Spark passes on as text only; `what` is the day that is processed.

    Raises
    ------
    PipelineError
        A task has raised it, or Spark itself has too little memory or disk. All else is raised as it is.
    """
    try:
        yield
    except (Py4JJavaError, PySparkException, OSError) as error:
        text = str(error)
        if raised := _RAISED.findall(text):
            name, message = raised[-1]
            raise getattr(errors, name)(message) from error
        if "No space left on device" in text:
            raise DiskFullError(
                f"{what} needs more disk than Spark's machines have; the files are not at fault: give it more workers"
            ) from error
        if any(sign in text for sign in _NO_MEMORY):
            raise MemoryLimitError(
                f"{what} needs more memory than Spark's machines have; the files are not at fault: give larger workers"
            ) from error
        raise
