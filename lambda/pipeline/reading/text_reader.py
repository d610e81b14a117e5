"""Examine the bytes of a day's files in a thread: those of the next file while the records of a file are read.

DuckDB reads records without holding Python's lock, so both proceed at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor, Future
from itertools import pairwise
from pathlib import Path

from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import SourceFile
from pipeline.reading.dialect import ByteProfile, read_profile

_FOLLOWING = dict(pairwise(MODEL.kinds))


class TextReader:
    """Reads the texts of a day's files in the order of `RecordKind`.

    Parameters
    ----------
    thread
        Runs one task at a time.
    workdir
        Folder for unpacked files. At most two of them exist at a time, if each is deleted once its records were read.
    max_unpacked
        Bytes that a gzip file may unpack to; None for no limit.
    """

    def __init__(
        self, thread: Executor, sources: Mapping[RecordKind, SourceFile], workdir: Path, max_unpacked: int | None = None
    ) -> None:
        self._thread = thread
        self._sources = sources
        self._workdir = workdir
        self._max_unpacked = max_unpacked
        self._texts: dict[RecordKind, Future[ByteProfile]] = {}
        self._begin(next(iter(MODEL.kinds)))

    def read(self, kind: RecordKind) -> ByteProfile:
        """Wait for the text of a file, and begin with the next file.

        Raises
        ------
        RefusedFileError
            The file is empty, damaged, too large, or not text.
        """
        text = self._begin(kind).result()
        if kind in _FOLLOWING:
            self._begin(_FOLLOWING[kind])
        return text

    def _begin(self, kind: RecordKind) -> Future[ByteProfile]:
        if kind not in self._texts:
            path = self._sources[kind].path
            self._texts[kind] = self._thread.submit(read_profile, path, kind, self._workdir, self._max_unpacked)
        return self._texts[kind]
