"""Write files that others read or must not read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def open_whole(file: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that only its owner can read, and that takes its name once it is complete.

    A reader finds the old content or the new, never a part, and a link that has the name is replaced, not followed.
    What is no regular file (a pipe, a terminal) is written to directly.
    """
    if file.exists() and not file.is_file():
        with file.open("wb") as stream:
            yield stream
        return
    descriptor, unfinished = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name[:40]}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
        Path(unfinished).replace(file)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def write_whole(file: Path, text: str) -> None:
    """Write a text file as `open_whole` does."""
    with open_whole(file) as stream:
        stream.write(text.encode())
