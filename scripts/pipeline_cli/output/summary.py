"""Tables and sentences about the summary of a run, from the ledger or from `check`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pipeline.model.data_model import MODEL
from pipeline.model.messages import number_text
from pipeline.model.record_kinds import RecordKind, Sum
from rich.table import Table

from pipeline_cli.output import terminal

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
DECIMAL_MARKS = {".": "point", ",": "comma"}


@dataclass(frozen=True, slots=True)
class Numbers:
    """The counts of a run: accepted records by kind, records read and refused, errors, incomplete totals."""

    records: Mapping[str, int] = field(default_factory=dict)
    read: int = 0
    refused: int = 0
    errors: int = 0
    incomplete: int = 0

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> Numbers:
        """Read the counts from a run's summary; they are 0 if the run did not get that far."""
        files = summary.get("files", {}).values()
        return cls(
            records={kind: int(summary.get(kind, 0)) for kind in MODEL.kinds},
            read=sum(int(file.get("read", 0)) for file in files),
            refused=sum(int(file.get("refused", 0)) for file in files),
            errors=int(summary.get("errors", 0)),
            incomplete=int(summary.get(f"incomplete_{MODEL.root}", 0)),
        )

    @property
    def results(self) -> int:
        """How many results the run has: one for each accepted record of the first kind."""
        return self.records.get(MODEL.root, 0)

    def in_short(self) -> str:
        """Return the counts as a sentence."""
        counts = ", ".join(terminal.counted(self.records.get(kind, 0), kind.singular, kind) for kind in MODEL.kinds)
        return f"{counts}; {self.refused:,} of {self.read:,} records refused"

    def sentence(self) -> str:
        """Return the counts as a sentence, with the number of incomplete totals."""
        return self.in_short() + (f"; {incomplete_totals(self.incomplete)}" if self.incomplete else "")


def incomplete_totals(count: int) -> str:
    """Say how many results have incomplete totals."""
    who = terminal.counted(count, MODEL.root.singular, MODEL.root)
    return f"{who} has an incomplete total" if count == 1 else f"{who} have incomplete totals"


def amount(text: str) -> str:
    """Format an exact amount with thousands separators."""
    whole, point, cents = number_text(Decimal(text)).partition(".")
    return f"{int(whole):,}{point}{cents}" if whole != "-0" else text


def control_totals(summary: Mapping[str, Any]) -> dict[Sum, Mapping[str, Any]]:
    """Return both sides of the reconciliation of each sum in the results; empty if the run did not get that far."""
    first = summary.get("reconciliation")
    if not first or summary.get("state") == "REFUSED":
        return {}
    further = summary.get("further_reconciliations", {})
    return {measure: further.get(measure.name, first) for measure in MODEL.sums}


def totals(summary: Mapping[str, Any]) -> dict[str, str]:
    """Return each sum over all results, by its name in words."""
    further = summary.get("further_reconciliations", {})
    first = {"delivered_amount": summary.get("total_amount", 0)}
    return {
        measure.name.replace("_", " "): amount(str(further.get(measure.name, first)["delivered_amount"]))
        for measure in MODEL.sums
    }


def totals_sentence(summary: Mapping[str, Any]) -> str:
    """Return the sums over all results in words."""
    return ", ".join(f"{name} {total}" for name, total in totals(summary).items())


def reconciliation(summary: Mapping[str, Any]) -> str:
    """Return both sides of the reconciliation as sentences; empty if the run did not get that far."""
    sentences = []
    for measure, found in control_totals(summary).items():
        kind = measure.kind
        sides = [Decimal(str(found[f"{side}_amount"])) for side in ("scanned", "delivered", "refused")]
        scanned, delivered, refused = (amount(str(side)) for side in sides)
        sign = "=" if sides[0] == sides[1] + sides[2] else "≠"
        without, noun = int(found.get("refused_without_amount", 0)), f"refused {kind.singular}"
        rest = f"; {terminal.counted(without, noun, f'refused {kind}')} had no valid amount" if without else ""
        sentences.append(
            f"Reconciled: {scanned} in the {kind} file {sign} {delivered} counted + {refused} refused{rest}"
        )
    return ". ".join(sentences)


def remarks(summary: Mapping[str, Any]) -> list[str]:
    """Return the remarks of a summary or a verdict as sentences."""
    return [
        f"{remark['file']}: {remark['message']}" if remark["file"] else str(remark["message"])
        for remark in summary.get("remarks", ())
    ]


def show_remarks(summary: Mapping[str, Any]) -> None:
    """Print the remarks of a summary or a verdict."""
    for sentence in remarks(summary):
        terminal.out().print(f"[yellow]Remark:[/] {terminal.shown(sentence)}", soft_wrap=True)


def read_as(kind: RecordKind, file: Mapping[str, Any]) -> str:
    """Say how a file was read: its delimiter and, for a kind with amounts, the decimal mark."""
    delimiter, mark = DELIMITERS.get(str(file.get("delimiter"))), DECIMAL_MARKS.get(str(file.get("decimal_mark")))
    words = [f"{delimiter}-delimited"] if delimiter else []
    return ", ".join(words + ([f"decimal {mark}"] if mark and kind.amounts else []))


def files_table(summary: Mapping[str, Any]) -> Table:
    """Build a table of the files: records read, counted and refused, and how each file was read."""
    numbers = ("Read", "Counted", "Refused")
    files = [(kind, file) for kind in MODEL.kinds if (file := summary.get("files", {}).get(str(kind)))]
    ignores = any(file.get("ignored_columns") for _, file in files)
    shown = terminal.table("File", *numbers, "Read as", *(["Columns ignored"] if ignores else []), numbers=numbers)
    for kind, file in files:
        if file.get("file_error"):
            shown.add_row(terminal.shown(file["file"]), "", "", "", "[bold red]can't be used[/]")
            continue
        counts = [file.get(name) for name in ("read", "counted", "refused")]
        shown.add_row(
            terminal.shown(file["file"]),
            *(
                "" if count is None else f"[red]{count:,}[/]" if name == "Refused" and count else f"{int(count):,}"
                for name, count in zip(numbers, counts, strict=True)
            ),
            read_as(kind, file),
            *([terminal.shown(", ".join(file.get("ignored_columns") or ()))] if ignores else []),
        )
    return shown


def message_fields(body: str) -> dict[str, Any]:
    """Return the fields of a message, with decimals; a body that is not a JSON object is the field `message`."""
    try:
        found = json.loads(body, parse_float=Decimal)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"type": "?", "message": body}


def message_line(body: str) -> str:
    """Format a message of the output queue as one line of markup."""
    fields, root = message_fields(body), MODEL.root
    reference = terminal.shown(fields.get(str(root.identity)) or "")
    if fields["type"] == f"{root.singular}_message":
        parts = []
        for measure in MODEL.result.measures:
            value = fields[measure.name]
            if isinstance(measure, Sum):
                parts.append(f"{amount(number_text(value)):>16}")
            else:
                parts.append(f"{terminal.counted(value, measure.kind.singular, measure.kind):>12}")
        return f"[green]{root.singular}[/]  {reference:<24} {' '.join(parts)}"
    if fields["type"] == f"{root.singular}_removed":
        return f"[yellow]removed[/]   {reference}"
    return f"[red]error[/]     {terminal.shown(fields.get('message'))}"
