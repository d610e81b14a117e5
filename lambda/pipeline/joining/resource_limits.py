"""Translate out-of-memory and disk-full errors into exceptions that say what to do."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from pipeline.errors import DiskFullError, MemoryLimitError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of system errors: the disk, the quota or the limit of a file's size does not suffice."""


@contextmanager
def resource_limits(connection: duckdb.DuckDBPyConnection, workdir: Path, what: str) -> Iterator[None]:
    """Translate errors within the context; `what` is the file or day that is processed.

    Raises
    ------
    MemoryLimitError
        DuckDB has reached its memory limit and can't spill any more.
    DiskFullError
        There is no disk space left for the files or for DuckDB's spilling.
    """
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        if "max_temp_directory_size" in str(error):
            raise _disk_full(workdir, what) from error
        limit = connection.execute("SELECT current_setting('memory_limit')").fetchone()
        raise MemoryLimitError(
            f"{what} needs more than the {limit[0] if limit else '?'} of memory that DuckDB may use here; "
            "the file is not at fault: give more memory"
        ) from error
    except (duckdb.IOException, OSError) as error:
        # DuckDB's errors have the system's text only.
        if getattr(error, "errno", None) in NO_ROOM or any(os.strerror(number) in str(error) for number in NO_ROOM):
            raise _disk_full(workdir, what) from error
        raise


def _disk_full(workdir: Path, what: str) -> DiskFullError:
    disk = shutil.disk_usage(workdir)
    return DiskFullError(
        f"{what} needs more disk than there is: of {disk.total:,} bytes under {workdir}, {disk.free:,} are free; "
        "the file is not at fault: give more disk"
    )
