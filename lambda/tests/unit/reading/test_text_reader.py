"""The bytes of the next file are examined while the records of a file are read."""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from batches import CUSTOMERS, ITEMS, ORDERS, day, run
from pipeline.errors import MemoryLimitError
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import ErrorCode
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.csv_file import SourceFile
from pipeline.reading.dialect import RefusedFileError
from pipeline.reading.text_reader import TextReader


def sources(directory: Path, **contents: bytes) -> dict[RecordKind, SourceFile]:
    found = {}
    for kind, content in ({"customers": CUSTOMERS, "orders": ORDERS, "items": ITEMS} | contents).items():
        name = f"{kind}_20220131.csv.gz"
        (directory / name).write_bytes(gzip.compress(content))
        found[MODEL.kind(kind)] = SourceFile(name, directory / name)
    return found


def test_only_the_next_file_is_examined_ahead(tmp_path: Path) -> None:
    files = sources(tmp_path)
    for read in (1, 2, 3):
        workdir = tmp_path / str(read)
        workdir.mkdir()
        with ThreadPoolExecutor(1) as thread:
            texts = TextReader(thread, files, workdir)
            assert [texts.read(kind).lines for kind in list(MODEL.kinds)[:read]] == [3, 3, 3][:read]
        unpacked = {f"{kind}.unpacked.csv" for kind in list(MODEL.kinds)[: read + 1]}
        assert {path.name for path in workdir.iterdir()} == unpacked


def test_a_file_that_is_refused_is_refused_when_it_is_read_and_the_next_one_is_read(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        texts = TextReader(thread, sources(tmp_path, orders=b"\0"), tmp_path)
        assert texts.read(data_model.CUSTOMERS).lines == 3
        with pytest.raises(RefusedFileError) as refused:
            texts.read(data_model.ORDERS)
        assert refused.value.code == ErrorCode.BINARY_FILE
        assert texts.read(data_model.ITEMS).lines == 3


def test_no_thread_is_left_when_a_day_fails(tmp_path: Path) -> None:
    threads = threading.active_count()
    customers = CUSTOMERS + b"".join(b"%032d%01000d,a,b,c\n" % (number, 0) for number in range(40_000))
    with pytest.raises(MemoryLimitError):
        run(day(customers=customers, orders=ORDERS * 100_000), tmp_path, memory_mb=10)
    assert threading.active_count() == threads
