"""The limits of one task of Spark, and its database."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from zipimport import zipimporter

from pipeline.joining.resource_limits import resource_limits
from pipeline.reading.sql import open_database

if TYPE_CHECKING:
    import duckdb


SPLIT_BYTES = 64 << 20
"""Bytes of a file that one task reads."""


@dataclass(frozen=True, slots=True)
class TaskLimits:
    """The limits of one task."""

    memory_mb: int = 512
    """DuckDB's memory limit in a task; beyond it, DuckDB spills to disk."""
    folder: Path | None = None
    """Folder for temporary files; None for the system's default."""
    split_bytes: int = SPLIT_BYTES
    max_unpacked: int | None = None
    """Bytes that a gzip file may unpack to; None for no limit."""

    @contextmanager
    def database(self, what: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
        """Provide a database and a temporary folder for a task that processes `what`; see `resource_limits`."""
        _prepare_worker()
        with (
            TemporaryDirectory(prefix="task-", dir=self.folder, ignore_cleanup_errors=True) as folder,
            open_database(Path(folder), self.memory_mb, 1) as connection,
            resource_limits(connection, Path(folder), what),
        ):
            yield connection, Path(folder)


def _prepare_worker() -> None:
    """Let the next tasks of this process start 65 ms earlier.

    Before each task, Spark 3.5 calls `importlib.invalidate_caches`, with which Python 3.11 reads the directories of all
    imported ZIP files. Finders that are removed here are created again when a module is imported.
    """
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimporter):
            del sys.path_importer_cache[path]
