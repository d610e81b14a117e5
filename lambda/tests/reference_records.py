"""The reference implementation's first half: from the bytes of a file to its records and their cells."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from decimal import Decimal

from pipeline.model.record_kinds import RecordKind

BLANKS = " \t\r\n\u00a0"


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


def required_columns(kind: RecordKind) -> set[str]:
    return {column.name for column in kind.columns if column.required}


def read_header(kind: RecordKind, data: bytes) -> tuple[int, list[str]]:
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
    fitting = [(delimiter, names) for delimiter, names in readings if required_columns(kind) <= set(names)]
    if len(fitting) != 1:
        raise FileError("missing_column")
    delimiter, names = fitting[0]
    if any(names.count(column.name) > 1 for column in kind.columns):
        raise FileError("repeated_column")
    return delimiter, names


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
    return [Record(record.line + number, line, None, code, opening=record.line) for number, line in enumerate(lines)]


def column_names(record: Record) -> list[str]:
    return [cell.decode("utf-8", "replace").strip(BLANKS).lower() for cell in record.cells or []]
