"""The reference implementation's first half: from the bytes of a file to its records and their cells."""

from __future__ import annotations

import gzip
import unicodedata
import zlib
from dataclasses import dataclass, field
from decimal import Decimal

from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import ColumnType, RecordKind

DIGITS = set("0123456789")
MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"7z\xbc\xaf")
MAGIC += (b"\xd0\xcf\x11\xe0", b"%PDF-", b"PAR1")


def trim(text: str, more: str = "") -> str:
    """Remove what nobody can see at both ends: white space, control and format characters."""

    def hides(character: str) -> bool:
        return character in more or unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp")

    start, end = 0, len(text)
    while start < end and hides(text[start]):
        start += 1
    while start < end and hides(text[end - 1]):
        end -= 1
    return text[start:end]


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
    places: dict[str, list[str]] = field(default_factory=dict)
    """Where the cells can't be assigned: the texts at a reference's place, counted from the left and from the right."""
    opening: int | None = None
    """The first line of the record that this line belongs to, if it is refused for its quotes."""
    holds_more: bool = False
    """Whether there are about as many cells as two records have."""
    amounts: dict[str, Decimal] = field(default_factory=dict)


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
            if first_record_only and not is_blank_line(records[-1].raw):
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
    if data.startswith(MAGIC) or data[257:262] == b"ustar":
        raise FileError("binary_file")
    start = data.lstrip(b" \t\n\r\x0b\f").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body", b"<!--")):
        raise FileError("html_file")
    if b"\0" in data:
        raise FileError("binary_file")
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def required_columns(kind: RecordKind) -> set[str]:
    return {column.name for column in kind.columns if column.required}


def is_blank_line(line: bytes) -> bool:
    return not trim(line.decode("utf-8", "replace").replace('""', ""), ',;\t|"')


def is_blank(record: Record) -> bool:
    """A record whose cells are all empty is a blank line."""
    return record.cells is not None and not any(trim(cell.decode("utf-8", "replace")) for cell in record.cells)


def without_separator_line(data: bytes) -> tuple[bytes, int]:
    """A first line `sep=X` of Excel is skipped."""
    first, _, rest = data.partition(b"\n")
    text = first.decode("utf-8", "replace")
    text = trim(text) + ("\t" if text.rstrip(" \r").endswith("\t") else "")
    if len(text) == 5 and text[:4].lower() == "sep=" and text[4] in ",;\t|":
        return rest, 1
    return data, 0


def read_header(kind: RecordKind, data: bytes) -> tuple[int, list[str]]:
    if all(is_blank_line(line) for line in data.split(b"\n")):
        raise FileError("empty_file")
    readings = []
    for delimiter in b",;\t|":
        try:
            header = tokenize(data, delimiter, first_record_only=True)[-1]
        except FileError:
            continue
        readings.append((delimiter, column_names(header)))
    fitting = [(delimiter, names) for delimiter, names in readings if required_columns(kind) <= set(names)]
    if len(fitting) != 1:
        raise FileError("missing_column")
    delimiter, names = fitting[0]
    if any(names.count(column.name) > 1 for column in kind.columns):
        raise FileError("repeated_column")
    return delimiter, names


def split_at_wrong_quotes(kind: RecordKind, record: Record, delimiter: int, names: list[str]) -> list[Record]:
    """A record over several lines whose quotes are wrong, or look stray, is refused with each of its lines."""
    lines = record.raw.split(b"\n")
    if len(lines) == 1:
        return [record]
    if record.cells is None:
        code = "bad_quoting"
    elif could_be_several_records(kind, lines, bytes([delimiter]), names):
        code = "doubtful_quoting"
    else:
        return [record]
    return [Record(record.line + number, line, None, code, opening=record.line) for number, line in enumerate(lines)]


def could_be_several_records(kind: RecordKind, lines: list[bytes], delimiter: bytes, names: list[str]) -> bool:
    """With quotes as ordinary characters, some line could be a record by itself."""
    first, last = lines[0], lines[-1]
    before, start, position, quoted = 0, 0, 0, False
    while position < len(first):
        character = first[position : position + 1]
        if quoted and character == b'"':
            doubled = first[position + 1 : position + 2] == b'"'
            position, quoted = position + doubled, doubled
        elif character == b'"' and position == start:
            quoted = True
        elif character == delimiter and not quoted:
            before, start = before + 1, position + 1
        position += 1
    inside = first[start:].count(delimiter)
    if inside and before + inside + 1 >= len(names):
        return True
    end = 0
    while last[end : end + 1] != b'"' or last[end + 1 : end + 2] == b'"':
        end += 2 if last[end : end + 1] == b'"' else 1
    if delimiter in last[:end] and last.count(delimiter) + 1 >= len(names):
        return True
    return any(is_record(kind, line.split(delimiter), names) for line in lines[1:-1])


def is_record(kind: RecordKind, cells: list[bytes], names: list[str]) -> bool:
    """Whether a line has the header's number of cells and a valid one in each typed column."""
    if len(cells) != len(names):
        return False
    for column in kind.columns:
        if column.name not in names:
            continue
        text = trim(cells[names.index(column.name)].decode("utf-8", "replace"))
        if not text and not column.required:
            continue
        if column.type in (ColumnType.INTEGER, ColumnType.TIMESTAMP) and not is_integer(text):
            return False
        if column.type is ColumnType.AMOUNT and amount_of(text, ".") is None and amount_of(text, ",") is None:
            return False
    return True


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


def column_names(record: Record) -> list[str]:
    return [trim(cell.decode("utf-8", "replace"), '"').lower() for cell in record.cells or []]


ALL_NAMES = {column.name for kind in MODEL.kinds for column in kind.columns if column.required}


def refuse_other_headers(records: list[Record], names: list[str]) -> None:
    """A record that names two required columns and is not the header refuses the file; so does repeated content."""
    sections: list[list[bytes]] = [[]]
    for record in records:
        found = column_names(record) if record.code not in ("not_utf8", "record_too_long") else []
        if found == names:
            sections.append([])
            continue
        if len(ALL_NAMES.intersection(found)) > 1:
            raise FileError("second_header")
        sections[-1].append(record.raw)
    for number, section in enumerate(sections[1:]):
        if section and section == sections[number]:
            raise FileError("repeated_content")
