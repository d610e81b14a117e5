"""Limits of memory and disk: records that need too much are refused, and errors name the file and the limit."""

from __future__ import annotations

import errno
from pathlib import Path

import duckdb
import pytest
from batches import CUSTOMERS, ITEMS, day, read, run
from pipeline.errors import DiskFullError, MemoryLimitError
from pipeline.joining.resource_limits import resource_limits
from pipeline.model import data_model


@pytest.mark.slow
def test_too_many_cells_take_no_memory_and_are_counted(tmp_path: Path) -> None:
    lines = (b"1,O1" + b"," * 990_000 + b"\n") * 20
    outcome = run(day(items=ITEMS + lines), tmp_path, memory_mb=150)
    observed = read(outcome)
    assert outcome.summary.files[data_model.ITEMS].refused_by_code == {"wrong_cell_count": 20}
    assert "has 990002 cells where the header has 4" in observed.errors[0]["message"]


def test_too_little_memory_is_reported_with_the_file_and_the_limit(tmp_path: Path) -> None:
    customers = CUSTOMERS + b"".join(b"%032d%01000d,a,b,c\n" % (number, 0) for number in range(40_000))
    with pytest.raises(MemoryLimitError, match=r"customers_20220131\.csv needs more than the 9\.5 MiB of memory"):
        run(day(customers=customers), tmp_path, memory_mb=10)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), DiskFullError),
        (duckdb.IOException("Could not write file: No space left on device"), DiskFullError),
        (duckdb.OutOfMemoryException("limit was set by the 'max_temp_directory_size' setting"), DiskFullError),
        (duckdb.IOException('{"exception_message":"Could not write file: File too large"}'), DiskFullError),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), DiskFullError),
        (duckdb.IOException("Could not read"), duckdb.IOException),
        (PermissionError("no"), PermissionError),
    ],
)
def test_a_full_disk_is_reported_and_other_errors_are_not_changed(
    tmp_path: Path, error: Exception, expected: type[Exception]
) -> None:
    with duckdb.connect() as connection, pytest.raises(expected), resource_limits(connection, tmp_path, "items.csv"):
        raise error
