"""The second pass over a file: the candidates are the records that break a rule or may break one between records.

The file is read in order and with line numbers. `acceptance.judged` then decides which candidates are refused, and each
refused record gets the sentence of its error code.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from pipeline.joining.acceptance import candidate_columns, carried
from pipeline.joining.sentences import with_reasons
from pipeline.model.items import error_item
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.candidates import create_candidates, text_as_read
from pipeline.reading.csv_file import CsvFile
from pipeline.reading.rules import MAX_REFERENCE
from pipeline.reading.sql import literal, quoted


def collect_candidates(connection: duckdb.DuckDBPyConnection, file: CsvFile, conditions: list[str]) -> None:
    """Create `<kind>_candidates`: the records that break a rule by themselves or meet one of the conditions."""
    kind = file.kind
    columns = {name: name for name in candidate_columns(kind)} | {
        "id": quoted(file.unique) if file.unique else "''",
        "code": "code::VARCHAR",
        **{name: quoted(column) for name, column in carried(kind).items()},
    }
    create_candidates(connection, file, conditions, columns)


def first_refused(kind: RecordKind, limit: int, of_each_code: int) -> str:
    """Select the first refused records of a file, and the first of each code."""
    ranked = f"""SELECT line_number, row_number() OVER (PARTITION BY code ORDER BY line_number) AS occurrence
        FROM {kind}_refused"""
    return f"""SELECT refused.* FROM {kind}_refused AS refused SEMI JOIN (
            SELECT * FROM (SELECT line_number FROM {kind}_refused ORDER BY line_number LIMIT {limit}) AS first_of_all
            UNION ALL SELECT line_number FROM ({ranked}) AS ranked WHERE occurrence <= {of_each_code}
        ) AS chosen ON refused.line_number = chosen.line_number"""


def errors(connection: duckdb.DuckDBPyConnection, batch: str, file: CsvFile, refused: str) -> Iterator[dict[str, Any]]:
    """Yield the error items of refused records, by line, each with the references that it names unless too long."""
    columns = {"reference": file.kind.identity, "parent": file.kind.parent and file.kind.parent.kind.identity}
    names = {name: identity for name, identity in columns.items() if identity}
    short = (f"CASE WHEN strlen({name}) <= {MAX_REFERENCE} THEN {name} END" for name in names)
    rows = connection.execute(
        f"""SELECT {", ".join(["line_number", "code", "reason", *short])}
        FROM ({with_reasons(file, f"({refused})")}) ORDER BY line_number"""
    )
    while found := rows.fetchmany(1000):
        for line, code, reason, *references in found:
            named = dict(zip(names.values(), references, strict=True))
            yield error_item(batch, file.kind, file.name, line, code, reason, named)


def write_rejects(connection: duckdb.DuckDBPyConnection, file: CsvFile, target: Path) -> None:
    """Write all refused records of the file as CSV, each as it was read, with its line, code and reason.

    An apostrophe is put before all that a spreadsheet could cut off as a cell and interpret as a formula.
    """
    connection.execute(
        f"""COPY (SELECT line_number AS line, code, no_formula_in_sentence(reason) AS reason,
                no_formula({text_as_read(file)}) AS record
            FROM ({with_reasons(file, f"{file.kind}_refused")}) ORDER BY line_number)
        TO {literal(str(target))} (FORMAT csv, HEADER true)"""
    )
