"""The summary of a run in numbers, for the ledger and `pipeline check`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from pipeline.model.data_model import MODEL
from pipeline.model.messages import number_text
from pipeline.model.record_kinds import RecordKind

if TYPE_CHECKING:
    from pipeline.reading.csv_file import CsvFile

State = Literal["READY", "HELD", "REFUSED"]
"""READY for delivery, HELD by the gate, or REFUSED because a file can't be used."""

_MAX_NAMES = 20
_MAX_NAME_LENGTH = 80


@dataclass(frozen=True, slots=True)
class FileSummary:
    """The dialect of a file and the numbers of its records: `read` = `counted` + `refused`."""

    file: str
    delimiter: str | None = None
    decimal_mark: str | None = None
    ignored_columns: tuple[str, ...] = ()
    read: int = 0
    counted: int = 0
    refused: int = 0
    refused_by_code: Mapping[str, int] = field(default_factory=dict)
    lines: int = 0
    """Lines of the file, counted in its bytes: `header_lines` + `blank_lines` + `read` + `further_lines`."""
    header_lines: int = 0
    """Lines up to and including the header."""
    blank_lines: int = 0
    further_lines: int = 0
    """Lines that continue a record of several lines."""
    messages: int = 0
    """Refused records with an error message of their own; the rejects file contains all refused records."""
    file_error: str | None = None
    """Error code if the file as a whole was refused."""
    has_final_line_end: bool = True
    """Whether the last line that is not blank ends with a line end."""
    matches_control: bool = False
    """Whether the sender's control totals say the same."""
    held_by: tuple[str, ...] = ()
    """The codes of the reasons why this file holds the batch."""


def dialect(file: CsvFile) -> FileSummary:
    """Return what was decided about a file, without the numbers of its records."""
    return FileSummary(file.name, file.header.delimiter, file.decimal_mark, shortened(file.header.ignored))


def shortened(names: tuple[str, ...]) -> tuple[str, ...]:
    """Limit the number and length of column names, so that the ledger item stays small."""
    more = (f"… and {len(names) - _MAX_NAMES} more",) if len(names) > _MAX_NAMES else ()
    return tuple(name[:_MAX_NAME_LENGTH] for name in names[:_MAX_NAMES]) + more


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that looks as if records were missing, in a file or (None) in the results."""

    code: str
    file: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Both sides of the reconciliation of a sum: `scanned_amount` = `delivered_amount` + `refused_amount`.

    These are the amounts of records with a valid one; `refused_without_amount` counts the refused records that have
    none.
    """

    scanned_amount: Decimal = Decimal(0)
    delivered_amount: Decimal = Decimal(0)
    refused_amount: Decimal = Decimal(0)
    refused_without_amount: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the exact decimals as texts."""
        return {
            name: number_text(value) if isinstance(value, Decimal) else value for name, value in asdict(self).items()
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """The run as a whole. For a HELD batch, the numbers are what a release would deliver."""

    state: State
    files: Mapping[RecordKind, FileSummary]
    incomplete: int = 0
    """Results some of whose records were refused."""
    unassigned_records: int = 0
    """Refused records that belong to nobody in the root's file, so that any total may lack them."""
    removed: int = 0
    """Results of an earlier version that this one does not have."""
    errors: int = 0
    """Error messages, including those about whole files."""
    reconciliations: Mapping[str, Reconciliation] = field(default_factory=dict)
    """Of each sum in the results, by name."""
    remarks: tuple[Remark, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as plain JSON values.

        The first sum of the model is `reconciliation`, and what is delivered of it `total_amount`.
        """
        sums = {sum.name: self.reconciliations.get(sum.name, Reconciliation()).as_dict() for sum in MODEL.sums}
        first = sums.pop(MODEL.sums[0].name) if sums else None
        return {
            "state": self.state,
            "files": {str(kind): _lists(asdict(file)) for kind, file in self.files.items()},
            **{str(kind): file.counted for kind, file in self.files.items()},
            "total_amount": first["delivered_amount"] if first else "0",
            f"incomplete_{MODEL.root}": self.incomplete,
            "unassigned_records": self.unassigned_records,
            f"removed_{MODEL.root}": self.removed,
            "errors": self.errors,
            "remarks": [asdict(remark) for remark in self.remarks],
            "reconciliation": first,
            **({"further_reconciliations": sums} if sums else {}),
        }


def _lists(values: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
