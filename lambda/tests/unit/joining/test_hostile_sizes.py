"""Files made to cost much: each is refused or read within the memory that the function has by default.

Blank lines that gzip data unpacks to are refused before they are read (unit/model/test_error_codes.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from batches import CUSTOMERS, ITEMS, ORDERS
from pipeline.model.data_model import MODEL
from pipeline.settings import TransformSettings
from pipeline.stages.transform import duckdb_limits

pytestmark = pytest.mark.slow

MEMORY_MB: int = TransformSettings.__dataclass_fields__["aws_lambda_function_memory_size"].default
CHILD = """
import json, resource, sys
from pathlib import Path
from pipeline.joining.customer_data_processor import Options, SourceFile, process
from pipeline.model.data_model import MODEL
folder, memory_mb, threads = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
files = {kind: SourceFile(path.name, path) for kind in MODEL.kinds for path in folder.glob(f"{kind}_*")}
outcome = process("20220131", files, folder / "work", Options(memory_mb=memory_mb, threads=threads))
items = outcome.summary.files[MODEL.kinds[-1]]
print(json.dumps([outcome.state, items.file_error, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""
HEAD = ITEMS + b'o1,"x'
BLANK_LINES = 100
"""In millions."""


def _lines(file: IO[bytes], line: bytes, megabytes: int) -> None:
    block = line * ((1 << 20) // len(line))
    for _ in range(megabytes):
        file.write(block)


def many_lines(path: Path) -> None:
    with path.open("wb") as file:
        file.write(HEAD)
        _lines(file, b"y\n", 40)


def doubled_quotes(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(3):
            file.write(HEAD.removeprefix(ITEMS) if file.tell() else HEAD)
            _lines(file, b'""', 14)
            file.write(b'",1,1\n')


def blank_lines(path: Path) -> None:
    with path.open("wb") as file:
        file.write(ITEMS)
        _lines(file, b"\n", BLANK_LINES)


@pytest.mark.parametrize(
    ("write", "state", "error"),
    [
        (many_lines, "REFUSED", "record_without_end"),
        (doubled_quotes, "READY", None),
        (blank_lines, "READY", None),
    ],
    ids=["a record of many lines", "doubled quotes", "blank lines"],
)
def test_a_hostile_file_stays_within_the_memory_of_the_function(
    tmp_path: Path, write: Callable[[Path], None], state: str, error: str | None
) -> None:
    for kind, content in zip(MODEL.kinds, (CUSTOMERS, ORDERS), strict=False):
        (tmp_path / f"{kind}_20220131.csv").write_bytes(content)
    write(tmp_path / f"{MODEL.kinds[-1]}_20220131.csv")
    memory, threads = duckdb_limits(MEMORY_MB)

    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), str(memory), str(threads)],
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )

    assert done.returncode == 0, done.stderr
    *found, megabytes = json.loads(done.stdout.splitlines()[-1])
    assert found == [state, error]
    assert megabytes < MEMORY_MB, f"the process had {megabytes:.0f} MB"
