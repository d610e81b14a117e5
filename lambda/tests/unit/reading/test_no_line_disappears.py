"""Stray quotes and repeated headers: every line of a file is accounted for."""

from __future__ import annotations

import pytest
from batches import CUSTOMERS, ITEMS, ORDERS, assert_agrees_with_reference, day, items_with_long_records, observe
from pipeline.model import data_model
from pipeline.reading.dialect import BLOCK
from pipeline.reading.normalize import MAX_RECORD

TWO_ITEMS = b"o1,pen,1,1\no1,ink,1,2\n"


def messages(items: bytes) -> list[str]:
    return [error["message"] for error in assert_agrees_with_reference(day(items=items)).errors]


def test_a_stray_quote_refuses_each_line_up_to_the_next_quote() -> None:
    observed = assert_agrees_with_reference(
        day(items=ITEMS + b'o1,"pen,1,1\n' + TWO_ITEMS + b'\no2,"cap",1,3\no2,nib,1,4\n')
    )
    assert observed.codes() == [("items", line, "bad_quoting") for line in (4, 5, 6, 7, 8)]
    first, second, *_ = (error["message"] for error in observed.errors)
    assert "; the quote that opens cell 2 is still open at the end of this line, so all lines up to line 8" in first
    assert "; this line is refused with line 4, where the quote is open" in second
    assert observed.customers["c1"][1] == 91 + 1 / 2
    assert [row["record"] for row in observed.rejects[data_model.ITEMS]] == [
        'o1,"pen,1,1',
        *TWO_ITEMS.decode().split(),
        "",
        'o2,"cap",1,3',
    ]


def test_two_stray_quotes_around_whole_lines_are_refused_as_doubtful_quoting() -> None:
    observed = assert_agrees_with_reference(day(items=ITEMS + b'o1,"pen,1,1\n' + TWO_ITEMS + b'o2,cap",1,3\n'))
    assert observed.codes() == [("items", line, "doubtful_quoting") for line in (4, 5, 6, 7)]


@pytest.mark.parametrize("between", [b"", b"# page 2\n", b"o1,ink,1\n", b"o1,ink,1,2,\n", b"\n"])
def test_two_stray_quotes_refuse_what_is_between_them_whatever_it_is(between: bytes) -> None:
    items = ITEMS + b'o1,"pen,1,1\n' + between + b'o2,cap",1,3\n'
    observed = assert_agrees_with_reference(day(items=items))
    assert {code for *_, code in observed.codes()} == {"doubtful_quoting"}
    assert len(observed.codes()) == items.count(b"\n") - 3


def test_a_text_of_two_lines_in_the_last_column_is_accepted() -> None:
    customers = CUSTOMERS + b'c3,a,b,"on\nhold"\nc4,a,b,"on\nhold, again"\n'
    assert assert_agrees_with_reference(day(customers=customers)).errors == []


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("between", [b"", b"\n", b",,,\n"])
def test_a_file_put_together_with_itself_is_refused(times: int, between: bytes) -> None:
    observed = assert_agrees_with_reference(day(items=between.join([ITEMS] * times)))
    assert observed.codes() == [("items", None, "repeated_content")]


@pytest.mark.parametrize("hidden", [b"\xef\xbb\xbf", b"\x0c", b"\xe2\x80\x8b"])
def test_what_nobody_sees_before_a_second_header_changes_nothing(hidden: bytes) -> None:
    header = CUSTOMERS.splitlines(keepends=True)[0]
    observed = assert_agrees_with_reference(day(customers=CUSTOMERS + hidden + header + b"c3,a,b,c\n"))
    assert observed.codes() == [("customers", 4, "repeated_header")]
    quoted = b'"' + header.strip().replace(b",", b'","') + b'"\n'
    observed = assert_agrees_with_reference(day(customers=CUSTOMERS + hidden + quoted + b"c3,a,b,c\n"))
    assert observed.codes() == [("customers", 4, "repeated_header")]


@pytest.mark.parametrize(
    "header", [ORDERS.splitlines()[0], b"o1,pen,1,1" + ITEMS.splitlines()[0], b"item_name,x,Quantity"]
)
def test_a_header_of_any_kind_refuses_the_file(header: bytes) -> None:
    observed = assert_agrees_with_reference(day(items=ITEMS + header + b"\no1,pen,1,1\n"))
    assert observed.codes() == [("items", None, "second_header")]


@pytest.mark.parametrize("delimiter", [b",", b";", b"\t", b"|"])
def test_records_without_any_text_are_blank_lines(delimiter: bytes) -> None:
    rows = b',,,\n"",,"",\n\xc2\xa0,,\n,,,,,,\n\x1a\n'
    items = (ITEMS + rows + b"o1,pen,1,1\n" + rows).replace(b",", delimiter)
    observed = assert_agrees_with_reference(day(items=items))
    assert observed.errors == []
    assert observed.summary["files"]["items"]["blank_lines"] == 2 * rows.count(b"\n")


@pytest.mark.parametrize(("mark", "total"), [("point", "1.234"), ("comma", "0")])
def test_the_setting_decides_what_a_mark_is(mark: str, total: str) -> None:
    items = ITEMS.splitlines()[0].replace(b",", b";") + b"\no1;pen;1;1.234\n"
    observed = observe(day(items=items), decimal_mark=mark)
    assert str(observed.customers["c1"][1].normalize()) == total
    assert [code for *_, code in observed.codes()] == (["not_an_amount"] if mark == "comma" else [])


def test_a_cell_that_shows_the_point_grouping_makes_the_amounts_of_a_comma_file_ambiguous() -> None:
    for price, state in ((b"12.500", "REFUSED"), (b"12.50", "READY")):
        items = ITEMS + b"o1,pen,1,1.250.000\no1,pen,1," + price + b"\n"
        assert assert_agrees_with_reference(day(items=items)).state == state


def test_a_name_with_a_line_end_is_accepted() -> None:
    observed = assert_agrees_with_reference(day(items=ITEMS + b'o1,"two\nlines",1,1\no1,"pen, red\nand blue",1,2\n'))
    assert observed.errors == []
    assert observed.summary["files"]["items"]["further_lines"] == 2


def test_a_header_over_several_lines_is_accepted() -> None:
    header = b'order_reference,item_name,quantity,total_price,"a\nb,c,d,e,f"'
    observed = assert_agrees_with_reference(day(items=header + b"\no1,pen,1,1,x\no1,pen,1,x,y\n"))
    assert observed.codes() == [("items", 4, "not_an_amount")]
    assert observed.summary["files"]["items"]["header_lines"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "code"), [(b'o2,"cap",1,3\n', "bad_quoting"), (b'o2,cap",1,3\n', "doubtful_quoting")]
)
def test_more_lines_than_a_record_may_have_are_refused_one_by_one(ending: bytes, code: str) -> None:
    lines = MAX_RECORD // len(TWO_ITEMS) + 10
    observed = assert_agrees_with_reference(day(items=ITEMS + b'o1,"pen,1,1\n' + TWO_ITEMS * lines + ending))
    assert observed.summary["files"]["items"]["refused_by_code"] == {code: 2 * lines + 2}
    assert observed.errors[-1]["line"] == 2 * lines + 5


def test_earlier_rules_also_apply_to_lines_between_wrong_quotes() -> None:
    long = b"o1," + b"x" * MAX_RECORD + b",1,1\n"
    as_long_as_may_be = b"o1," + b"x" * (MAX_RECORD - 7) + b",1,1\n"
    observed = assert_agrees_with_reference(
        day(items=ITEMS + b'o1,"pen,1,1\no1,\xff,1,1\n' + long + as_long_as_may_be + b'o2,"cap",1,3\n')
    )
    assert [code for *_, code in observed.codes()] == [
        "bad_quoting",
        "not_utf8",
        "record_too_long",
        "bad_quoting",
        "bad_quoting",
    ]


def test_line_numbers_are_correct_after_all_kinds_of_records_of_several_lines() -> None:
    some = b'o1,"two\nlines",1,1\n\no1,"pen,1,1\no1,ink",1,2\no1,"nib,1,1\n\no2,"cap",1,3\n'
    content = (ITEMS + some * 3 + b"o1,pen,1,last\n").replace(b"\n", b"\r")
    observed = assert_agrees_with_reference(day(items=content))
    assert observed.codes()[-1] == ("items", 3 + 3 * 8 + 1, "not_an_amount")


@pytest.mark.parametrize("again", [b"", b" ", b'"'])
def test_a_repeated_header_is_refused_as_a_record(again: bytes) -> None:
    header = CUSTOMERS.splitlines()[0].upper().split(b",")
    cells = b",".join(again + name + again for name in header)
    observed = assert_agrees_with_reference(day(customers=CUSTOMERS + cells + b"\nc3,a,b,c\n"))
    assert observed.codes() == [("customers", 4, "repeated_header")]
    assert observed.only_error()["customer_reference"] is None
    assert list(observed.customers) == ["c1", "c2", "c3"]


@pytest.mark.parametrize(
    "second",
    [
        b"order_timestamp,order_status,customer_reference,order_reference",
        b"id,customer_reference,order_status,order_reference,order_timestamp",
        b'"ORDER_STATUS ",order_reference,customer_reference, order_timestamp',
    ],
)
def test_a_second_header_with_another_order_refuses_the_file(second: bytes) -> None:
    observed = assert_agrees_with_reference(day(orders=ORDERS + b'c1,"a\nb",o3,1\n' + second + b"\n1,x,c1,o9\n"))
    assert observed.codes() == [("orders", None, "second_header")]
    assert "line 6 names" in observed.only_error()["message"]


def test_a_record_that_only_mentions_a_column_is_a_record() -> None:
    customers = (
        CUSTOMERS + b"c3,customer_reference,customer_reference,x\nc4,customer_reference first_name,last_name,x\n"
    )
    assert len(assert_agrees_with_reference(day(customers=customers)).customers) == 4
    named = assert_agrees_with_reference(day(customers=CUSTOMERS + b"customer_reference,a,b,c\n"))
    assert "customer_reference" in named.customers


@pytest.mark.parametrize("cut", [1, 9, 17])
def test_a_header_across_two_blocks_of_bytes_is_found(cut: int) -> None:
    content = CUSTOMERS + b"x," + b"z" * (BLOCK - cut - len(CUSTOMERS) - 7) + b",b,c\n"
    assert len(content) == BLOCK - cut
    observed = observe(day(customers=content + CUSTOMERS))
    assert observed.summary["files"]["customers"]["refused_by_code"]["repeated_header"] == 1


@pytest.mark.parametrize(
    ("prices", "codes"),
    [
        (["12", "1,234"], ["ambiguous_amounts"]),
        (["12", "-1.234"], ["ambiguous_amounts"]),
        (["1,234,567", "-1,000", "1.5"], ["not_an_amount", "ambiguous_amount"]),
        (["1,234,567", "-1,000", "1,5"], ["ambiguous_amounts"]),
        (["1,234.50"], ["not_an_amount"]),
        (["1,234", "1,5"], ["ambiguous_amount"]),
        (["1.5", "1,5"], ["ambiguous_amounts"]),
        (["1.5", "1,5", "2,5"], ["not_an_amount"]),
        (["0,125", "1234,567"], []),
        (["TBD, see mail", "1.5"], ["not_an_amount"]),
        (["1,2345"], []),
        (["12", "1.5"], []),
    ],
)
def test_the_amounts_of_a_file_with_semicolons_decide_its_decimal_mark(prices: list[str], codes: list[str]) -> None:
    header = ITEMS.splitlines()[0].replace(b",", b";")
    items = header + b"".join(b"\no1;pen;1;" + price.encode() for price in prices)
    observed = assert_agrees_with_reference(day(items=items))
    assert [code for *_, code in observed.codes()] == codes


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
