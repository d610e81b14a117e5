"""Tables and sentences about the summary of a run, from the ledger or from `check`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.messages import number_text
from rich.table import Table

from pipeline_cli.output import terminal

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
DECIMAL_MARKS = {".": "point", ",": "comma"}


@dataclass(frozen=True, slots=True)
class Numbers:
    """The counts of a run: accepted records of each kind, records read and refused, errors, incomplete totals."""

    customers: int = 0
    orders: int = 0
    items: int = 0
    read: int = 0
    refused: int = 0
    errors: int = 0
    incomplete: int = 0

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> Numbers:
        """Read the counts from a run's summary; they are 0 if the run did not get that far."""
        files = summary.get("files", {}).values()
        return cls(
            customers=int(summary.get("customers", 0)),
            orders=int(summary.get("orders", 0)),
            items=int(summary.get("items", 0)),
            read=sum(int(file.get("read", 0)) for file in files),
            refused=sum(int(file.get("refused", 0)) for file in files),
            errors=int(summary.get("errors", 0)),
            incomplete=int(summary.get("incomplete_customers", 0)),
        )

    def sentence(self) -> str:
        """Return the counts as a sentence."""
        incomplete = f"; {incomplete_totals(self.incomplete)}" if self.incomplete else ""
        return (
            f"{terminal.counted(self.customers, 'customer')}, {terminal.counted(self.orders, 'order')}, "
            f"{terminal.counted(self.items, 'item')}; {self.refused:,} of {self.read:,} records refused{incomplete}"
        )


def incomplete_totals(customers: int) -> str:
    """Say how many customers have incomplete totals."""
    return "1 customer has an incomplete total" if customers == 1 else f"{customers:,} customers have incomplete totals"


def amount(text: str) -> str:
    """Format an exact amount with thousands separators."""
    whole, point, cents = number_text(Decimal(text)).partition(".")
    return f"{int(whole):,}{point}{cents}" if whole != "-0" else text


def reconciliation(summary: Mapping[str, Any]) -> str:
    """Return both sides of the reconciliation as a sentence; empty if the run did not get that far."""
    totals = summary.get("reconciliation")
    if not totals or summary.get("state") == "REFUSED":
        return ""
    scanned, delivered, refused = (
        Decimal(str(totals[f"{side}_amount"])) for side in ("scanned", "delivered", "refused")
    )
    sign = "=" if scanned == delivered + refused else "≠"
    without = int(totals.get("refused_without_amount", 0))
    rest = f"; {terminal.counted(without, 'refused item')} had no valid amount" if without else ""
    return (
        f"Reconciled: {amount(str(scanned))} in the items file {sign} {amount(str(delivered))} counted "
        f"+ {amount(str(refused))} refused{rest}"
    )


def read_as(kind: str, file: Mapping[str, Any]) -> str:
    """Say how a file was read: its delimiter and, for items, the decimal mark."""
    delimiter, mark = DELIMITERS.get(str(file.get("delimiter"))), DECIMAL_MARKS.get(str(file.get("decimal_mark")))
    words = [f"{delimiter}-delimited"] if delimiter else []
    return ", ".join(words + ([f"decimal {mark}"] if mark and kind == data_model.ITEMS else []))


def files_table(summary: Mapping[str, Any]) -> Table:
    """Build a table of the files: records read, counted and refused, and how each file was read."""
    numbers = ("Read", "Counted", "Refused")
    shown = terminal.table("File", *numbers, "Read as", numbers=numbers)
    files = summary.get("files", {})
    ignores = any(file.get("ignored_columns") for file in files.values())
    if ignores:
        shown.add_column("Columns ignored", overflow="fold")
    for kind in MODEL.kinds:
        file = files.get(kind)
        if not file:
            continue
        if file.get("file_error"):
            shown.add_row(terminal.shown(file["file"]), "[bold red]can't be used[/]")
            continue
        refused = int(file["refused"])
        shown.add_row(
            terminal.shown(file["file"]),
            f"{int(file['read']):,}",
            f"{int(file['counted']):,}",
            f"[red]{refused:,}[/]" if refused else "0",
            read_as(kind, file),
            *([terminal.shown(", ".join(file.get("ignored_columns") or ()))] if ignores else []),
        )
    return shown
