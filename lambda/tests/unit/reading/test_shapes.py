"""Files of all shapes: the line and code of each refused record; the reference implementation agrees with all else."""

from __future__ import annotations

import pytest
from batches import CUSTOMERS, ITEMS, ORDERS, assert_agrees_with_reference, day, observe
from pipeline.model.data_model import MODEL
from pipeline.reading.normalize import MAX_RECORD

CUSTOMER_HEADER, ITEM_HEADER = (content.splitlines(keepends=True)[0] for content in (CUSTOMERS, ITEMS))
TWO_ITEMS = b"o1,pen,1,1\no1,ink,1,2\n"
BLANK_ROWS = b',,,\n"",,"",\n\xc2\xa0,,\n,,,,,,\n\x1a\n'
SEVERAL_LINES = b'o1,"two\nlines",1,1\n\no1,"pen,1,1\no1,ink",1,2\no1,"nib,1,1\n\no2,"cap",1,3\n'
LONG = b"o1," + b"x" * MAX_RECORD + b",1,1\n"
AS_LONG_AS_MAY_BE = b"o1," + b"x" * (MAX_RECORD - 7) + b",1,1\n"
WIDE_HEADER = b'order_reference,item_name,quantity,total_price,"a\nb,c,d,e,f"\n'

ACCEPTED = {
    "a blank line among records": {"items": ITEMS + b"\n" + TWO_ITEMS},
    "a text of two lines in the last column": {"customers": CUSTOMERS + b'c3,a,b,"on\nhold"\nc4,a,b,"on\nhold, x"\n'},
    "a name with a line end": {"items": ITEMS + b'o1,"two\nlines",1,1\no1,"pen, red\nand blue",1,2\n'},
    "a name that is a column's": {"customers": CUSTOMERS + b"c3,customer_reference,x,y\ncustomer_reference,a,b,c\n"},
    **{
        f"rows without any text, by {by!r}": {"items": (ITEMS + BLANK_ROWS + TWO_ITEMS + BLANK_ROWS).replace(b",", by)}
        for by in (b",", b";", b"\t", b"|")
    },
    "an amount of a comma file beside a cell that shows no grouping": {"items": ITEMS + b"o1,pen,1,12.50\n"},
}
"""Files of which every record counts."""

REFUSED = {
    "empty_file": [b"", b"\n \n\n", b"\xef\xbb\xbf"],
    "repeated_content": [between.join([ITEMS] * times) for times in (2, 3) for between in (b"", b"\n", b",,,\n")],
    "second_header": [
        ITEMS + header + b"\no1,pen,1,1\n"
        for header in (
            ORDERS.splitlines()[0],
            b"o1,pen,1,1" + ITEM_HEADER.strip(),
            b"item_name,x,Quantity",
            b"quantity,item_name,order_reference,total_price",
            b"id," + ITEM_HEADER.strip(),
            b'"QUANTITY ",order_reference,item_name, total_price',
        )
    ],
    "unclosed_quote": [ITEMS + b'o1,"pen,1,1.00\n' + b"o1,pen,1,1.00\n" * 50],
    "ambiguous_amounts": [ITEMS + b"o1,pen,1,1.250.000\no1,pen,1,12.500\n"],
}
"""Files of items that are refused as a whole, by code."""

AGAIN = {
    name: {"customers": CUSTOMERS + again + b"c3,a,b,c\n"}
    for name, again in {
        "the header in capitals": CUSTOMER_HEADER.upper(),
        "the header with blanks": CUSTOMER_HEADER.replace(b",", b" , "),
        "the header in quotes": b'"' + CUSTOMER_HEADER.strip().replace(b",", b'","') + b'"\n',
        "a BOM and the header in quotes": b'\xef\xbb\xbf"' + CUSTOMER_HEADER.strip().replace(b",", b'","') + b'"\n',
        **{
            f"{hidden!r} and the header": hidden + CUSTOMER_HEADER
            for hidden in (b"\xef\xbb\xbf", b"\f", b"\xe2\x80\x8b")
        },
    }.items()
}
ERRORS = {
    **{name: (files, [(4, "repeated_header")]) for name, files in AGAIN.items()},
    "two stray quotes around lines": (
        {"items": ITEMS + b'o1,"pen,1,1\n' + TWO_ITEMS + b'o2,cap",1,3\n'},
        [(line, "doubtful_quoting") for line in (4, 5, 6, 7)],
    ),
    **{
        f"two stray quotes around {between!r}": (
            {"items": ITEMS + b'o1,"pen,1,1\n' + between + b'o2,cap",1,3\n'},
            [(4 + line, "doubtful_quoting") for line in range(2 + between.count(b"\n"))],
        )
        for between in (b"", b"# page 2\n", b"o1,ink,1\n", b"o1,ink,1,2,\n", b"\n")
    },
    "a header of several lines": (
        {"items": WIDE_HEADER + b"o1,pen,1,1,x\no1,pen,1,x,y\n"},
        [(4, "not_an_amount")],
    ),
    "blank lines and a line end before the header's end": (
        {"customers": b'\n\n"note\nof two lines",' + CUSTOMER_HEADER + b"x,c1,a,b,c\nx,,a,b,c\n", "items": ITEM_HEADER},
        [(6, "empty_reference")],
    ),
    "other errors between wrong quotes": (
        {"items": ITEMS + b'o1,"pen,1,1\no1,\xff,1,1\n' + LONG + AS_LONG_AS_MAY_BE + b'o2,"cap",1,3\n'},
        [*enumerate(["bad_quoting", "not_utf8", "record_too_long", "bad_quoting", "bad_quoting"], 4)],
    ),
    "records of several lines, with CR": (
        {"items": (ITEMS + SEVERAL_LINES * 3 + b"o1,pen,1,last\n").replace(b"\n", b"\r")},
        [(28, "not_an_amount")],
    ),
    "mixed line ends and blank lines": (
        {"items": ITEM_HEADER + b"\r\n\ro1,pen,1,1\r\n   \n\r\no1,pen,x,1\ro1,pen,1,2\r\n\n\n,,,"},
        [(7, "not_an_integer")],
    ),
    **{
        f"bad UTF-8 {damage!r}": (
            {"customers": CUSTOMERS + b"c3," + damage + b",b,c\nc4,a,b,c" + damage},
            [(4, "not_utf8"), (5, "not_utf8")],
        )
        for damage in (b"\xff", b"\xc3", b"\xe2\x82", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80")
    },
    "control characters that the reader uses itself": (
        {
            "customers": CUSTOMERS + b'a\x1f\x1e\x1db,a,"two\nlines",\x1c\n\x1dbad\xff,a,b,c\n',
            "orders": ORDERS + b"a\x1f\x1e\x1db,sent,o3,1\n",
        },
        [(6, "not_utf8")],
    ),
}
"""Files with the errors that must be among those of the day, and all of their codes."""


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_record_counts(name: str) -> None:
    assert assert_agrees_with_reference(day(**ACCEPTED[name])).errors == []


@pytest.mark.parametrize(("code", "items"), [(code, items) for code, files in REFUSED.items() for items in files])
def test_the_file_is_refused(code: str, items: bytes) -> None:
    assert assert_agrees_with_reference(day(items=items)).codes() == [("items", None, code)]


@pytest.mark.parametrize("name", ERRORS)
def test_the_errors_name_line_and_code(name: str) -> None:
    files, errors = ERRORS[name]
    observed = assert_agrees_with_reference(day(**files))
    of_kind = [(line, code) for kind, line, code in observed.codes() if kind == next(iter(files))]
    assert errors == of_kind if name != "records of several lines, with CR" else errors == of_kind[-1:]


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
def test_all_kinds_of_line_ends_give_the_same_result(newline: bytes) -> None:
    files = {kind: content.replace(b"\n", newline) for kind, content in day().items()}
    assert assert_agrees_with_reference(files).messages == observe(day()).messages


@pytest.mark.parametrize(("mark", "total"), [("point", "1.234"), ("comma", "0")])
def test_the_setting_decides_what_a_mark_is(mark: str, total: str) -> None:
    items = ITEM_HEADER.replace(b",", b";") + b"o1;pen;1;1.234\n"
    observed = observe(day(items=items), decimal_mark=mark)
    assert str(observed.customers["c1"][1].normalize()) == total
    assert [code for *_, code in observed.codes()] == (["not_an_amount"] if mark == "comma" else [])


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
    ],
)
def test_the_amounts_of_a_file_with_semicolons_decide_its_decimal_mark(prices: list[str], codes: list[str]) -> None:
    items = ITEM_HEADER.replace(b",", b";") + b"".join(b"o1;pen;1;" + price.encode() + b"\n" for price in prices)
    assert [code for *_, code in assert_agrees_with_reference(day(items=items)).codes()] == codes


def test_the_sentences_about_a_stray_quote_name_the_lines_that_are_refused_with_it() -> None:
    stray = b'o1,"pen,1,1\n' + TWO_ITEMS + b'\no2,"cap",1,3\n'
    observed = assert_agrees_with_reference(day(items=ITEMS + stray + b"o2,nib,1,4\n"))
    assert observed.codes() == [("items", line, "bad_quoting") for line in (4, 5, 6, 7, 8)]
    first, second, *_ = (error["message"] for error in observed.errors)
    assert "; the quote that opens cell 2 is still open at the end of this line, so all lines up to line 8" in first
    assert "; this line is refused with line 4, where the quote is open" in second
    assert [row["record"] for row in observed.rejects[MODEL.kinds[-1]]] == stray.decode().splitlines()


def test_the_sentence_about_a_second_header_names_its_line() -> None:
    orders = ORDERS + b'c1,"a\nb",o3,1\norder_timestamp,order_status,customer_reference,order_reference\n'
    assert "line 6 names" in observe(day(orders=orders)).only_error()["message"]
