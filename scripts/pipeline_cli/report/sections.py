"""The sections of a day's page that need no deployment: what arrived, the totals, and what was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pipeline.joining.gate import held_by
from pipeline.ledger import BatchState, Ledger
from pipeline.model.batch_files import INCOMING_PREFIX
from pipeline.model.data_model import MODEL

from pipeline_cli.deployment import feedback
from pipeline_cli.deployment.batches import BatchStatus
from pipeline_cli.output import terminal
from pipeline_cli.output.summary import (
    Numbers,
    amount,
    control_totals,
    read_as,
    reconciliation,
    remarks,
    totals,
    totals_sentence,
)
from pipeline_cli.report.page import Bar, Row, code, linked, render, styled

EXAMPLES = 3
"""How many errors of each code the page quotes."""
RECORD_LENGTH = 300
"""Characters of a refused record that the page quotes."""
SIDES = ("Read", "Counted", "Refused")
"""Columns of the table of control totals."""


def page_of_check(
    entry: Ledger, rows: Sequence[feedback.ErrorRow], rejects: Sequence[tuple[str, Sequence[Row]]]
) -> str:
    """Return the page of a day that was only checked, from an entry with its files and its summary, as HTML.

    `rejects` are the files with refused records, each with the first of them.
    """
    return render(
        "day.html",
        target="csv-check",
        overview="",
        neighbours=(),
        took=None,
        waiting=None,
        late=None,
        advice=(),
        **sections(BatchStatus(entry.batch, entry.files, entry), rows),
        rejects=rejects,
        stages=(),
        job=None,
        changes=(),
        history=(),
    )


def sections(status: BatchStatus, rows: Sequence[feedback.ErrorRow]) -> dict[str, Any]:
    """Return the values of the template that follow from the ledger entry and the errors."""
    entry = status.ledger or Ledger(status.batch)
    errors = feedback.group(rows, EXAMPLES, entry.summary)
    return {
        "status": status,
        "entry": entry,
        "tiles": _tiles(entry.summary),
        "files": _files(status, entry),
        "totals": _totals(entry.summary),
        "sides": SIDES,
        "reconciliation": reconciliation(entry.summary),
        "remarks": remarks(entry.summary),
        "reasons": _reasons(entry, rows),
        "released": _released(entry) if entry.state is BatchState.HELD else "",
        "errors": errors,
        "error_chart": _error_chart(errors),
    }


def _reasons(entry: Ledger, rows: Sequence[feedback.ErrorRow]) -> list[str]:
    """Return a sentence for each reason why a day was refused or is held: those of its errors about whole files.

    If the run itself failed, it is the cause of that.
    """
    files = entry.summary.get("files", {}).values()
    codes = {code for file in files for code in (file.get("file_error"), *held_by(file)) if code}
    if not codes:
        return [entry.cause] if entry.cause else []
    return [str(row["message"]) for row in rows if row["line"] is None and row["code"] in codes]


def _released(entry: Ledger) -> str:
    """Say what a release of a held day would do."""
    figures = f"{Numbers.of(entry.summary).sentence()}; {totals_sentence(entry.summary)}"
    removed = int(entry.summary.get(f"removed_{MODEL.root}", 0))
    who = terminal.counted(removed, MODEL.root.singular, MODEL.root)
    return f"{figures}" + (f"; and would remove {who} that an earlier version delivered" if removed else "")


def _tiles(summary: Mapping[str, Any]) -> dict[str, str]:
    """Return the day's main figures by their names."""
    numbers = Numbers.of(summary)
    if not numbers.read:
        return {}
    tiles = {str(kind): f"{count:,}" for kind, count in numbers.records.items()} | totals(summary)
    tiles[f"of {numbers.read:,} records refused"] = f"{numbers.refused:,}"
    if numbers.incomplete:
        tiles[f"{MODEL.root} with incomplete totals"] = f"{numbers.incomplete:,}"
    if unassigned := int(summary.get("unassigned_records", 0)):
        tiles[f"refused records of unknown {MODEL.root}: any total may lack them"] = f"{unassigned:,}"
    if removed := int(summary.get(f"removed_{MODEL.root}", 0)):
        tiles["removed by this correction"] = f"{removed:,}"
    return tiles


def _files(status: BatchStatus, entry: Ledger) -> list[Row]:
    rows = []
    for kind in MODEL.kinds:
        source = entry.files.get(kind) or status.files.get(kind)
        file = entry.summary.get("files", {}).get(kind, {})
        error = styled(file.get("file_error") and f"can't be used: {file['file_error']}", "bad")
        rows.append(
            {
                "File": code(source.key.removeprefix(INCOMING_PREFIX) if source else f"{kind}_{status.batch}.csv"),
                "Arrived (UTC)": terminal.minute(source.last_modified) if source else styled("has not arrived", "warn"),
                "Size": terminal.size(source.size) if source else "",
                "Read as": error or read_as(kind, file),
                "Columns ignored": ", ".join(file.get("ignored_columns") or ()),
            }
        )
    return rows


def _totals(summary: Mapping[str, Any]) -> list[Row]:
    """List the control totals, which the run compared before it delivered anything."""

    def row(what: str, read: Decimal, counted: Decimal, refused: Decimal) -> Row:
        holds = read == counted + refused
        return {
            "What": what,
            **{title: amount(str(value)) for title, value in zip(SIDES, (read, counted, refused), strict=True)},
            "Read = counted + refused": styled("✓ holds", "good") if holds else styled("✗ differs", "bad"),
        }

    control = control_totals(summary)
    files = {kind: summary["files"].get(kind, {}) for kind in MODEL.kinds} if control else {}
    records = [
        row(f"Records of {kind}", *(Decimal(int(file.get(side.lower(), 0))) for side in SIDES))
        for kind, file in files.items()
    ]
    amounts = [
        row(
            f"Amounts of {measure.kind} ({measure.column})",
            *(Decimal(str(found[f"{side}_amount"])) for side in ("scanned", "delivered", "refused")),
        )
        for measure, found in control.items()
    ]
    return records + amounts


def refused_records(beginning: bytes) -> list[Row]:
    """Return the first refused records of a rejects file, as they were read, from its first bytes."""
    return [
        {
            "Line": row["line"],
            "Code": code(row["code"]),
            "Record": code(row["record"][:RECORD_LENGTH] + "…" * (len(row["record"]) > RECORD_LENGTH)),
        }
        for row in feedback.first_refused(beginning, EXAMPLES)
    ]


def _error_chart(errors: Sequence[feedback.Group]) -> list[Bar]:
    by_code = Counter[str]()
    for group in errors:
        by_code[group.code] += group.count
    ranked = sorted(by_code.items(), key=lambda found: (-found[1], found[0]))
    return [Bar(linked(code(name), f"#{name}"), count, f"{count:,}", style="bad") for name, count in ranked]
