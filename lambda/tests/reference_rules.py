"""The reference implementation's second part: the rules for each record of a file by itself."""

from __future__ import annotations

import unicodedata
from decimal import getcontext

from pipeline.model.record_kinds import Column, ColumnType, RecordKind
from reference_records import (
    FileError,
    Record,
    amount_of,
    column_names,
    is_blank,
    is_integer,
    read_header,
    refuse_other_headers,
    split_at_wrong_quotes,
    tokenize,
    trim,
    unpack,
    without_separator_line,
)

getcontext().prec = 60

ORDER = ("empty_reference", "reference_too_long", "not_an_integer", "not_a_timestamp", "ambiguous_amount")
ORDER += ("not_an_amount", "not_allowed")
"""The codes of single cells in the order in which they are checked."""


def read_records(kind: RecordKind, data: bytes) -> tuple[list[Record], int]:
    """Read a file: its records, each with its first error, and the number of its lines."""
    data = unpack(data)
    count = data.count(b"\n") + (not data.endswith(b"\n"))
    data, skipped = without_separator_line(data)
    delimiter, names = read_header(kind, data)
    found = [record for record in tokenize(data, delimiter) if not is_blank(record)]
    while column_names(found[0]) != names:
        del found[0]
    records = [line for record in found[1:] for line in split_at_wrong_quotes(kind, record, delimiter, names)]
    for record in records:
        record.line += skipped
        record.opening = record.opening and record.opening + skipped
        check_form(kind, record, names)
        if not record.values and record.code != "repeated_header":
            find_places(kind, record, names, chr(delimiter))
    refuse_other_headers(records, names)
    amounts = [record.values[name] for record in records for name in kind.amounts if name in record.values]
    mark = decimal_mark(delimiter, amounts)
    for record in records:
        if record.code is None:
            check_cells(kind, record, mark, by_vote=delimiter != ord(","))
    return records, count


def may_group(text: str, mark: str) -> bool:
    whole, _, decimals = text.removeprefix("-").partition(mark)
    return amount_of(text, mark) is not None and len(decimals) == 3 and len(whole) <= 3 and whole[0] != "0"


def shows_grouping(text: str, mark: str) -> bool:
    other = "," if mark == "." else "."
    whole, rest, decimals = text.removeprefix("-").partition(other)
    first, *groups = whole.split(mark)
    if not all(part.isascii() and part.isdigit() for part in (first, *groups)) or len(first) > 3:
        return False
    if rest and not (decimals.isascii() and decimals.isdigit()):
        return False
    return len(groups) >= (1 if rest else 2) and all(len(group) == 3 for group in groups)


def decimal_mark(delimiter: int, amounts: list[str]) -> str:
    groupable = {mark: any(may_group(text, mark) for text in amounts) for mark in ".,"}
    shown = {mark: any(shows_grouping(text, mark) for text in amounts) for mark in ".,"}
    votes = {
        mark: sum(mark in text and amount_of(text, mark) is not None and not may_group(text, mark) for text in amounts)
        for mark in ".,"
    }
    mark = "."
    if delimiter != ord(","):
        if votes["."] == votes[","] and (votes["."] or any(groupable.values())):
            raise FileError("ambiguous_amounts")
        mark = "," if votes[","] > votes["."] else "."
    if shown[mark] and groupable[mark]:
        raise FileError("ambiguous_amounts")
    return mark


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
        columns = {column.name: column for column in kind.columns}
        for name, cell in zip(names, record.cells, strict=True):
            text, column = cell.decode(), columns.get(name)
            if column and (column.type is not ColumnType.TEXT or column.unique):
                text = trim(text)
            if (
                column
                and column.type is ColumnType.REFERENCE
                and not any(unicodedata.category(c)[0] in "LN" for c in text)
            ):
                text = ""
            record.values[name] = text


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
        record.places[column] = [trim(cell) for cell in at]
    trailing = len(text) - len(text.rstrip(delimiter))
    record.holds_more = len(cells) - trailing >= 2 * len(names) - 1


def check_cells(kind: RecordKind, record: Record, mark: str, by_vote: bool) -> None:
    """The rules about single cells: the first in the order of the codes."""
    codes = [check_cell(column, record, mark, by_vote) for column in kind.columns if column.name in record.values]
    record.code = min(filter(None, codes), key=ORDER.index, default=None)


def check_cell(column: Column, record: Record, mark: str, by_vote: bool) -> str | None:
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
        if by_vote and (may_group(text, ".") or may_group(text, ",")):
            return "ambiguous_amount"
        amount = amount_of(text, mark)
        if amount is None:
            return "not_an_amount"
        record.amounts[column.name] = amount
        return None
    return "not_allowed" if column.allowed and text not in column.allowed else None
