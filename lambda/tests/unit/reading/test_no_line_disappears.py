"""Stray quotes and repeated headers: every line of a file is accounted for."""

from __future__ import annotations

import pytest
from batches import ITEMS, assert_agrees_with_reference, day, items_with_long_records, observe
from pipeline.reading.dialect import BLOCK
from pipeline.reading.normalize import MAX_RECORD

TWO_ITEMS = b"o1,pen,1,1\no1,ink,1,2\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "code"), [(b'o2,"cap",1,3\n', "bad_quoting"), (b'o2,cap",1,3\n', "doubtful_quoting")]
)
def test_more_lines_than_a_record_may_have_are_refused_one_by_one(ending: bytes, code: str) -> None:
    lines = MAX_RECORD // len(TWO_ITEMS) + 10
    observed = assert_agrees_with_reference(day(items=ITEMS + b'o1,"pen,1,1\n' + TWO_ITEMS * lines + ending))
    assert observed.summary["files"]["items"]["refused_by_code"] == {code: 2 * lines + 2}
    assert observed.errors[-1]["line"] == 2 * lines + 5


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_a_header_across_two_blocks_of_bytes_is_found(cut: int) -> None:
    content = ITEMS + b"o1," + b"z" * (BLOCK - cut - len(ITEMS) - 8) + b",1,1\n"
    assert len(content) == BLOCK - cut
    observed = observe(day(items=content + b"status,quantity,1,1\no1,pen,1,1\n"))
    assert observed.codes() == [("items", None, "second_header")]


@pytest.mark.slow
def test_many_records_of_several_lines_keep_their_line_numbers_across_blocks() -> None:
    record = b'o1,"pen, 5 "" wide\nand\nred",1,1\n'
    items = ITEMS + record * (3 * BLOCK // len(record)) + b'o1,"last\none",1,x\n' + record * 3 + b"o1,pen,y,1\n"
    observed = assert_agrees_with_reference(day(items=items))
    last = items.count(b"\n")
    assert observed.codes() == [("items", last - 11, "not_an_amount"), ("items", last, "not_an_integer")]


@pytest.mark.slow
def test_lines_after_a_header_and_too_long_records_of_several_lines_keep_their_numbers() -> None:
    items = items_with_long_records()
    observed = assert_agrees_with_reference(day(items=items))
    line_of = items.splitlines().index
    assert observed.codes() == [
        ("items", line_of(b'o1,"long') + 1, "record_too_long"),
        ("items", line_of(b"o1,pen,1,x,") + 1, "not_an_amount"),
        ("items", line_of(b'o1,"longer') + 1, "record_too_long"),
        ("items", line_of(b"o1,pen,y,1,") + 1, "not_an_integer"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("stray", "errors"), [(b'o1,"pen,1,1\n', 3), (b'o1,5" pen,1,1\n', 0), (b'o1, "pen",1,1\n', 1)])
def test_a_stray_quote_among_many_quoted_records_is_found_in_its_block(stray: bytes, errors: int) -> None:
    record = b'o1,"two\nlines",1,1\n'
    some = record * (BLOCK // len(record))
    observed = assert_agrees_with_reference(day(items=ITEMS + some + stray + some + stray + some))
    assert len(observed.errors) == 2 * errors
