"""Two hundred generated days with bad records of every kind: the same bytes for ever, whatever else changes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .days import KINDS, Day, constructed_days, stored_days

DAYS = 200
COLUMNS = {
    "customers": ("customer_reference", "first_name", "last_name", "status"),
    "orders": ("customer_reference", "order_status", "order_reference", "order_timestamp"),
    "items": ("order_reference", "item_name", "quantity", "total_price"),
}
NAMES = ("Zoë", "O'Brien", "Müller", "名前", "van der Berg", "", "=SUM(A1)", "Kowalski ", "👍🏽", "x" * 60, "a\u200bb")
BLANKS = (" ", "\t", "\u00a0", "  ", "\ufeff", "\u200b")
WRONG = {
    "quantity": ("two", "1.5", "", "9223372036854775808", "1 1", "٣", "+1"),
    "order_timestamp": ("yesterday", "", "1643646722.5", "2022-01-31", "-5", "9" * 20),
    "total_price": ("free", "", "€ 3", "1e5", "NaN", "1.23456", "1 000", "--1", "1.2.3", "12,5,1", ".5"),
}
Row = list[str]


def all_days() -> Iterator[Day]:
    """Yield every day whose outputs are recorded."""
    yield from stored_days()
    yield from constructed_days()
    yield from generated_days()


def generated_days() -> Iterator[Day]:
    """Yield the days."""
    for number in range(DAYS):
        yield _day(number)


def _day(number: int) -> Day:
    choose = random.Random(f"recorded day {number}")
    rows = _records(choose)
    customers = sorted({row[0] for row in rows["customers"]})
    options: dict[str, Any] = {"chunk_records": choose.choice((7, 100, 5000))}
    if choose.random() < 0.4:
        options["max_refused_percent"] = choose.choice((0, 5, 20, 50))
    if choose.random() < 0.15:
        options["max_error_messages"] = choose.choice((1, 3))
    files = {}
    for kind in KINDS:
        share = choose.choice((0, 0.1, 0.3, 0.8))
        damaged = [record for row in rows[kind] for record in _records_for(choose, kind, row, share)]
        files[kind] = _file(choose, kind, damaged)
    versions: tuple[tuple[str, ...], ...] = ()
    errors: frozenset[str] = frozenset()
    if choose.random() < 0.35:
        known = [*customers, "gone-1", "gone-2", "Gone 名"]
        versions = tuple(
            tuple(sorted(choose.sample(known, choose.randint(1, len(known))))) for _ in range(choose.randint(1, 3))
        )
        codes = ("not_an_amount", "unknown_order", "wrong_cell_count", "bad_quoting")
        errors = frozenset(
            f"error#items#{choose.randint(2, 12):010}#{choose.choice(codes)}" for _ in range(choose.randint(0, 6))
        )
    packed = frozenset(kind for kind in KINDS if choose.random() < 0.15)
    return Day(f"generated {number:03}", files, packed, options, errors, versions)


def _records(choose: random.Random) -> dict[str, list[Row]]:
    """Good records, with some order of their own; a day in ten is large enough to be held."""
    size = 40 if choose.random() < 0.1 else choose.randint(0, 9)
    customers = [_reference(choose, "c", number) for number in range(size)]
    rows: dict[str, list[Row]] = {
        "customers": [[customer, choose.choice(NAMES), choose.choice(NAMES), "Active"] for customer in customers],
        "orders": [],
        "items": [],
    }
    for customer in customers:
        for _ in range(choose.randint(0, 3)):
            order = _reference(choose, "o", len(rows["orders"]))
            moment = str(1643587200 + choose.randint(0, 86399))
            rows["orders"].append([customer, choose.choice(("Placed", "Sent, late")), order, moment])
            for _ in range(choose.randint(0, 3)):
                cents = choose.randint(-500, 99999)
                price = f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"
                rows["items"].append([order, choose.choice(NAMES), str(choose.randint(1, 9)), price])
    if choose.random() < 0.5:
        for kind in KINDS:
            choose.shuffle(rows[kind])
    return rows


def _reference(choose: random.Random, letter: str, number: int) -> str:
    return choose.choice((f"{letter}{number}", f"{letter}-{number:04x}", f"{letter.upper()}é/{number}"))


def _records_for(choose: random.Random, kind: str, row: Row, share: float) -> list[Row | bytes]:
    """The record, or what is written in its place; bytes are written as they are."""
    if choose.random() >= share:
        return [row]
    place = {"customers": (0,), "orders": (0, 2), "items": (0,)}[kind]
    typed = [index for index, column in enumerate(COLUMNS[kind]) if column in WRONG]
    other = [*row[:1], "other", *row[2:]]
    changes: list[Callable[[], Sequence[Row | bytes]]] = [
        lambda: [row, list(row)],
        lambda: [row, other],
        lambda: [_with(row, choose.choice(place), choose.choice(("", " ", "nobody", "r" * 1025, "--", "\u00a0")))],
        lambda: [_with(row, choose.choice(place), choose.choice(BLANKS) + row[0] + choose.choice(BLANKS))],
        lambda: [row[: choose.randint(1, 3)]],
        lambda: [[*row, choose.choice(("", "x", row[0]))]],
        lambda: [[*row, *row]],
        lambda: [["", *row[:3]]],
        lambda: [row, [""] * choose.randint(1, 6)],
        lambda: [_with(row, 1, choose.choice(("two\nlines", "a\r\nb", 'say "hi"', "a,b;c|d\te")))],
        lambda: [row, b"@HEADER"],
        lambda: [b"@BAD_UTF8" + row[0].encode()],
        lambda: [b"@STRAY" + row[0].encode()],
        lambda: [row, b"@BLANK"],
    ]
    if typed:
        index = choose.choice(typed)
        changes += [lambda: [_with(row, index, choose.choice(WRONG[COLUMNS[kind][index]]))]] * 5
    return list(choose.choice(changes)())


def _with(row: Row, index: int, cell: str) -> Row:
    return [*row[:index], cell, *row[index + 1 :]]


def _file(choose: random.Random, kind: str, records: list[Row | bytes]) -> bytes:
    """A file in some dialect; one in twenty-five can't be used."""
    delimiter = choose.choice((",", ",", ",", ";", "\t", "|"))
    end = choose.choice(("\n", "\n", "\r\n", "\r"))
    quotes = choose.choice(("needed", "needed", "all", "some"))
    names = list(COLUMNS[kind])
    order = list(range(len(names)))
    if choose.random() < 0.3:
        choose.shuffle(order)
    has_ids = choose.random() < 0.3
    has_note = choose.random() < 0.2
    has_comma = kind == "items" and delimiter != "," and choose.random() < 0.5
    ids = 0

    def cells(row: Row) -> Row:
        nonlocal ids
        ids += 1
        if len(row) == len(names):
            row = [row[index] for index in order]
        extra = [str(choose.choice((ids, ids, ids, ids, 1, "", f"0{ids}", "x")))] if has_ids else []
        return [*extra, *row, *(["note"] if has_note else [])]

    def text(row: Row) -> str:
        return delimiter.join(_quoted(choose, cell, delimiter, quotes) for cell in row)

    def amounts(row: Row) -> Row:
        return [*row[:3], *(cell.replace(".", ",") for cell in row[3:4]), *row[4:]] if has_comma else row

    header_row = [*(["id"] if has_ids else []), *(names[index] for index in order), *(["note"] if has_note else [])]
    if choose.random() < 0.3:
        header_row = [choose.choice((name.upper(), f" {name} ", name.title())) for name in header_row]
    header = text(header_row).encode()
    written = [header]
    for record in records:
        if isinstance(record, bytes):
            written.append(_bytes(choose, record, header, delimiter))
        else:
            written.append(text(cells(amounts(record))).encode())
    content = end.encode().join(written) + choose.choice((b"", end.encode(), end.encode(), end.encode() * 3))
    if choose.random() < 0.2:
        content = b"\xef\xbb\xbf" + content
    unusable: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: content + b'"',
        lambda: content.replace(names[0].encode(), b"other"),
        lambda: content + b"\0",
        lambda: content.decode(errors="replace").encode("utf-16"),
        lambda: content[: len(content) // 2],
        lambda: content + end.encode() + delimiter.encode().join(name.encode() for name in reversed(names)),
    ]
    return choose.choice(unusable)() if choose.random() < 0.04 else content


def _quoted(choose: random.Random, cell: str, delimiter: str, quotes: str) -> str:
    needs = any(character in cell for character in (delimiter, '"', "\n", "\r"))
    if needs or quotes == "all" or (quotes == "some" and choose.random() < 0.3):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def _bytes(choose: random.Random, mark: bytes, header: bytes, delimiter: str) -> bytes:
    """A line that is no proper record: a repeated header, bad UTF-8, stray quotes, or a blank line."""
    by = delimiter.encode()
    if mark == b"@HEADER":
        return choose.choice((header, header.upper()))
    if mark == b"@BLANK":
        return choose.choice((b"", b"  ", b"\t", by * 3))
    if mark.startswith(b"@BAD_UTF8"):
        reference = mark.removeprefix(b"@BAD_UTF8")
        return by.join((reference, choose.choice((b"\xff", b"\xc3", b"\xed\xa0\x80")), b"1", b"1"))
    reference = mark.removeprefix(b"@STRAY")
    line = by.join((reference, b"pen", b"1", b"1"))
    return choose.choice(
        (
            by.join((reference, b'"pen"x', b"1", b"1")),
            by.join((reference, b' "pen"', b"1", b"1")),
            by.join((reference, b'"pen', b"1", b"1\n")) + line + b"\n" + by.join((reference, b'pen"', b"1", b"1")),
            by.join((reference, b'"pen', b"1", b"1\n")) + line + b"\n" + by.join((reference, b'"pen"', b"1", b"1")),
            by.join((reference, b'5" pen', b"1", b"1")),
        )
    )
