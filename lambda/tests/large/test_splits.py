"""Splits of a file: each line is read by exactly one task, whatever the sizes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline.large.splits import cut
from pipeline.large.storage import LocalSource

texts = st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"long line", b"\n\n", "é".encode()]), max_size=60).map(
    b"".join
)


@settings(max_examples=200, deadline=None)
@given(texts, st.integers(1, 40), st.integers(0, 5))
def test_the_splits_of_a_file_are_its_whole_lines_in_order(text: bytes, split_bytes: int, skipped: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(text)
        first = min(skipped, len(text))

        ranges = cut(LocalSource(path), first, split_bytes)

    assert [start for start, _ in ranges] == [first, *(end for _, end in ranges[:-1])]
    assert ranges[-1][1] == len(text)
    assert all(end in (first, len(text)) or text[end - 1 : end] == b"\n" for _, end in ranges)
    lines = text[first:].splitlines(keepends=True)
    assert all(end - start < split_bytes + max(map(len, lines)) for start, end in ranges if lines)
