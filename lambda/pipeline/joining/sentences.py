"""The sentence about each refused record: the template of its code, filled in by DuckDB."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter

from pipeline.model.error_codes import RECORD_CODES, SENTENCES, ErrorCode
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.normalize import MAX_RECORD
from pipeline.reading.rules import MAX_REFERENCE, escaped
from pipeline.reading.sql import literal

_LIMITS: Mapping[str, int] = {ErrorCode.RECORD_TOO_LONG: MAX_RECORD, ErrorCode.REFERENCE_TOO_LONG: MAX_REFERENCE}


def with_reasons(file: CsvFile, refused: str) -> str:
    """Select the rows of a relation of refused records, each with its `reason`."""
    values = {
        "column": "column_name",
        "value": "shown_value",
        "found": "cell_count",
        "expected": str(len(file.header.names)),
        "first": "first_line",
        "parent": "shown_parent",
        "other": "shown_other",
        "similar": "similar_sentence",
        "quotes": "quotes",
        "hint": "hint",
    }
    sentences = " ".join(f"WHEN '{code}' THEN {_sentence(code, values)}" for code in RECORD_CODES)
    # As columns of their own, the macros are planned once and not for each sentence, which would take 15 ms.
    quote = "''''"
    similar = f"""CASE WHEN other_value IS NOT NULL
        THEN concat('; its line ', first_line, ' has ', {quote}, shown(other_value), {quote},
            ', which differs only in capitals, in composition or in invisible characters') END"""
    shown = f"""SELECT *, shown(value) AS shown_value, shown(parent) AS shown_parent, shown(other_value) AS shown_other,
        {_hint(file)} AS hint, {similar} AS similar_sentence FROM {refused}"""
    return f"SELECT *, CASE code {sentences} END AS reason FROM ({shown})"


def _sentence(code: str, values: Mapping[str, str]) -> str:
    """Return the SQL of a sentence; a value that is NULL is left out. `format` would take ten times as long."""
    parts = []
    for text, name, _, _ in Formatter().parse(SENTENCES[code]):
        parts.append(literal(text))
        if name:
            parts.append(literal(f"{_LIMITS[code]:,}") if name == "limit" else values[name])
    return f"concat({', '.join(parts)})"


def _hint(file: CsvFile) -> str:
    """Return the SQL of what is wrong with the cell or the record in particular, NULL if the code says it all."""
    blanks = f'(^|{escaped(file.header.delimiter)})[ \\t]+"'
    cases = {
        ErrorCode.NOT_AN_AMOUNT: f"amount_hint(value, {literal(file.decimal_mark)})",
        ErrorCode.NOT_AN_INTEGER: "integer_hint(value)",
        ErrorCode.NOT_A_TIMESTAMP: "integer_hint(value)",
        ErrorCode.BAD_QUOTING: f"quotes_hint(line, {literal(blanks)})",
    }
    allowed = {column.name: ", ".join(column.allowed) for column in file.kind.columns if column.allowed}
    if allowed:
        values = " ".join(f"WHEN {literal(name)} THEN {literal(text)}" for name, text in allowed.items())
        cases[ErrorCode.NOT_ALLOWED] = f"CASE column_name {values} END"
    hints = " ".join(f"WHEN '{code}' THEN {hint}" for code, hint in cases.items())
    return f"CASE code {hints} END"
