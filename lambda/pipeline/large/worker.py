"""What the Python processes of Spark's workers need to start a task quickly."""

from __future__ import annotations

import sys
from zipimport import zipimporter


def prepare_worker() -> None:
    """Make the next tasks of this process start quickly; call it in each task.

    Before each task, a worker calls `importlib.invalidate_caches` (pyspark/worker.py of Spark 3.5), which reads the
    directories of all ZIP files from which modules were imported, and of Spark's JAR file. With Python 3.11, that takes
    65 ms, even for a task that does nothing. Finders that are removed here are created again when a module is imported.
    """
    # Without gc.freeze, though each task ends with gc.collect: with it, DuckDB prints 40 lines when the process ends.
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimporter):
            del sys.path_importer_cache[path]
