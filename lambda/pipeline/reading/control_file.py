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
from pipeline.reading.dialect import BLOCK, RefusedFileError, is_blank, read_profile
from pipeline.reading.grammar import Grammar
from pipeline.reading.header import read_header

_FORMS = {
    "records": (re.compile(r"\d{1,18}", re.ASCII), "is not a whole number (such as 1000)"),
    "amount": (re.compile(r"(-?\d{1,30}([.,]\d{1,4})?)?", re.ASCII), "is not a plain decimal number (such as 12.50)"),
    "sha256": (re.compile(r"([0-9a-fA-F]{64})?", re.ASCII), "is not a SHA-256 (64 hexadecimal digits)"),
}
"""The form of each number, and what is said of another."""
_MAX_VALUE = 80


@dataclass(frozen=True, slots=True)
class ControlTotal:
    """What the sender says of one file: its records, the sum of its amounts, and the SHA-256 of the file as sent."""

    records: int
    amount: Decimal | None = None
    sha256: str | None = None

    def find_difference(self, found: ControlTotal) -> RefusedFileError | None:
        """Return the error of a file in which something else was found; None if all that is stated is right."""
        for what, stated, counted in (
            ("number of records is", f"{self.records:,}", f"{found.records:,}"),
            ("sum of the amounts is", _text(self.amount), _text(found.amount)),
            ("SHA-256 of the file is", self.sha256, found.sha256),
        ):
            if stated is not None and stated != counted:
                return RefusedFileError(ErrorCode.CONTROL_TOTAL_DIFFERS, what=what, found=counted, stated=stated)
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
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if number <= header.lines or is_blank(line):
            continue
        cells = grammar.split(line.decode(errors="replace")) or []
        row = dict.fromkeys(_FORMS, "")
        for column, place in header.positions.items():
            row[column] = "".join(cells[place - 1 : place]).strip(INVISIBLE_CHARACTERS)
        file = parse_file_name(row["file"])
        kind = file.kind if file and file.batch == batch else CONTROL
        if kind == CONTROL:
            names = ", ".join(f"{kind}_{batch}.csv" for kind in MODEL.kinds)
            faults = [("file", f"is none of the batch's files ({names}, or the same with .gz)")]
        elif kind in found:
            faults = [("file", "is named twice")]
        else:
            faults = [(column, fault) for column, (form, fault) in _FORMS.items() if not form.fullmatch(row[column])]
        if faults:
            column, fault = faults[0]
            fault = f"'{escape_controls(row[column][:_MAX_VALUE])}' {fault}"
            raise RefusedFileError(ErrorCode.BAD_CONTROL_FILE, line=number, column=column, fault=fault)
        amount = Decimal(row["amount"].replace(",", ".")) if row["amount"] else None
        found[kind] = ControlTotal(int(row["records"]), amount, row["sha256"].lower() or None)
    return found


def control_file(totals: Mapping[str, ControlTotal]) -> str:
    """Return the text of a control file, by the names of the files."""
    lines = ["file,records,amount,sha256"]
    lines += [
        f"{name},{total.records},{_text(total.amount) or ''},{total.sha256 or ''}" for name, total in totals.items()
    ]
    return "\n".join([*lines, ""])
