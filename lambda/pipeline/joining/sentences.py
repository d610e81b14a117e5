"""The sentence about each refused record: the template of its code, filled in by DuckDB's `format`."""

from __future__ import annotations

import duckdb

from pipeline.model.error_codes import RECORD_CODES, SENTENCES, ErrorCode
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.normalize import MAX_RECORD
from pipeline.reading.rules import MAX_REFERENCE
from pipeline.reading.sql import literal

_LIMITS = {ErrorCode.RECORD_TOO_LONG: MAX_RECORD, ErrorCode.REFERENCE_TOO_LONG: MAX_REFERENCE}
_NAMES = ("column", "value", "found", "expected", "first", "hint", "quotes")


def create_sentences(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `sentences` (code, template), where the names in braces are replaced by positions for `format`."""
    positions = {name: f"{{{position}}}" for position, name in enumerate(_NAMES)}
    rows = ", ".join(
        f"({literal(code)}, {literal(SENTENCES[code].format(**positions, limit=f'{_LIMITS.get(code, 0):,}'))})"
        for code in RECORD_CODES
    )
    connection.execute(f"CREATE TABLE sentences AS SELECT * FROM (VALUES {rows}) AS sentences(code, template)")


def with_reasons(file: CsvFile, refused: str) -> str:
    """Select the rows of a relation of refused records, each with its `reason`."""
    arguments = {
        "column": "column_name",
        "value": "shown(value)",
        "found": "cell_count",
        "expected": len(file.header.names),
        "first": "first_line",
        "quotes": "quotes",
        "hint": f"amount_hint(value, {literal(file.decimal_mark)})",
    }
    filled = ", ".join(f"coalesce(CAST({arguments[name]} AS VARCHAR), '')" for name in _NAMES)
    return (
        f"SELECT refused.*, format(template, {filled}) AS reason FROM {refused} AS refused JOIN sentences USING (code)"
    )
