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
    """Remove the folders of calls that are over, and provide an empty one.

    A call holds a lock on its folder, which ends with its process, so that calls at the same time on one machine (the
    local AWS) do not remove each other's.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # a call is at work there, or it is somebody else's
            _remove(folder, _lock(folder))
    folder, lock = _create()
    try:
        yield folder
    finally:
        _remove(folder, lock)


def _create() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(BlockingIOError, FileNotFoundError):  # another call removes what is not locked yet
            lock = _lock(folder)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _lock(folder: Path) -> int:
    """Lock a folder; return the file descriptor that holds the lock.

    Raises
    ------
    OSError
        Another call holds the lock, or this is no folder of ours.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove(folder: Path, lock: int) -> None:
    shutil.rmtree(folder)
    os.close(lock)
