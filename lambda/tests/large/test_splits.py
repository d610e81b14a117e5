"""Splits of a file: each line is read by exactly one task, whatever the sizes."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline.large.places import LocalSource
from pipeline.large.splits import LONG_LINE, cut, lines_of, numbered, profile, write_lines
from pipeline.model.error_codes import ErrorCode
from pipeline.reading.dialect import RefusedFileError

NAME = "customer_reference"
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
        splits = cut(first, len(text), split_bytes)
        parts = [b"".join(lines_of(source, split, first)) for split in splits]

        counts = [profile([part], NAME).lines for part in parts]
        assert b"".join(parts) == text[first:]
        assert all(part.endswith(b"\n") for part in [part for part in parts if part][:-1])
        before = 1
        for split in numbered(splits, counts, before):
            assert (split.before, split.lines) == (before, len(b"".join(lines_of(source, split, first)).splitlines()))
            before += split.lines


@settings(max_examples=200, deadline=None)
@given(texts, st.integers(1, 7))
def test_a_profile_does_not_depend_on_how_its_bytes_come(text: bytes, size: int) -> None:
    blocks = [text[start : start + size] for start in range(0, len(text), size)]

    assert profile(blocks, NAME) == profile([text] if text else [], NAME)


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        (b"a\nb", True),
        (b"a\r\nb\r\n", True),
        (b"a\rb\n", False),
        (b"a\r", False),
        (b"a\xff\n", False),
        (b"a\xc3", False),
        (b"a\0\n", False),
        (b"a\x1f\n", False),
        (b"a" * (LONG_LINE + 1) + b"\n", False),
    ],
)
def test_only_plain_text_is_read_in_parts(text: bytes, is_plain: bool) -> None:
    blocks = [text[start : start + 100_000] for start in range(0, len(text), 100_000)]

    assert profile(blocks, NAME).is_plain is is_plain


def test_crlf_becomes_lf_also_where_it_is_cut(tmp_path: Path) -> None:
    size = write_lines([b"a\r", b"\nb\r\n", b"c"], tmp_path / "lines", has_crlf=True)

    assert (tmp_path / "lines").read_bytes() == b"a\nb\nc"
    assert size == 5


def test_the_reason_why_a_file_is_refused_goes_from_a_task_to_the_driver() -> None:
    error = RefusedFileError(ErrorCode.LINE_TOO_LONG, number=7, limit=1000)

    found = pickle.loads(pickle.dumps(error))

    assert (found.code, str(found)) == (
        error.code,
        "line 7 is longer than 1,000 bytes, which no CSV record of this kind is",
    )
