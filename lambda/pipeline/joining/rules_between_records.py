"""The rules between records as one SQL text: the parent of a record, repeated row ids, repeated references.

They are applied one after another, each to the records that passed the ones before. So a record is a duplicate only of
a record that was not refused by an earlier rule. The SQL uses only explicit columns, LEFT JOIN and window functions, so
that every engine with standard SQL runs it: DuckDB here, Spark for days that are too large for one function.
"""

from __future__ import annotations

from pipeline.model import data_model
from pipeline.model.error_codes import ErrorCode
from pipeline.model.record_kinds import Parent, RecordKind
from pipeline.reading.sql import Step, query

UNKNOWN = {data_model.CUSTOMERS: ErrorCode.UNKNOWN_CUSTOMER, data_model.ORDERS: ErrorCode.UNKNOWN_ORDER}
REFUSED = {data_model.CUSTOMERS: ErrorCode.REFUSED_CUSTOMER, data_model.ORDERS: ErrorCode.REFUSED_ORDER}

CANDIDATE_COLUMNS = {
    "line_number": "BIGINT",
    "line": "STRING",
    "cell_count": "BIGINT",
    "id": "STRING",
    "reference": "STRING",
    "parent": "STRING",
    "amount": "DECIMAL(18,4)",
    "customer_reference": "STRING",
    "order_reference": "STRING",
    "code": "STRING",
    "column_name": "STRING",
    "value": "STRING",
    "quotes": "STRING",
}
"""Columns of the candidates. `code` is NULL if a record breaks no rule by itself.

`reference` identifies the record, `parent` is the reference of the record that it belongs to. The error concerns the
column `column_name` with the cell `value`. For the lines of a record of several lines that is refused for its quotes,
`quotes` is the part of the error message that says which line it is.
"""

JUDGED_COLUMNS = CANDIDATE_COLUMNS | {"own_code": "STRING", "first_line": "BIGINT"}
"""`own_code` is the error of the record by itself, `first_line` the line of the record that it repeats."""

_PASSED_ON = ", ".join(name for name in CANDIDATE_COLUMNS if name not in ("code", "column_name", "value"))


def judged_candidates(kind: RecordKind, unique: str | None, is_standard: bool = False) -> str:
    """Select the candidates of a kind with their final `code`, NULL if accepted; `is_standard` as for `query`.

    Reads `<kind>_candidates` and, for the kind of the parent, `<parent>_accepted` (reference) and `<parent>_refused`.
    """
    steps = [_standing(kind)]
    if kind.parent:
        steps.append(_check_parent(kind.parent, records=steps[-1].name))
    if unique:
        steps += _check_repeated("id", unique, ErrorCode.DUPLICATE_ID, records=steps[-1].name)
    if kind.identity:
        steps += _check_repeated("reference", kind.identity, ErrorCode.DUPLICATE_REFERENCE, records=steps[-1].name)
    columns = ", ".join(JUDGED_COLUMNS)
    broken = f"""SELECT {_PASSED_ON}, code, column_name, value, code AS own_code, CAST(NULL AS BIGINT) AS first_line
        FROM {kind}_candidates WHERE code IS NOT NULL"""
    every = Step("every", f"SELECT {columns} FROM ({broken}) UNION ALL SELECT {columns} FROM {steps[-1].name}")
    return query([*steps, every], columns, is_standard)


def _standing(kind: RecordKind) -> Step:
    """Select the candidates that break no rule by themselves."""
    return Step(
        "standing",
        f"""SELECT {_PASSED_ON}, code, column_name, value, code AS own_code, CAST(NULL AS BIGINT) AS first_line
        FROM {kind}_candidates WHERE code IS NULL""",
    )


def _check_parent(parent: Parent, records: str) -> Step:
    """Refuse the records whose parent is not among the accepted records of its kind."""
    kind, column = parent.kind, parent.column
    return Step(
        "with_parent",
        f"""SELECT {_PASSED_ON}, own_code, first_line,
            CASE WHEN accepted_reference IS NOT NULL THEN CAST(NULL AS STRING)
                WHEN refused_reference IS NOT NULL THEN '{REFUSED[kind]}' ELSE '{UNKNOWN[kind]}' END AS code,
            '{column}' AS column_name, parent AS value
        FROM {records}
        LEFT JOIN (SELECT reference AS accepted_reference FROM {kind}_accepted) AS accepted
            ON parent = accepted_reference
        LEFT JOIN (SELECT DISTINCT {column} AS refused_reference FROM {kind}_refused) AS refused
            ON parent = refused_reference""",
    )


def _check_repeated(key: str, column: str, code: ErrorCode, records: str) -> list[Step]:
    """Refuse, of the records with the same key that are not refused yet, all but the first."""
    earliest = Step(
        f"earliest_{key}",
        f"""SELECT {_PASSED_ON}, own_code, first_line, code, column_name, value,
            min(line_number) OVER (PARTITION BY code IS NULL, {key}) AS earliest
        FROM {records}""",
    )
    later = f"code IS NULL AND {key} <> '' AND earliest < line_number"
    repeated = Step(
        f"unrepeated_{key}",
        f"""SELECT {_PASSED_ON}, own_code,
            CASE WHEN {later} THEN earliest ELSE first_line END AS first_line,
            CASE WHEN {later} THEN '{code}' ELSE code END AS code,
            CASE WHEN {later} THEN '{column}' ELSE column_name END AS column_name,
            CASE WHEN {later} THEN {key} ELSE value END AS value
        FROM {earliest.name}""",
    )
    return [earliest, repeated]
