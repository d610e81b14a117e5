"""Write files that others read or must not read."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import BinaryIO


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Create a folder that only its owner can read, and delete it in the end.

    Its name is known before it is made, unlike that of `TemporaryDirectory`: a signal in between leaves nothing behind.
    """
    path = Path(gettempdir(), prefix + secrets.token_hex(8))
    try:
        path.mkdir(mode=0o700)
        yield path
    finally:
        if path.exists():
            shutil.rmtree(path)


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
    unfinished = file.parent / f".{file.name[:40]}.{secrets.token_hex(4)}"
    try:
        with open(unfinished, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as stream:
            yield stream
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(file: Path, text: str) -> None:
    """Write a text file as `open_whole` does."""
    with open_whole(file) as stream:
        stream.write(text.encode())
