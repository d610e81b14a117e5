"""Remarks: what looks as if records were missing, but proves nothing; it neither holds a day nor is it an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.joining.gate import LINE_ENDS, Gate
from pipeline.joining.summary import FileSummary, Remark
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind

MAX_EXCEL_RECORDS = 1_048_575
"""A sheet has 1,048,576 rows (Microsoft, "Excel specifications and limits"); one of them is the header."""


def find_remarks(
    batch: str, files: Mapping[RecordKind, FileSummary], without_amount: int, gate: Gate | None
) -> Iterator[Remark]:
    """Yield the remarks about a day.

    Parameters
    ----------
    without_amount
        How many complete results have records, but only sums of 0.
    """
    for kind, file in files.items():
        if file.matches_control:
            continue
        never_has_one = gate is not None and gate.line_ends(batch, kind) == [False] * LINE_ENDS
        if not (file.has_final_line_end or never_has_one or "cut_short" in file.held_by):
            message = f"the last line, {file.lines:,}, has no line end, so the file may be cut short"
            yield Remark("last_line_without_end", file.file, message)
        if file.read == MAX_EXCEL_RECORDS:
            message = f"the file has exactly {file.read:,} records, as many as an Excel sheet holds under a header"
            yield Remark("row_limit", file.file, f"{message}, so the rest may be missing")
    if without_amount:
        who = f"1 {MODEL.root.singular} has" if without_amount == 1 else f"{without_amount:,} {MODEL.root} have"
        sums = " and ".join(measure.name for measure in MODEL.sums)
        yield Remark("results_without_amount", None, f"{who} records, but 0 as {sums}, so records may be missing")
