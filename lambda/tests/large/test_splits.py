"""Splits of a file: each line is read by exactly one task, whatever the sizes."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline.large.splits import cut, whole_lines
from pipeline.large.storage import LocalSource
from pipeline.model.error_codes import ErrorCode
from pipeline.reading.dialect import RefusedFileError

texts = st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"long line", b"\n\n", "é".encode()]), max_size=60).map(
    b"".join
)


@settings(max_examples=200, deadline=None)
@given(texts, st.integers(1, 40), st.integers(0, 5))
def test_the_splits_of_a_file_are_its_whole_lines_in_order(text: bytes, split_bytes: int, skipped: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(text)
        source, first = LocalSource(path), min(skipped, len(text))
        ranges = [whole_lines(source, *of_range, first) for of_range in cut(first, len(text), split_bytes)]

        assert [start for start, _ in ranges] == [first, *(end for _, end in ranges[:-1])]
        assert ranges[-1][1] == len(text)
        assert all(end in (first, len(text)) or text[end - 1 : end] == b"\n" for _, end in ranges)


def test_the_reason_why_a_file_is_refused_goes_from_a_task_to_the_driver() -> None:
    error = RefusedFileError(ErrorCode.LINE_TOO_LONG, number=7, limit=1000)

    found = pickle.loads(pickle.dumps(error))

    assert (found.code, str(found)) == (
        error.code,
        "line 7 is longer than 1,000 bytes, which no CSV record of this kind is",
    )
