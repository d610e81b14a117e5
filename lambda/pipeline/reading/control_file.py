"""The control file: how many records the sender's files have and, if the sender likes, the sum of their amounts.

What is cut off at the end of a file, or a file that is empty, can't be seen in the file itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from pipeline.model.batch_files import CONTROL, parse_file_name
from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import ErrorCode
from pipeline.model.messages import number_text
from pipeline.model.record_kinds import RecordKind
from pipeline.model.text import INVISIBLE_CHARACTERS, escape_controls
from pipeline.reading.dialect import BLOCK, RefusedFileError, read_profile
from pipeline.reading.grammar import Grammar
from pipeline.reading.header import read_header

_RECORDS = re.compile(r"\d{1,18}", re.ASCII)
_AMOUNT = re.compile(r"-?\d{1,30}([.,]\d{1,4})?", re.ASCII)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_MAX_VALUE = 80


@dataclass(frozen=True, slots=True)
class ControlTotal:
    """What the sender says of one file: its records, the sum of its amounts, and the SHA-256 of the file as sent."""

    records: int
    amount: Decimal | None = None
    sha256: str | None = None

    def find_difference(self, found: ControlTotal) -> RefusedFileError | None:
        """Return the error of a file in which something else was found; None if all that is stated is right."""
        for what, mine, other in (
            ("number of records is", f"{self.records:,}", f"{found.records:,}"),
            ("sum of the amounts is", _text(self.amount), _text(found.amount)),
            ("SHA-256 of the file is", self.sha256, found.sha256),
        ):
            if mine is not None and mine != other:
                return RefusedFileError(ErrorCode.CONTROL_TOTAL_DIFFERS, what=what, found=other, stated=mine)
        return None


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else number_text(amount)


def read_control_file(path: Path, batch: str, workdir: Path) -> dict[RecordKind, ControlTotal]:
    """Read the control totals of a batch; a file that it does not name has none.

    Raises
    ------
    RefusedFileError
        A line names no file of the batch, or one again, or has no number in its place; or the file is no CSV text.
    """
    path = read_profile(path, CONTROL, workdir, max_unpacked=BLOCK).path
    header = read_header(path, CONTROL)
    grammar = Grammar(header.delimiter)
    found: dict[RecordKind, ControlTotal] = {}
    for number, line in enumerate(path.read_bytes().decode("utf-8-sig", "replace").splitlines(), 1):
        if number <= header.lines or not line.strip(INVISIBLE_CHARACTERS + header.delimiter):
            continue
        cells = grammar.split(line) or []
        row = _Line(number, {name: cells[place - 1 : place] for name, place in header.positions.items()})
        kind = row.kind(batch)
        if kind in found:
            raise row.fault("file", "is named twice")
        found[kind] = row.total()
    return found


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a control file."""

    number: int
    cells: Mapping[str, list[str]]

    def kind(self, batch: str) -> RecordKind:
        """Return the kind of the file that the line names."""
        file = parse_file_name(self._value("file"))
        if file is None or file.batch != batch or file.kind == CONTROL:
            names = ", ".join(f"{kind}_{batch}.csv" for kind in MODEL.kinds)
            raise self.fault("file", f"is none of the batch's files ({names}, or the same with .gz)")
        return file.kind

    def total(self) -> ControlTotal:
        """Return the line's numbers."""
        if not _RECORDS.fullmatch(self._value("records")):
            raise self.fault("records", "is not a whole number (such as 1000)")
        amount, digest = self._value("amount"), self._value("sha256")
        if amount and not _AMOUNT.fullmatch(amount):
            raise self.fault("amount", "is not a plain decimal number (such as 12.50)")
        if digest and not _SHA256.fullmatch(digest):
            raise self.fault("sha256", "is not a SHA-256 (64 hexadecimal digits)")
        records = int(self._value("records"))
        return ControlTotal(records, Decimal(amount.replace(",", ".")) if amount else None, digest.lower() or None)

    def fault(self, column: str, what: str) -> RefusedFileError:
        """Return the error of a cell."""
        value = escape_controls(self._value(column)[:_MAX_VALUE])
        fault = f"'{value}' {what}"
        return RefusedFileError(ErrorCode.BAD_CONTROL_FILE, line=self.number, column=column, fault=fault)

    def _value(self, column: str) -> str:
        return "".join(self.cells.get(column, ())).strip(INVISIBLE_CHARACTERS)


def control_file(totals: Mapping[str, ControlTotal]) -> str:
    """Return the text of a control file, by the names of the files."""
    lines = ["file,records,amount,sha256"]
    lines += [
        f"{name},{total.records},{_text(total.amount) or ''},{total.sha256 or ''}" for name, total in totals.items()
    ]
    return "\n".join([*lines, ""])
