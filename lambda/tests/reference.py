"""The pipeline's rules a second time, in plain Python: slow, simple, and written from the rules alone.

It shares no code with the product. A batch goes in as bytes; out come each customer's figures, and each refused
record with its line, code, references and text, or the reason why a file refuses the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, getcontext

from reference_records import (
    BLANKS,
    COLUMNS,
    FileError,
    Record,
    column_names,
    read_header,
    split_at_wrong_quotes,
    tokenize,
    unpack,
)
from tracing import untraced

getcontext().prec = 60

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
    """The result of a batch by the rules."""

    customers: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    incomplete: dict[str, int] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    refused_files: list[Refused] = field(default_factory=list)


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


@untraced
def reference(files: dict[str, bytes]) -> Result:
    """Apply all rules to a batch."""
    result = Result()
    days: dict[str, list[Record]] = {}
    decimal_marks: dict[str, str] = {}
    for kind in COLUMNS:
        try:
            data = unpack(files[kind])
            delimiter, names = read_header(kind, data)
            found = [record for record in tokenize(data, delimiter) if record.raw.strip(b" ")][1:]
            records = [line for record in found for line in split_at_wrong_quotes(record, delimiter, len(names))]
            for record in records:
                check_form(record, names)
            refuse_second_header(kind, records, names)
            decimal_marks[kind] = decimal_mark(delimiter, [record.values.get("total_price", "") for record in records])
        except FileError as error:
            result.refused_files.append(Refused(kind, None, str(error)))
            continue
        for record in records:
            if record.code is None:
                check_cells(kind, record, decimal_marks[kind])
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
    """Count the refused orders and items of each customer, as far as the customer is known."""
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
    def reference_in(name: str) -> str | None:
        value = record.values.get(name) if name in COLUMNS[kind] else None
        return value if value and len(value.encode()) <= 1024 else None

    text = record.raw.decode("utf-8", "backslashreplace")
    return Refused(
        kind, record.line, str(record.code), reference_in("customer_reference"), reference_in("order_reference"), text
    )
