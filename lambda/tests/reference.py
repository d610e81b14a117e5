"""The pipeline's rules a second time, in plain Python: slow, simple, and written from the rules alone.

It shares no code with the product. A batch goes in as bytes; out come each customer's figures, and each refused
record with its line, code, references and text, or the reason why a file refuses the batch.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, getcontext

getcontext().prec = 60

COLUMNS = {
    "customers": ("customer_reference", "first_name", "last_name", "status"),
    "orders": ("customer_reference", "order_status", "order_reference", "order_timestamp"),
    "items": ("order_reference", "item_name", "quantity", "total_price"),
}
BLANKS = " \t\r\n\u00a0"
DIGITS = set("0123456789")


@dataclass
class Refused:
    """One refused record, or a refused file where `line` is None."""

    kind: str
    line: int | None
    code: str
    customer_reference: str | None = None
    order_reference: str | None = None
    record: str = ""


@dataclass
class Result:
    """What the rules make of a batch."""

    customers: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    incomplete: dict[str, int] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    refused_files: list[Refused] = field(default_factory=list)


class FileError(Exception):
    """The file as a whole is refused."""


@dataclass
class Record:
    """A record as it stands in the file: its first line, its bytes, and its cells where the quotes are right."""

    line: int
    raw: bytes
    cells: list[bytes] | None
    code: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    amount: Decimal | None = None


def tokenize(data: bytes, delimiter: int, first_record_only: bool = False) -> list[Record]:
    """Cut the bytes into records, character by character."""
    records: list[Record] = []
    line = start_line = 1
    start = 0
    cells: list[bytes] = []
    cell = bytearray()
    state = "start"

    def end_record(end: int) -> None:
        nonlocal cells, cell
        ok = state != "bad"
        cells.append(bytes(cell))
        records.append(Record(start_line, data[start:end], cells if ok else None))
        cells, cell = [], bytearray()

    for position, char in enumerate(data):
        if char == 10:
            line += 1
        if state == "quoted":
            if char == 34:
                state = "quote"
            else:
                cell.append(char)
            continue
        if char == 10:
            end_record(position)
            if first_record_only and records[-1].raw.strip(b" "):
                return records
            start, start_line, state = position + 1, line, "start"
        elif state == "bad":
            pass
        elif state == "quote" and char == 34:
            cell.append(char)
            state = "quoted"
        elif char == delimiter:
            cells.append(bytes(cell))
            cell = bytearray()
            state = "start"
        elif state == "quote":
            state = "bad"
        elif state == "start" and char == 34:
            # Blanks before an opening quote make it no opening quote.
            state = "bad" if cell else "quoted"
        else:
            if state == "start" and char not in b" \t":
                state = "text"
            cell.append(char)
    if state == "quoted":
        raise FileError("unclosed_quote")
    if start < len(data):
        end_record(len(data))
    return records


def unpack(data: bytes) -> bytes:
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error):
            raise FileError("damaged_gzip") from None
    if not data:
        raise FileError("empty_file")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise FileError("utf16_file")
    if len(data) > 3 and (data[0] == data[2] == 0 or data[1] == data[3] == 0):
        raise FileError("utf16_file")
    data = data.removeprefix(b"\xef\xbb\xbf")
    start = data.lstrip(b" \t\n\r\x0b\f").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body", b"<!--")):
        raise FileError("html_file")
    if b"\0" in data:
        raise FileError("binary_file")
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def read_header(kind: str, data: bytes) -> tuple[int, list[str]]:
    if not data.replace(b"\n", b"").strip(b" "):
        raise FileError("empty_file")
    readings = []
    for delimiter in b",;\t|":
        try:
            header = tokenize(data, delimiter, first_record_only=True)[-1]
        except FileError:
            continue
        names = [cell.decode("utf-8", "replace").strip(BLANKS).lower() for cell in header.cells or []]
        readings.append((delimiter, names))
    fitting = [(delimiter, names) for delimiter, names in readings if set(COLUMNS[kind]) <= set(names)]
    if len(fitting) != 1:
        raise FileError("missing_column")
    delimiter, names = fitting[0]
    if any(names.count(name) > 1 for name in (*COLUMNS[kind], "id")):
        raise FileError("repeated_column")
    return delimiter, names


def is_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return bool(digits) and set(digits) <= DIGITS and -(2**63) <= int(text) < 2**63


def amount_of(text: str, mark: str) -> Decimal | None:
    whole, found, decimals = text.removeprefix("-").partition(mark)
    if not 1 <= len(whole) <= 14 or not set(whole) <= DIGITS:
        return None
    if found and (not 1 <= len(decimals) <= 4 or not set(decimals) <= DIGITS):
        return None
    return Decimal(text.replace(mark, "."))


def split_at_wrong_quotes(record: Record, delimiter: int, columns: int) -> list[Record]:
    """A record over several lines whose quotes are wrong, or may be, is refused with each of its lines."""
    lines = record.raw.split(b"\n")
    if len(lines) == 1:
        return [record]
    if record.cells is None:
        code = "bad_quoting"
    elif all(line.count(bytes([delimiter])) + 1 == columns for line in lines):
        code = "doubtful_quoting"
    else:
        return [record]
    return [Record(record.line + number, line, None, code) for number, line in enumerate(lines)]


def column_names(record: Record) -> list[str]:
    return [cell.decode("utf-8", "replace").strip(BLANKS).lower() for cell in record.cells or []]


def refuse_second_header(kind: str, records: list[Record], names: list[str]) -> None:
    for record in records:
        if record.code in ("not_utf8", "record_too_long"):
            continue
        found = column_names(record)
        if set(COLUMNS[kind]) <= set(found) and found != names:
            raise FileError("second_header")


def decimal_mark(delimiter: int, prices: list[str]) -> str:
    followers = [follower for price in prices for follower in price.split(",")[1:]]
    if delimiter == ord(",") or not followers:
        return "."
    digits = [len(follower) - len(follower.lstrip("0123456789")) for follower in followers]
    if set(digits) == {3}:
        raise FileError("ambiguous_amounts")
    return ","


def check_form(record: Record, names: list[str]) -> None:
    """The rules about the record as a whole; afterwards its cells have names."""
    try:
        record.raw.decode()
    except UnicodeDecodeError:
        record.code = "not_utf8"
        return
    if len(record.raw) > 1_000_000:
        record.code = "record_too_long"
    elif record.cells is None:
        record.code = record.code or "bad_quoting"
    elif len(record.cells) != len(names):
        record.code = "wrong_cell_count"
    elif column_names(record) == names:
        record.code = "repeated_header"
    else:
        record.values = {name: cell.decode().strip(BLANKS) for name, cell in zip(names, record.cells, strict=True)}


def check_cells(kind: str, record: Record, mark: str) -> None:
    """The rules about single cells, in the order of the columns."""

    def reference(name: str) -> str | None:
        value = record.values[name]
        if not value:
            return "empty_reference"
        return "reference_too_long" if len(value.encode()) > 1024 else None

    def quantity() -> str | None:
        return None if is_integer(record.values["quantity"]) else "not_an_integer"

    def timestamp() -> str | None:
        return None if is_integer(record.values["order_timestamp"]) else "not_a_timestamp"

    def price() -> str | None:
        text = record.values["total_price"]
        record.amount = amount_of(text, mark)
        if record.amount is not None:
            return None
        return "ambiguous_amount" if mark == "," and amount_of(text, ".") is not None else "not_an_amount"

    checks: dict[str, list[Callable[[], str | None]]] = {
        "customers": [lambda: reference("customer_reference")],
        "orders": [lambda: reference("customer_reference"), lambda: reference("order_reference"), timestamp],
        "items": [lambda: reference("order_reference"), quantity, price],
    }
    codes = [check() for check in checks[kind]]
    record.code = next((code for code in codes if code), None)


def refuse_repeated(records: list[Record], column: str, code: str) -> None:
    seen: set[str] = set()
    for record in records:
        value = record.values.get(column)
        if record.code is None and value:
            if value in seen:
                record.code = code
            seen.add(value)


def refuse_orphans(records: list[Record], column: str, parents: list[Record], singular: str) -> None:
    accepted = {record.values[column] for record in parents if record.code is None}
    refused = {record.values[column] for record in parents if record.code and column in record.values}
    for record in records:
        if record.code is None and record.values[column] not in accepted:
            record.code = f"refused_{singular}" if record.values[column] in refused else f"unknown_{singular}"


def reference(files: dict[str, bytes]) -> Result:
    """Apply all rules to a batch."""
    result = Result()
    days: dict[str, list[Record]] = {}
    marks: dict[str, str] = {}
    for kind in COLUMNS:
        try:
            data = unpack(files[kind])
            delimiter, names = read_header(kind, data)
            found = [record for record in tokenize(data, delimiter) if record.raw.strip(b" ")][1:]
            records = [line for record in found for line in split_at_wrong_quotes(record, delimiter, len(names))]
            for record in records:
                check_form(record, names)
            refuse_second_header(kind, records, names)
            marks[kind] = decimal_mark(delimiter, [record.values.get("total_price", "") for record in records])
        except FileError as error:
            result.refused_files.append(Refused(kind, None, str(error)))
            continue
        for record in records:
            if record.code is None:
                check_cells(kind, record, marks[kind])
        days[kind] = records
        result.read[kind] = len(records)
        result.lines[kind] = data.count(b"\n") + (not data.endswith(b"\n"))
    if result.refused_files:
        return result
    customers, orders, items = (days[kind] for kind in COLUMNS)
    refuse_repeated(customers, "id", "duplicate_id")
    refuse_repeated(customers, "customer_reference", "duplicate_reference")
    refuse_orphans(orders, "customer_reference", customers, "customer")
    refuse_repeated(orders, "id", "duplicate_id")
    refuse_repeated(orders, "order_reference", "duplicate_reference")
    refuse_orphans(items, "order_reference", orders, "order")
    refuse_repeated(items, "id", "duplicate_id")
    sums: dict[str, tuple[int, Decimal]] = {
        record.values["customer_reference"]: (0, Decimal(0)) for record in customers if record.code is None
    }
    owner: dict[str, str] = {}
    for record in orders:
        if record.code is None:
            customer = record.values["customer_reference"]
            owner[record.values["order_reference"]] = customer
            sums[customer] = (sums[customer][0] + 1, sums[customer][1])
    for record in items:
        if record.code is None:
            assert record.amount is not None
            customer = owner[record.values["order_reference"]]
            sums[customer] = (sums[customer][0], sums[customer][1] + record.amount)
    result.customers = sums
    for kind, records in days.items():
        result.refused += [refusal(kind, record) for record in records if record.code]
    result.incomplete = count_lost_records(result, owner)
    return result


def count_lost_records(result: Result, owner: dict[str, str]) -> dict[str, int]:
    """Count the refused orders and items of each customer, as far as they can be told."""
    lost: dict[str, int] = {}
    owner_of_refused: dict[str, str] = {}
    for one in result.refused:
        if one.kind == "orders" and one.customer_reference in result.customers:
            lost[one.customer_reference] = lost.get(one.customer_reference, 0) + 1
            if one.order_reference:
                owner_of_refused.setdefault(one.order_reference, one.customer_reference)
    for one in result.refused:
        if one.kind == "items" and one.order_reference:
            customer = owner.get(one.order_reference) or owner_of_refused.get(one.order_reference)
            if customer:
                lost[customer] = lost.get(customer, 0) + 1
    return lost


def refusal(kind: str, record: Record) -> Refused:
    def told(name: str) -> str | None:
        value = record.values.get(name) if name in COLUMNS[kind] else None
        return value if value and len(value.encode()) <= 1024 else None

    text = record.raw.decode("utf-8", "backslashreplace")
    return Refused(kind, record.line, str(record.code), told("customer_reference"), told("order_reference"), text)
