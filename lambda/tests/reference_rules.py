"""The reference implementation's second part: the rules for each record of a file by itself."""

from __future__ import annotations

from decimal import Decimal, getcontext

from pipeline.model.record_kinds import Column, ColumnType, RecordKind
from reference_records import (
    BLANKS,
    FileError,
    Record,
    column_names,
    read_header,
    required_columns,
    split_at_wrong_quotes,
    tokenize,
    unpack,
)

getcontext().prec = 60

DIGITS = set("0123456789")


def read_records(kind: RecordKind, data: bytes) -> tuple[list[Record], int]:
    """Read a file: its records, each with its first error, and the number of its lines."""
    data = unpack(data)
    delimiter, names = read_header(kind, data)
    found = [record for record in tokenize(data, delimiter) if record.raw.strip(b" ")][1:]
    records = [line for record in found for line in split_at_wrong_quotes(record, delimiter, len(names))]
    for record in records:
        check_form(kind, record, names)
        if not record.values and record.code != "repeated_header":
            find_places(kind, record, names, chr(delimiter))
    refuse_second_header(kind, records, names)
    mark = decimal_mark(delimiter, [record.values.get(name, "") for record in records for name in kind.amounts])
    for record in records:
        if record.code is None:
            check_cells(kind, record, mark)
    return records, data.count(b"\n") + (not data.endswith(b"\n"))


def refuse_second_header(kind: RecordKind, records: list[Record], names: list[str]) -> None:
    for record in records:
        if record.code in ("not_utf8", "record_too_long"):
            continue
        found = column_names(record)
        if required_columns(kind) <= set(found) and found != names:
            raise FileError("second_header")


def decimal_mark(delimiter: int, amounts: list[str]) -> str:
    followers = [follower for amount in amounts for follower in amount.split(",")[1:]]
    if delimiter == ord(",") or not followers:
        return "."
    digits = [len(follower) - len(follower.lstrip("0123456789")) for follower in followers]
    if set(digits) == {3}:
        raise FileError("ambiguous_amounts")
    return ","


def check_form(kind: RecordKind, record: Record, names: list[str]) -> None:
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
        free = {column.name for column in kind.columns if column.type is ColumnType.TEXT and not column.unique}
        cells = {name: cell.decode() for name, cell in zip(names, record.cells, strict=True)}
        record.values = {name: cell if name in free else cell.strip(BLANKS) for name, cell in cells.items()}


def find_places(kind: RecordKind, record: Record, names: list[str], delimiter: str) -> None:
    """Take the texts at the places of references in a record whose cells can't be assigned to columns."""
    text = record.raw.decode("utf-8", "backslashreplace")
    if record.code == "wrong_cell_count" and '"' in text and len(text) < 100_000:
        cells = [cell.decode() for cell in record.cells or []]
    else:
        cells = [cell.strip(' "') for cell in text.split(delimiter)]
    for _, column in kind.references():
        left = names.index(column)
        at = [cells[place] for place in (left, len(cells) - len(names) + left) if 0 <= place < len(cells)]
        record.places[column] = [cell.strip(BLANKS) for cell in at]
    trailing = len(text) - len(text.rstrip(delimiter))
    record.holds_more = len(cells) - trailing >= 2 * len(names) - 1


def check_cells(kind: RecordKind, record: Record, mark: str) -> None:
    """The rules about single cells, in the order of the columns."""
    codes = [check_cell(column, record, mark) for column in kind.columns if column.name in record.values]
    record.code = next((code for code in codes if code), None)


def check_cell(column: Column, record: Record, mark: str) -> str | None:
    text = record.values[column.name]
    if not text and not column.required:
        return None
    if column.type is ColumnType.REFERENCE:
        if not text:
            return "empty_reference"
        return "reference_too_long" if len(text.encode()) > 1024 else None
    if column.type is ColumnType.INTEGER:
        return None if is_integer(text) else "not_an_integer"
    if column.type is ColumnType.TIMESTAMP:
        return None if is_integer(text) else "not_a_timestamp"
    if column.type is ColumnType.AMOUNT:
        amount = amount_of(text, mark)
        if amount is not None:
            record.amounts[column.name] = amount
            return None
        return "ambiguous_amount" if mark == "," and amount_of(text, ".") is not None else "not_an_amount"
    return "not_allowed" if column.allowed and text not in column.allowed else None


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
