"""The second pass over a file: the candidates are the records that break a rule or may break one between records.

The file is read in order and with line numbers. `steps.judged` then decides which candidates are refused, and each
refused record gets the sentence of its error code.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb

from pipeline.joining.engine import Refusal
from pipeline.joining.sentences import with_reasons
from pipeline.joining.steps import candidate_columns, carried
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


def refusals(connection: duckdb.DuckDBPyConnection, file: CsvFile, limit: int) -> Iterator[Refusal]:
    """Yield the first refused records of a file, by line."""
    return _with_reasons(connection, file, f"(FROM {file.kind}_refused ORDER BY line_number LIMIT {limit})")


def first_refusals(connection: duckdb.DuckDBPyConnection, file: CsvFile, limit: int) -> Iterator[Refusal]:
    """Yield the first refused records of each code of a file, by line."""
    occurrence = "row_number() OVER (PARTITION BY code ORDER BY line_number)"
    return _with_reasons(connection, file, f"(FROM {file.kind}_refused QUALIFY {occurrence} <= {limit})")


def _with_reasons(connection: duckdb.DuckDBPyConnection, file: CsvFile, refused: str) -> Iterator[Refusal]:
    names = reference_columns(file)
    short = (f"CASE WHEN strlen({name}) <= {MAX_REFERENCE} THEN {name} END" for name in names)
    rows = connection.execute(
        f"""SELECT {", ".join(["line_number", "code", "reason", *short])}
        FROM ({with_reasons(file, refused)}) ORDER BY line_number"""
    )
    while batch := rows.fetchmany(1000):
        for line, code, reason, *references in batch:
            yield Refusal(line, code, reason, dict(zip(names.values(), references, strict=True)))


def reference_columns(file: CsvFile) -> dict[str, str]:
    """Return the columns of refused records with references, and the identity of the kind that each refers to."""
    columns = {"reference": file.kind.identity}
    if file.kind.parent:
        columns["parent"] = file.kind.parent.kind.identity
    return {name: identity for name, identity in columns.items() if identity}


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
