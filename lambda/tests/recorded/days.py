"""The days whose outputs are recorded. Nothing of the product is used, so a day changes only where this folder does."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data"
BATCH = "20220131"
KINDS = ("customers", "orders", "items")

CUSTOMER_HEADER = b"customer_reference,first_name,last_name,status\n"
ORDER_HEADER = b"customer_reference,order_status,order_reference,order_timestamp\n"
ITEM_HEADER = b"order_reference,item_name,quantity,total_price\n"
CUSTOMERS = CUSTOMER_HEADER + b"c1,Ada,Lovelace,active\nc2,Alan,Turing,active\n"
ORDERS = ORDER_HEADER + b"c1,sent,o1,1643646722\nc1,sent,o2,1643646723\n"
ITEMS = ITEM_HEADER + b"o1,pen,1,12.50\no2,ink,2,75.00\n"


@dataclass(frozen=True, slots=True)
class Day:
    """The files of a day by kind, the options of its run, and what earlier versions delivered."""

    name: str
    files: Mapping[str, bytes]
    packed: frozenset[str] = frozenset()
    """Kinds whose files are sent with gzip."""
    options: Mapping[str, Any] = field(default_factory=dict)
    previous_errors: frozenset[str] = frozenset()
    previous_customers: tuple[tuple[str, ...], ...] = ()
    """The customers that each earlier version delivered."""

    def content(self, kind: str) -> bytes:
        """The bytes of a file as they are sent."""
        return gzip.compress(self.files[kind], mtime=0) if kind in self.packed else self.files[kind]


def stored_days() -> Iterator[Day]:
    """Yield the days of the catalogue under `data/`: the good one, and one for each defect."""
    good = {path.name.split("_")[0]: path.read_bytes() for path in (DATA / "good").iterdir()}
    yield Day("good", good)
    for folder in sorted((DATA / "defects").iterdir()):
        defective = {path.name.split("_")[0]: path.read_bytes() for path in folder.iterdir()}
        yield Day(f"defect {folder.name}", {**good, **defective})


def day(name: str, customers: bytes = CUSTOMERS, orders: bytes = ORDERS, items: bytes = ITEMS, **more: Any) -> Day:
    """A good day, or one with some other file."""
    return Day(name, {"customers": customers, "orders": orders, "items": items}, **more)


def lines(header: bytes, *records: bytes | str) -> bytes:
    """A file of these records."""
    return header + b"".join((record.encode() if isinstance(record, str) else record) + b"\n" for record in records)


def all_files(name: str, change: Callable[[bytes], bytes], **more: Any) -> Day:
    """A good day each of whose files is changed."""
    return day(name, change(CUSTOMERS), change(ORDERS), change(ITEMS), **more)


def with_items(name: str, *records: bytes | str, **more: Any) -> Day:
    """A good day with more items."""
    return day(name, items=lines(ITEMS, *records), **more)


def constructed_days() -> Iterator[Day]:
    """Yield the days that the tests of reading, joining and error codes construct, one trap each."""
    yield from (*_files(), *_line_ends(), *_cells(), *_relations(), *_amounts(), *_runs())


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
        "control characters": CUSTOMERS + bytes(range(1, 9)) + bytes(range(11, 13)) + bytes(range(14, 32)),
        "a zip": b"PK\x03\x04\x14\0\x06\0",
        "HTML": b"\r\n <html>",
        "XML": b"<?xml version='1.0'?>",
        "a quote before the header": b'"' + CUSTOMERS,
        "no header": b"c1,Ada,Lovelace,active\n",
        "colons": CUSTOMERS.replace(b",", b":"),
        "a column twice": b"id,ID," + CUSTOMERS,
        "a gzip without its end": packed[:-1],
        "a gzip with text after it": packed + b"trailing",
        "a quote never closed": CUSTOMERS + b'c3,"Grace,Hopper,active\n' + b"c4,a,b,c\n" * 50,
    }
    for name, content in refused.items():
        yield day(name, customers=content)
    yield day("only headers", CUSTOMER_HEADER.rstrip(), ORDER_HEADER, ITEM_HEADER)
    yield day("no header end", CUSTOMER_HEADER.rstrip())
    yield day("two refused files", customers=b"", items=ITEMS + b'"')
    yield day(
        "quotes never closed in two files",
        orders=ORDERS + b'c1,"x",o7,1\n' * 1000 + b'c1,"x,o7,1\n',
        items=ITEMS + b'o1,"pen",1,1\n' * 1000 + b'o1,"pen,1,1\n',
    )
    yield day("blank lines before the header", customers=b"\n\n" + CUSTOMERS, items=b"  \n" + ITEMS)
    yield day("gzip of two members", gzip.compress(CUSTOMERS, mtime=0) + gzip.compress(b"c3,Grace,H,a\n", mtime=0))
    yield all_files("gzip", bytes, packed=frozenset(KINDS))
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
    yield day("a second header in the same order", items=ITEMS + ITEMS.upper().splitlines()[0] + b"\no1,pen,1,1\n")
    yield day(
        "a second header in another order",
        orders=lines(ORDERS, 'c1,"a\nb",o3,1', "id,customer_reference,order_status,order_reference,order_timestamp"),
    )
    yield day("records that mention columns", lines(CUSTOMERS, "c3,customer_reference,x,y", "customer_reference,a,b,c"))


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
    odd = b"\no1\n,,,\n   \no1,pen,1,2,3\no1;pen;1;2\n\t\n"
    yield day("odd lines", items=ITEMS + odd + b"o1,pen,1,0.5\n" + odd)
    yield day("odd lines with CRLF", items=(ITEMS + odd + b"o1,pen,1,0.5\n" + odd).replace(b"\n", b"\r\n"))
    yield all_files("all cells in quotes", _with_quotes)
    yield with_items("a name with a line end", b'o1,"two\nlines",1,1', b'o1,"pen, red\r\nand, blue",1,2')
    yield with_items("quotes in quotes", b'o1,"a ""red"" pen",1,1', b'"o1","a,""b""","1","2"')
    yield with_items("quotes inside a cell", b'o1,5" pen,1,1', b'o1,a"red"pen,1,1')
    yield with_items("blanks around quotes", b'o1, "pen",1,1', b'o1,"pen" ,1,1', b'o1,\t"pen",1,1')
    yield with_items("text after a closing quote", b'o1,"pen"x,1,1', b'o1,"pen"x,1')
    two = b"o1,pen,1,1\no1,ink,1,2\n"
    yield with_items("a stray quote up to the next", b'o1,"pen,1,1\n' + two + b'\no2,"cap",1,3\no2,nib,1,4')
    yield with_items("two stray quotes around lines", b'o1,"pen,1,1\n' + two + b'o2,cap",1,3')
    yield with_items("bad UTF-8 between stray quotes", b'o1,"pen,1,1\no1,\xff,1,1\no2,"cap",1,3')
    some = b'o1,"two\nlines",1,1\n\no1,"pen,1,1\no1,ink",1,2\no1,"nib,1,1\n\no2,"cap",1,3\n'
    yield with_items("all kinds of records of several lines", some * 3 + b"o1,pen,1,last")
    yield day("all of them with CR", items=(ITEMS + some * 3 + b"o1,pen,1,last\n").replace(b"\n", b"\r"))


def _cells() -> Iterator[Day]:
    """The text of cells: references, numbers, characters."""
    for damage in (b"\xff", b"\xc3", b"\xe2\x82", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"):
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
    for cell in (" o1", "o1\t", "\u00a0o1 ", "\ufeffo1", "o1\u200b", "", " ", "x" * 1025, "O1", "--", "\x01"):
        yield with_items(f"item of order {cell[:9]!r}", f"{cell},pen,1,1", "o9,pen,1,1")
        customer = cell.replace("o1", "c2").replace("O1", "C2")
        yield day(f"order of customer {customer[:9]!r}", orders=lines(ORDERS, f"{customer},x,o3,1", "c1,x,o3,1"))
        yield day(f"customer {customer[:9]!r}", customers=lines(CUSTOMERS, f"{customer},a,b,c", "c3,a,b,c"))
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
    yield day("a record of a million bytes", CUSTOMERS + b"c3," + b"x" * 1_000_000 + b",y,z\nc4,a,b,c\n")
    long_quoted = b'c3,"' + (b"x" * 999 + b"\n") * 1100 + b'",b,c\n'
    yield day("a record of a million bytes in quotes", CUSTOMERS + long_quoted + b"c4,a,b,c\n,a,b,c\n")
    yield day("a long record of several lines", CUSTOMERS + b'c3,"' + b"x" * 99 + b'\n",b,c\n,a,b,c\n')


def _relations() -> Iterator[Day]:
    """Rules between records, and totals that are incomplete."""
    with_id = b"id," + ITEM_HEADER
    yield day(
        "dependents of refused records",
        lines(b"id," + CUSTOMER_HEADER, "1,c1,a,b,c", "1,c2,a,b,c", "3,c1,a,b,c"),
        lines(ORDERS, "c2,sent,o3,1", "c3,sent,o4,1"),
        lines(ITEMS, "o3,pen,1,1", "o4,pen,1,2", "o5,pen,1,3"),
    )
    yield day(
        "a duplicate of a refused record",
        orders=lines(ORDER_HEADER, "c9,sent,o1,1", "c1,sent,o1,soon", "c2,sent,o1,3", "c1,sent,o1,4", "c1,sent,o2,1"),
    )
    for ids in (
        ["1", "2", "2"],
        ["a", "b", "a"],
        ["1", "01", "1"],
        ["9" * 30, "x", "9" * 30],
        ["5", "6", "\u00a05"],
        ["a", "\u00a0", "a\u00a0"],
        ["5 ", " ", "5\t"],
        ["7", "07", "-7"],
        ["x-1", "x-1", "1.5"],
    ):
        yield day(f"ids {ids}", items=lines(with_id, *(f"{row_id},o1,pen,1,1" for row_id in [*ids, "", "", "8"])))
    yield day("ids as last column", items=lines(ITEM_HEADER.rstrip() + b",ID\n", "o1,pen,1,1,1", "o1,pen,1,2,1"))
    yield day("a reference twice, all cells the same", customers=lines(CUSTOMERS, "c1,Ada,Lovelace,active"))
    yield day("a reference twice, other cells", customers=lines(CUSTOMERS, "c1,Ada,King,active"))
    yield day("an order twice, all cells the same", orders=lines(ORDERS, "c1,sent,o1,1643646722"))
    yield day("an order twice, of another customer", orders=lines(ORDERS, "c2,sent,o1,1643646722"))
    yield with_items("an item twice", "o1,pen,1,12.50")
    yield day("a refused order names a customer", orders=lines(ORDERS, "c2,sent,o3,yesterday"))
    yield with_items("refused items name orders", "o1,pen,1,free", "o2,pen,x,1")
    bad_order = lines(ORDERS, "c2,sent,o3,yesterday")
    yield day("items of a refused order", orders=bad_order, items=lines(ITEMS, "o3,pen,1,1", "o3,ink,1,x"))
    yield day(
        "an order accepted and refused",
        orders=lines(ORDERS, "c2,sent,o1,1643646722"),
        items=lines(ITEMS, "o1,pen,1,free"),
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
    yield day("a refused customer with orders", customers=lines(CUSTOMER_HEADER, "c1,Ada", "c2,Alan,Turing,active"))
    cut = ("o1,pen,1", "o1,pen,1,1,1", "pen,1,o1", "\u00a0o1,pen,1", '"o1",1', "o1,pen,1,1,o2,ink,1,1")
    yield with_items("records with wrong cells that name an order", *cut)
    yield with_items("wrong quotes that name an order", 'o1,"pen"x,1,1', '"o2" ,pen,1,1', 'x,"y"z,1,o1')
    yield with_items("bad UTF-8 that names an order", b"o1,\xff,1,1", b"\xff,pen,1,o1", b"\xff,pen,1,1")


def _amounts() -> Iterator[Day]:
    """Amounts and decimal marks."""
    for prices in (
        ["12", "1,234"],
        ["1,234,567", "-1,000", "1.5"],
        ["1,234.50"],
        ["1.234,50", "2,5"],
        ["1,234", "1,5"],
        ["1,2345"],
        ["12", "1.5"],
        ["1,5", "2,5", "2.5"],
        ["1.5", "2,5"],
        ["1.234", "2.5"],
        ["12,50", "0,125", "-3"],
    ):
        items = lines(ITEM_HEADER.replace(b",", b";"), *(f"o1;pen;1;{price}" for price in prices))
        yield day(f"semicolons, amounts {prices}", items=items)
        yield with_items(f"commas, amounts {prices}", *(f'o1,pen,1,"{price}"' for price in prices))
    wrong = ("", "-", "+1", "1.", ".5", "1.23456", "1e5", "NaN", "inf", "€ 3", "3 €", "1 000", "--1", "1-", "0x1", "٣")
    yield with_items("amounts that are none", *(f"o1,pen,1,{text}" for text in wrong))
    right = ("-0", "-0.0001", "99999999999999.9999", "-99999999999999.9999", "007.10", " 1.5 ", "0")
    yield with_items("amounts at the limits", *(f"o1,pen,1,{text}" for text in right), "o1,pen,1,999999999999999")
    yield with_items("sums where floats are not exact", *["o1,pen,1,0.1"] * 30, *["o2,pen,1,99999999999999.9999"] * 30)
    yield day(
        "a European file",
        b"\xef\xbb\xbfCustomer_Reference;First_Name;Last_Name;Status\r\nc1 ;Zo\xc3\xab;M;active",
        b"\xef\xbb\xbf" + (ORDER_HEADER + b"c1,sent,o1,1643646722\nc1,sent,o1 ,1643646723").replace(b",", b";"),
        b"\xef\xbb\xbf" + ITEM_HEADER.replace(b",", b";") + b"o1;pen;1;12,50\r\no1 ;ink;2;75",
    )


def _runs() -> Iterator[Day]:
    """Days that are held, limits of messages, and corrections."""
    bad = [f"o1,pen,1,{number}.5.5" for number in range(23)]
    yield with_items("held", *bad, options={"max_refused_percent": 20})
    yield with_items("above the limit of refused records, without gate", *bad)
    yield with_items("below the limit of refused records", *bad[:20], options={"max_refused_percent": 20})
    empty = {"customers": lines(CUSTOMER_HEADER, ",a,b,c"), "orders": lines(ORDER_HEADER, "c1,sent,o1,1")}
    yield day("held for three files", **empty, items=lines(ITEMS, *bad), options={"max_refused_percent": 100})
    yield day("no records with a gate", items=ITEM_HEADER, options={"max_refused_percent": 0})
    yield with_items("more errors than messages", *bad[:5], options={"max_error_messages": 2})
    yield with_items("more errors of a code than examples", *bad, "o9,pen,1,1", options={"max_error_messages": 3})
    yield with_items("held with few messages", *bad, options={"max_refused_percent": 20, "max_error_messages": 2})
    yield day("too large when unpacked", items=ITEMS * 3, packed=frozenset({"items"}), options={"max_unpacked": 100})
    stale, standing = "error#orders#0000000003#not_a_timestamp", "error#items#0000000004#unknown_order"
    previous = {
        "previous_errors": frozenset({stale, standing}),
        "previous_customers": (("c1", "c8", "c9"), ("c2", "c7", "c9")),
    }
    yield with_items("a correction that removes", "o9,x,1,1", **previous)
    yield with_items("a correction that removes, in chunks", "o9,x,1,1", **previous, options={"chunk_records": 5})
    yield with_items("a correction that is held", *bad, **previous, options={"max_refused_percent": 20})
    yield day("a correction that is refused", customers=b"", **previous)
    many = lines(CUSTOMER_HEADER, *(f"c{number},a,b,c" for number in range(25)))
    yield day("results in chunks", many, items=lines(ITEMS, *["o9,x,1,1"] * 3), options={"chunk_records": 10})
