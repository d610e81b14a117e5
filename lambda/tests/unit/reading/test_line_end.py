"""The end of a file: whether the last line that is not blank ends with a line end."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipeline.reading.line_end import has_final_line_end


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"a,b\n1,2\n", True),
        (b"a,b\r\n1,2\r\n", True),
        (b"a,b\r1,2\r", True),
        (b"a,b\n1,2", False),
        (b"a,b\n1,2\n\n\n", True),
        (b"a,b\n1,2\n  ", True),
        (b"a,b\n1,2\n,", True),
        (b"a,b\n1,2\n;;\t|", True),
        (b"a,b\n1,2\n\x1a", True),
        ("a,b\n1,2\n\ufeff\u00a0\u200b".encode(), True),
        (b"a,b\n1,2\n\xc3", False),
        (b"a,b\n1,2\n,,-", False),
        (b"", True),
        (b"a,b\n" + b"x" * 100_000, False),
        (b"a,b\n" + b"x" * 100_000 + b"\n", True),
    ],
)
def test_a_last_line_that_is_not_blank_needs_its_line_end(tmp_path: Path, content: bytes, found: bool) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(content)

    assert has_final_line_end(path) is found
