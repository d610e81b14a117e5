"""A folder in /tmp for one call, which the next call removes if this one is killed.

Lambda keeps /tmp between the calls of an execution environment, also after a crash or a timeout (AWS Lambda Developer
Guide, "Understanding the Lambda execution environment lifecycle": the reset does not clear /tmp).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "transform-"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Provide an empty folder, after removing those that killed calls left, unless another call is at work.

    Each call shares a lock, which ends with its process, as calls run at the same time on one machine (the local AWS).
    """
    temporary = Path(tempfile.gettempdir())
    with (temporary / f"transform.{os.getuid()}.lock").open("a") as lock:
        with suppress(BlockingIOError):  # another call is at work
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in temporary.glob(f"{_PREFIX}*"):
                shutil.rmtree(left, ignore_errors=True)  # it may be somebody else's
        fcntl.flock(lock, fcntl.LOCK_SH)
        with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
            yield Path(folder)
