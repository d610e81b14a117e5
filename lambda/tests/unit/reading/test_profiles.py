"""The bytes of the next file are examined while the records of a file are read."""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from batches import ORDERS, day, run
from pipeline.errors import MemoryLimitError
from pipeline.model.data_model import MODEL
from pipeline.reading.csv_file import SourceFile
from pipeline.reading.csv_parser import read_profiles
from pipeline.reading.dialect import RefusedFileError


@pytest.mark.parametrize("read", [1, 2, 3])
def test_only_the_next_file_is_examined_ahead_also_after_a_refused_one(tmp_path: Path, read: int) -> None:
    sources = {}
    for kind, content in day(orders=b"\0").items():
        sources[kind] = SourceFile(kind, tmp_path / f"{kind}.gz")
        sources[kind].path.write_bytes(gzip.compress(content))
    workdir = tmp_path / "work"
    workdir.mkdir()
    with ThreadPoolExecutor(1) as thread:
        profiles = read_profiles(thread, sources, workdir)
        found = [next(profiles).exception() or "text" for _ in range(read)]
    assert [error if error == "text" else type(error) for error in found] == ["text", RefusedFileError, "text"][:read]
    assert {path.name for path in workdir.iterdir()} == {f"{kind}.unpacked.csv" for kind in MODEL.kinds[: read + 1]}


def test_no_thread_is_left_when_a_day_fails(tmp_path: Path) -> None:
    threads = threading.active_count()
    customers = day()[MODEL.root] + b"".join(b"%032d%01000d,a,b,c\n" % (number, 0) for number in range(40_000))
    with pytest.raises(MemoryLimitError):
        run(day(customers=customers, orders=ORDERS * 100_000), tmp_path, memory_mb=10)
    assert threading.active_count() == threads
