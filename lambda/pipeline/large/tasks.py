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


@dataclass(frozen=True, slots=True)
class TaskLimits:
    """The limits of one task."""

    memory_mb: int = 512
    """DuckDB's memory limit in a task; beyond it, DuckDB spills to disk."""
    folder: Path | None = None
    """Folder for temporary files; None for the system's default."""

    @contextmanager
    def database(self, what: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
        """Provide a database and a temporary folder for a task that processes `what`, a file or a day.

        Raises
        ------
        ResourceLimitError
            Memory or disk space is not sufficient.
        """
        _prepare_worker()
        with (
            TemporaryDirectory(prefix="task-", dir=self.folder, ignore_cleanup_errors=True) as folder,
            open_database(Path(folder), self.memory_mb, 1) as connection,
            resource_limits(connection, Path(folder), what),
        ):
            yield connection, Path(folder)


def _prepare_worker() -> None:
    """Let the next tasks of this process start quickly.

    Before each task, a worker calls `importlib.invalidate_caches` (pyspark/worker.py of Spark 3.5), which reads the
    directories of all ZIP files from which modules were imported. With Python 3.11, that takes 65 ms. Finders that are
    removed here are created again when a module is imported.
    """
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimporter):
            del sys.path_importer_cache[path]
