"""Days of all shapes, one trap each: what comes out of them is recorded, and the reference implementation agrees."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from batches import CUSTOMERS, ITEMS, ORDERS, items_with_long_records
from batches import day as files_of
from pipeline.model.record_kinds import RecordKind

CUSTOMER_HEADER, ORDER_HEADER, ITEM_HEADER = (
    content.splitlines(keepends=True)[0] for content in (CUSTOMERS, ORDERS, ITEMS)
)


@dataclass(frozen=True, slots=True)
class Day:
    """The files of a day, the options of its run, and what earlier versions delivered."""

    name: str
    files: Mapping[RecordKind, bytes]
    options: Mapping[str, Any] = field(default_factory=dict)
    previous_errors: frozenset[str] = frozenset()
    previous_customers: tuple[tuple[str, ...], ...] = ()
    """The customers that each earlier version delivered."""

    @property
    def is_plain(self) -> bool:
        """Whether the reference implementation knows what is right."""
        return not (self.options or self.previous_customers)


def day(name: str, customers: bytes = CUSTOMERS, orders: bytes = ORDERS, items: bytes = ITEMS, **more: Any) -> Day:
    """A good day, or one with some other file."""
    return Day(name, files_of(customers, orders, items), **more)


def lines(header: bytes, *records: bytes | str) -> bytes:
    """A file of these records."""
    return header + b"".join((record.encode() if isinstance(record, str) else record) + b"\n" for record in records)


def all_files(name: str, change: Callable[[bytes], bytes]) -> Day:
    """A good day each of whose files is changed."""
    return day(name, change(CUSTOMERS), change(ORDERS), change(ITEMS))


def with_items(name: str, *records: bytes | str, **more: Any) -> Day:
    """A good day with more items."""
    return day(name, items=lines(ITEMS, *records), **more)


def all_days() -> list[Day]:
    """All days; each has a name of its own."""
    return [*_files(), *_line_ends(), *_cells(), *_relations(), *_amounts(), *_runs()]


def _files() -> Iterator[Day]:
    """Headers, and files that can't be used."""
    packed = gzip.compress(CUSTOMERS, mtime=0)
    refused = {
        "no bytes": b"",
        "only blank lines": b"\n \n\n",
        "only a BOM": b"\xef\xbb\xbf",
        "a gzip of nothing": gzip.compress(b"", mtime=0),
        "UTF-16 little endian": CUSTOMERS.decode().encode("utf-16-le"),
        "UTF-16 big endian": CUSTOMERS.decode().encode("utf-16-be"),
        "a NUL": CUSTOMERS + b"\0",
        "a zip": b"PK\x03\x04\x14\0\x06\0",
        "HTML": b"\r\n <html>",
        "a quote before the header": b'"' + CUSTOMERS,
        "no header": b"c1,Ada,Lovelace,active\n",
        "colons": CUSTOMERS.replace(b",", b":"),
        "a column twice": b"id,ID," + CUSTOMERS,
        "a gzip without its end": packed[:-1],
        "a gzip with text after it": packed + b"trailing",
        "a damaged gzip": packed[:20] + b"\xff\xff\xff" + packed[23:],
        "a quote never closed": CUSTOMERS + b'c3,"Grace,Hopper,active\n' + b"c4,a,b,c\n" * 50,
    }
    for name, content in refused.items():
        yield day(name, customers=content)
    first_lines = {
        "another header": CUSTOMER_HEADER,
        "one quoted cell": b'"' + ITEM_HEADER.strip() + b'"\n',
        "JSON": b'{"order_reference": "o1"}\n',
        "a warning": b"Warning: mysqldump: no password given\n",
        "dashes": b"------------\n",
    }
    for name, line in first_lines.items():
        yield day(f"{name} in place of the header", items=line)
    open_orders, open_items = b'c1,"x",o7,1\n' * 1000 + b'c1,"x,o7,1\n', b'o1,"pen",1,1\n' * 1000 + b'o1,"pen,1,1\n'
    yield day("two refused files", customers=b"", items=ITEMS + open_items)
    yield day("quotes never closed in two files", orders=ORDERS + open_orders, items=ITEMS + open_items)
    yield day("only headers", CUSTOMER_HEADER.rstrip(), ORDER_HEADER, ITEM_HEADER)
    yield day("blank lines before the header", customers=b"\n\n" + CUSTOMERS, items=b"  \n" + ITEMS)
    yield day("gzip of two members", packed + gzip.compress(b"c3,Grace,H,a\n", mtime=0))
    yield all_files("BOM", lambda content: b"\xef\xbb\xbf" + content)
    for delimiter in (b";", b"\t", b"|"):
        yield all_files(f"delimiter {delimiter!r}", lambda content, by=delimiter: content.replace(b",", by))
    yield day(
        "header in another order, case and with unknown columns",
        items=lines(b'"Note, with comma", TOTAL_PRICE ,Quantity,item_name,order_reference\n', 'a;b,"1.5",2,"x",o1'),
    )
    yield day("a header of several lines", customers=b'\n\n"note\nof two lines",' + CUSTOMERS + b"x,,a,b,c\n")
    yield day("sep= before the header", items=b"sep=;\n" + ITEMS.replace(b",", b";"))
    yield day("wide", items=lines(ITEM_HEADER.rstrip() + b",x" * 3000 + b"\n", b"o1,pen,1,1.5" + b",y" * 3000))
    yield from _further_headers()


def _further_headers() -> Iterator[Day]:
    quoted = b'"' + ITEM_HEADER.strip().replace(b",", b'","') + b'"\n'
    same = (ITEM_HEADER.upper(), ITEM_HEADER.replace(b",", b" , "), quoted, b"\xef\xbb\xbf" + quoted)
    for header in (*same, *(hidden + ITEM_HEADER for hidden in (b"\xef\xbb\xbf", b"\f", b"\xe2\x80\x8b"))):
        yield day(f"the header again as {header[:7]!r}", items=ITEMS + header + b"o1,pen,1,1\n")
    for header in (ORDER_HEADER, b"o1,pen,1,1" + ITEM_HEADER, b"item_name,x,Quantity\n", b"id," + ITEM_HEADER):
        yield day(f"a second header {header[:9]!r}", items=ITEMS + header + b"o1,pen,1,1\n")
    yield day("a second header after a name of two lines", orders=lines(ORDERS, 'c1,"a\nb",o3,1', ORDER_HEADER[10:]))
    yield day("records that mention columns", lines(CUSTOMERS, "c3,customer_reference,x,y", "customer_reference,a,b,c"))
    for between in (b"", b"\n", b",,,\n"):
        yield day(f"repeated content after {between!r}", items=between.join([ITEMS] * 3))


def _with_quotes(content: bytes) -> bytes:
    return b"".join(b'"' + line.replace(b",", b'","') + b'"\n' for line in content.splitlines())


def _line_ends() -> Iterator[Day]:
    """Line ends, blank lines and quotes."""
    for end in (b"\r\n", b"\r"):
        yield all_files(f"line end {end!r}", lambda content, end=end: content.replace(b"\n", end))
    yield all_files("no last line end", bytes.rstrip)
    yield all_files("blank lines at the end", lambda content: content + b"\n\n\n")
    yield day(
        "mixed line ends and blank lines",
        items=ITEM_HEADER + b"\r\n\ro1,pen,1,1\r\n   \n\r\no1,pen,x,1\ro1,pen,1,2\r\n\n\n,,,",
    )
    odd = b'\no1\n,,,\n"",,"",\n\xc2\xa0,,\n,,,,,,\n\x1a\n   \no1,pen,1,2,3\no1;pen;1;2\n\t\n'
    for end in (b"\n", b"\r\n"):
        yield day(f"odd lines with {end!r}", items=(ITEMS + odd + b"o1,pen,1,0.5\n" + odd).replace(b"\n", end))
    yield with_items("a blank line among records", "", "o1,pen,1,1")
    yield all_files("all cells in quotes", _with_quotes)
    yield with_items("a name with a line end", b'o1,"two\nlines",1,1', b'o1,"pen, red\r\nand, blue",1,2')
    yield with_items("quotes in quotes", b'o1,"a ""red"" pen",1,1', b'"o1","a,""b""","1","2"')
    yield with_items("quotes inside a cell", b'o1,5" pen,1,1', b'o1,a"red"pen,1,1')
    yield with_items("blanks around quotes", b'o1, "pen",1,1', b'o1,"pen" ,1,1', b'o1,\t"pen",1,1')
    yield with_items("text after a closing quote", b'o1,"pen"x,1,1', b'o1,"pen"x,1')
    two = b"o1,pen,1,1\no1,ink,1,2\n"
    yield with_items("a stray quote up to the next", b'o1,"pen,1,1\n' + two + b'\no2,"cap",1,3\no2,nib,1,4')
    for between in (b"", b"# page 2\n", b"o1,ink,1\n", b"o1,ink,1,2,\n", b"\n", two):
        yield with_items(f"two stray quotes around {between!r}", b'o1,"pen,1,1\n' + between + b'o2,cap",1,3')
    for between in (b"o1,ink,1,2", b"o1,ink,many,2", b"o1,ink,1,much", b"o1,ink,,2"):
        yield with_items(f"between the lines of a name {between!r}", b'o1,"pen\n' + between + b'\ncap",1,3')
    long = b"o1," + b"x" * 1_000_000 + b",1,1\n"
    bad = b'o1,"pen,1,1\no1,\xff,1,1\n' + long + long[8:] + b'o2,"cap",1,3'
    yield with_items("other errors between stray quotes", bad)
    some = b'o1,"two\nlines",1,1\n\no1,"pen,1,1\no1,ink",1,2\no1,"nib,1,1\n\no2,"cap",1,3\n'
    for end in (b"\n", b"\r"):
        items = ITEMS + some * 3 + b"o1,pen,1,last\n"
        yield day(f"all kinds of records of several lines with {end!r}", items=items.replace(b"\n", end))
    yield day("long records of several lines after a header of two", items=items_with_long_records())
    long_quoted = b'c3,"' + ("é" * 999 + "\n").encode() * 600 + b'",b,c\n'
    yield day("a record of a million bytes in quotes", CUSTOMERS + long_quoted + b"c4,a,b,c\n,a,b,c\n")


def _cells() -> Iterator[Day]:
    """The text of cells: references, numbers, characters."""
    for damage in (b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"):
        yield day(f"bad UTF-8 {damage!r}", CUSTOMERS + b"c3," + damage + b",b,c\nc4,a,b,c" + damage)
    yield day(
        "control characters in cells",
        CUSTOMERS + b'\x1f\x1e\x1d,a,"two\nlines",\x1c\n\x1dbad\xff,a,b,c\n',
        lines(ORDERS, b"\x1f\x1e\x1d,sent,o3,1"),
    )
    names = ["007", "7", "NULL", "1e5", "2022-01-31", "nan", "true", "1.0", "Ab", "ab"]
    yield day(
        "references that look like other things",
        lines(CUSTOMER_HEADER, *(f"{name},a,b,c" for name in names)),
        lines(ORDER_HEADER, *(f"{name},x,o{name},1" for name in names)),
        lines(ITEM_HEADER, *(f"o{name},x,1,1" for name in names)),
    )
    cells = (" o1", "o1\t", "\u00a0o1 ", "\ufeffo1", "o1\u200b", "", " ", "x" * 1025, "O1", "--", "\x01")
    for cell in cells:
        yield with_items(f"item of order {cell[:9]!r}", f"{cell},pen,1,1", "o9,pen,1,1")
    customers = [cell.replace("o1", "c2").replace("O1", "C2") for cell in cells]
    yield day("orders of these", orders=lines(ORDERS, *(f"{name},x,o{n}{n},1" for n, name in enumerate(customers))))
    yield day("customers like these", customers=lines(CUSTOMERS, *(f"{name},a,b,c" for name in customers)))
    similar = ("x9,7", "caf\u00e9,7", "o\u200b7,7", "y9,soon")
    yield day(
        "references that are similar to known ones",
        orders=lines(ORDERS, *(f"c1,sent,{order}" for order in similar)),
        items=lines(ITEMS, *(f"{name},pen,1,1" for name in ("X9", "cafe\u0301", "o7", "Y9"))),
    )
    yield day(
        "cells that need trimming",
        CUSTOMERS + b" c3 ,a,b,c\n\xc2\xa0,a,b,c\n" + b"y" * 1024 + b",a,b,c\n" + b"y" * 1025 + b",a,b,c\n",
        lines(ORDERS, b"c3,x, o3,\t5 ", b"c3,x,o\xe9\xa0\x81,0x5", b"c1,x,o3,7"),
        lines(ITEMS, "o3,pen, 1 , 2.5", "o3,pen,1 1,1", "o3,pen,9223372036854775808,1", "o3,pen,0000007,-0"),
    )
    integers = ("3", "+3", "-3", "3.0", "", " 3 ", "1_000", "٣", "0x3", "9223372036854775807", "-9223372036854775808")
    yield with_items("whole numbers", *(f"o1,pen,{text},1" for text in integers))
    times = ("0", "-1", "1e9", "", "2022-01-31", "1643646722.5", "1643646722000", "253402300799", "9" * 20)
    yield day("timestamps", orders=lines(ORDERS, *(f"c1,x,t{n},{text}" for n, text in enumerate(times))))
    yield with_items("formulas", *(f"{cell},a,1,1" for cell in ("=1+1", "+1", "-1", "@x", "\to", "'q", '"=x"')))
    yield with_items("long value in a sentence", 'o1,pen,"x\ny\tz\x01' + "é" * 100 + '",1')
    yield with_items("braces in a sentence", "o1,pen,{column} {hint} '; DROP TABLE x,1")
    yield with_items("refused as they were read", 'o1,"say ""hi""\n\nthere",x,1', " o9 ,pen , 1,1", "o1;pen;1;1")
    hard = ["a-1", 'say ""x""', "back\\slash", "\ufffe", "Käufer 名 👍🏽 \u2028\u202e", "\x1f\x7f\x85", "<script>/&'"]
    yield day(
        "characters that JSON escapes",
        lines(CUSTOMERS, *(f'"{text}",a,b,c' for text in hard)),
        lines(ORDERS, *(f'"{text}",x,h{number},1' for number, text in enumerate(hard))),
        lines(ITEMS, *(f"h{number},Lamp,1,{number / 8}" for number in range(len(hard)))),
    )


def _relations() -> Iterator[Day]:
    """Rules between records, and totals that are incomplete."""
    with_id, customers_with_id = b"id," + ITEM_HEADER, b"id," + CUSTOMER_HEADER
    yield day(
        "dependents of refused records",
        lines(customers_with_id, "1,c1,a,b,c", "1,c2,a,b,c", "3,c1,a,b,c"),
        lines(ORDERS, "c2,sent,o3,1", "c3,sent,o4,1"),
        lines(ITEMS, "o3,pen,1,1", "o4,pen,1,2", "o5,pen,1,3"),
    )
    yield day(
        "a duplicate of a refused record",
        orders=lines(ORDER_HEADER, "c9,sent,o1,1", "c1,sent,o1,soon", "c2,sent,o1,3", "c2,sent,o1,4", "c1,sent,o2,1"),
    )
    for ids in (["1", "2", "2"], ["a", "b", "a"], ["1", "01", "1"], ["5", "6", "\u00a05"], ["7", "07", "-7", "", ""]):
        yield day(f"ids {ids}", items=lines(with_id, *(f"{row_id},o1,pen,1,1" for row_id in ids)))
    yield day("long ids", items=lines(with_id, *(f"{row_id},o1,pen,1,1" for row_id in ("9" * 30, "x", "9" * 30))))
    yield day("ids as last column", items=lines(ITEM_HEADER.rstrip() + b",ID\n", "o1,pen,1,1,1", "o1,pen,1,2,1"))
    for rows in ("1,A 2,A 2,B", "1,A 2,A 2,B 3,B 3,C 3,D", "1,A 1,B 2,B"):
        customers = lines(customers_with_id, *(f"{row},a,b,x" for row in rows.split()))
        yield day(f"ids of refused customers {rows}", customers)
    yield day("a reference twice, all cells the same", customers=lines(CUSTOMERS, "c1,Ada,Lovelace,active"))
    yield day("a reference twice, other cells", customers=lines(CUSTOMERS, "c1,Ada,King,active"))
    yield day("an order twice, all cells the same", orders=lines(ORDERS, "c1,sent,o1,1643646722"))
    yield day("an order twice, other cells", orders=lines(ORDERS, "c1,open,o1,1643646722"))
    yield day("an order twice, of another customer", orders=lines(ORDERS, "c2,sent,o1,7", "c2,sent,o2,soon"))
    yield with_items("an item twice", "o1,pen,1,12.50")
    yield with_items("refused items name orders", "o1,pen,1,free", "o2,pen,x,1")
    bad_order = lines(ORDERS, "c2,sent,o3,yesterday")
    yield day("items of a refused order", orders=bad_order, items=lines(ITEMS, "o3,pen,1,1", "o3,ink,1,x"))
    yield day(
        "an order accepted and refused", orders=lines(ORDERS, "c2,sent,o1,soon"), items=lines(ITEMS, "o1,pen,1,free")
    )
    yield day(
        "refused orders with one reference",
        orders=lines(ORDERS, "c9,sent,o3,1643646722", "c2,sent,o3,x", "c1,sent,o3,x"),
        items=lines(ITEMS, "o3,pen,1,1"),
    )
    yield day(
        "records that name no known customer",
        orders=lines(ORDERS, "c9,sent,o9,1643646722", "c1,sent"),
        items=lines(ITEMS, "o9,pen,1,1", "o8,pen,1,1", "o1,pen,1"),
    )
    yield day(
        "an order whose cells can't be assigned",
        orders=lines(ORDERS, "c2,sent, by post,o3,1"),
        items=lines(ITEMS, "o3,a,1,1"),
    )
    yield day("a refused customer with orders", customers=lines(CUSTOMER_HEADER, "c1,Ada", "c2,Alan,Turing,active"))
    cut = ("o1,pen,1", "o1,pen,1,1,1", "pen,1,o1", "\u00a0o1,pen,1", '"o1",1', '"o1","pen, red",1,1,x')
    yield with_items("records with wrong cells that name an order", *cut)
    yield with_items("two records on one line", "o1,pen,1,1o8,ink,1,1", "o1,pen,1,1,o2,ink,1,1")
    yield day(
        "one order on the left and another on the right",
        orders=lines(ORDERS, "c2,sent,o3,1"),
        items=b"item_name,order_reference,quantity,total_price\npen,o1,o3,1,1\n",
    )
    yield with_items("wrong quotes that name an order", 'o1,"pen"x,1,1', '"o2" ,pen,1,1', 'x,"y"z,1,o1')
    yield with_items("wrong quotes over several lines", 'o1,"pen\n\n# a note\nred" x,1,1')
    yield with_items("bad UTF-8 that names an order", b"o1,\xff,1,1", b"\xff,pen,1,o1", b"\xff,pen,1,1")


def _amounts() -> Iterator[Day]:
    """Amounts and decimal marks."""
    semicolons = ITEM_HEADER.replace(b",", b";")
    for prices in (
        ["12", "1,234"],
        ["1,234,567", "-1,000", "1.5"],
        ["1,234,567", "-1,000", "1,5"],
        ["1,234.50"],
        ["1,234", "1,5"],
        ["1.5", "1,5"],
        ["1,5", "2,5", "2.5"],
        ["0,125", "1234,567"],
        ["TBD, see mail", "1.5"],
    ):
        yield day(f"amounts {prices}", items=lines(semicolons, *(f"o1;pen;1;{price}" for price in prices)))
    for mark in ("point", "comma"):
        items = lines(semicolons, "o1;pen;1;1.234")
        yield day(f"the decimal mark is a {mark}", items=items, options={"decimal_mark": mark})
    yield with_items("an amount that groups, among amounts with commas", "o1,pen,1,1.250.000", "o1,pen,1,12.500")
    yield with_items("an amount that groups, among others", "o1,pen,1,1.250.000", "o1,pen,1,12.50", 'o1,a,1,"1,5"')
    wrong = ("", "-", "+1", "1.", ".5", "1.23456", "1e5", "NaN", "inf", "€ 3", "3 €", "1 000", "--1", "1-", "0x1", "٣")
    yield with_items("amounts that are none", *(f"o1,pen,1,{text}" for text in wrong))
    right = ("-0", "-0.0001", "99999999999999.9999", "-99999999999999.9999", "007.10", " 1.5 ", "0")
    yield with_items("amounts at the limits", *(f"o1,pen,1,{text}" for text in right), "o1,pen,1,999999999999999")
    yield with_items("sums where floats are not exact", *["o1,pen,1,0.1"] * 30, *["o2,pen,1,99999999999999.9999"] * 30)
    yield day(
        "a European file",
        b"\xef\xbb\xbfCustomer_Reference;First_Name;Last_Name;Status\r\nc1 ;Zo\xc3\xab;M;active",
        b"\xef\xbb\xbf" + (ORDER_HEADER + b"c1,sent,o1,1643646722\nc1,sent,o1 ,1643646723").replace(b",", b";"),
        b"\xef\xbb\xbf" + semicolons + b"o1;pen;1;12,50\r\no1 ;ink;2;75",
    )


def _runs() -> Iterator[Day]:
    """Days that are held, limits of messages, and corrections."""
    # The product needs a few control characters for itself, which the reference does not know.
    controls = bytes({*range(1, 32)} - {*b"\t\n\r"})
    yield day("all control characters", customers=CUSTOMERS + controls, options={"threads": 1})
    bad = [f"o1,pen,1,{number}.5.5" for number in range(23)]
    yield with_items("held", *bad, options={"max_refused_percent": 20})
    yield with_items("below the limit of refused records", *bad[:20], options={"max_refused_percent": 20})
    empty = {"customers": lines(CUSTOMER_HEADER, ",a,b,c"), "orders": lines(ORDER_HEADER, "c1,sent,o1,1")}
    yield day("held for three files", **empty, items=lines(ITEMS, *bad), options={"max_refused_percent": 100})
    yield day("no records with a gate", items=ITEM_HEADER, options={"max_refused_percent": 0})
    yield with_items("more errors than messages", *bad[:5], options={"max_error_messages": 2})
    yield with_items("more errors of a code than examples", *bad, "o9,pen,1,1", options={"max_error_messages": 3})
    yield day("too large when unpacked", items=gzip.compress(ITEMS * 3, mtime=0), options={"max_unpacked": 100})
    stale, standing = "error#orders#0000000003#not_a_timestamp", "error#items#0000000004#unknown_order"
    previous = {
        "previous_errors": frozenset({stale, standing}),
        "previous_customers": (("c1", "c8", "c9"), ("c2", "c7", "c9")),
    }
    yield with_items("a correction that removes, in chunks", "o9,x,1,1", **previous, options={"chunk_records": 5})
    yield with_items("a correction that is held", *bad, **previous, options={"max_refused_percent": 20})
    yield day("a correction that is refused", customers=b"", **previous)
    many = lines(CUSTOMER_HEADER, *(f"c{number},a,b,c" for number in range(25)))
    yield day("results in chunks", many, items=lines(ITEMS, *["o9,x,1,1"] * 3), options={"chunk_records": 10})
