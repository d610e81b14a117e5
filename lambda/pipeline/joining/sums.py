"""Sums over a day's records, as SQL that follows from the model: totals, marks of incomplete totals, results.

DuckDB and Spark run the same text. Each function returns one SELECT on the relations of `acceptance`, and on these:

| name | rows |
| --- | --- |
| `<kind>_lost` | the refused records whose loss makes totals incomplete |
| `<kind>_named`, `<kind>_assigned` | (line_number, root) of the refused records that belong to somebody |
| `results` | the result of each accepted record of the root kind |
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.joining.acceptance import AMONG_VALID, TOTAL, amounts, carried, parent_of, refused_references, texts
from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import ErrorCode
from pipeline.model.record_kinds import Count, RecordKind, Sum


def file_totals(kind: RecordKind) -> str:
    """Select (is_blank, code, records, amounts) of a file: one side of the reconciliation."""
    sums = "".join(f", sum({name}) AS {name}" for name in amounts(kind))
    return f"""SELECT is_blank, code, CAST(sum(records) AS BIGINT) AS records{sums}
        FROM {kind}_totals GROUP BY is_blank, code"""


def refused_totals(kind: RecordKind) -> str:
    """Select (code, records, and of each amount: its sum and the number of records without it) of refused records."""
    sums = "".join(f", sum({name}), count(*) - count({name})" for name in amounts(kind))
    return f"SELECT code, count(*){sums} FROM {kind}_refused GROUP BY code ORDER BY code"


def lost(kind: RecordKind) -> str:
    """Select the refused records whose loss makes totals incomplete: no repeated headers, no exact repetitions."""
    return f"""SELECT refused.* FROM {kind}_refused AS refused
        ANTI JOIN (SELECT cells, line_number FROM {kind}_judged WHERE own_code IS NULL) AS earlier
            ON refused.cells = earlier.cells AND refused.line_number > earlier.line_number
            AND refused.code IN ({texts(AMONG_VALID)})
        WHERE refused.code <> '{ErrorCode.REPEATED_HEADER}'"""


def named(kind: RecordKind) -> str:
    """Select (line_number, root) of the lost records of a kind that name somebody in the root's file.

    A refused record belongs to whom its parent belongs to; the parent may be refused too. A record whose cells can't be
    assigned may name two parents. `root` is NULL where it is a refused record of the root kind.
    """
    names = " UNION ALL ".join(
        f"SELECT line_number, {column} AS name FROM {kind}_lost WHERE {column} IS NOT NULL"
        for column in ("parent", "parent_right")
    )
    return f"""SELECT DISTINCT names.line_number, owners.root
        FROM ({_owners(parent_of(kind).kind)}) AS owners JOIN ({names}) AS names ON owners.reference = names.name"""


def _owners(kind: RecordKind) -> str:
    """Select (reference, root) of the records that a refused record may name, accepted or refused."""
    known = f"SELECT reference, root FROM {kind}_accepted"
    if kind.parent is None:
        return f"""{known} UNION ALL SELECT refused.reference, accepted.root
            FROM {kind}_accepted AS accepted RIGHT JOIN ({refused_references(kind)}) AS refused
                ON accepted.reference = refused.reference WHERE accepted.reference IS NULL"""
    return f"""{known} UNION ALL SELECT refused.reference, owners.root
        FROM ({refused_references(kind)}) AS refused JOIN {kind}_assigned AS owners
            ON refused.line_number = owners.line_number
        ANTI JOIN {kind}_accepted AS accepted ON refused.reference = accepted.reference"""


def assigned(kind: RecordKind) -> str:
    """Select `<kind>_named`, and the lines of records refused for their quotes that name nobody themselves.

    These belong to whom the first line of their record names.
    """
    return f"""SELECT line_number, root FROM {kind}_named
        UNION ALL SELECT lines.line_number, first_lines.root
        FROM {kind}_named AS first_lines JOIN {kind}_lost AS lines ON first_lines.line_number = lines.opening_line
        ANTI JOIN {kind}_named AS named ON lines.line_number = named.line_number"""


def refused_records() -> str:
    """Select (root, refused_records) of the accepted records of the root kind that lost records."""
    lost = (f"SELECT root FROM {kind}_assigned WHERE root IS NOT NULL" for kind in MODEL.kinds if kind.parent)
    return f"SELECT root, count(*) AS refused_records FROM ({' UNION ALL '.join(lost)}) AS lost GROUP BY root"


def unassigned_records() -> str:
    """Select how many refused records belong to nobody in the root's file, so that any total may lack them."""
    counts = (
        f"""SELECT count(*) + coalesce(sum(extra_records), 0)
                - (SELECT count(DISTINCT line_number) FROM {kind}_assigned) AS records
            FROM {kind}_lost"""
        for kind in MODEL.kinds
        if kind.parent
    )
    return f"SELECT CAST(sum(records) AS BIGINT) FROM ({' UNION ALL '.join(counts)}) AS counts"


def measure_column(measure: Count | Sum) -> str:
    """Return the column of `results` with a measure."""
    return f"{measure.kind}_records" if isinstance(measure, Count) else measure.name


def results(has_refused: bool) -> str:
    """Select the result of each accepted record of the root kind; `refused_records` is 0 if its totals are complete.

    If no record of the day was refused (`has_refused`), the marks are left out: planning them takes longer than a small
    day.
    """
    columns = ["roots.reference", *(f"roots.{name}" for name in carried(MODEL.root))]
    joins = []
    for kind in MODEL.kinds:
        if kind.parent:
            columns += _measures_of(kind)
            joins.append(f"LEFT JOIN ({_by_root(kind)}) AS {kind} ON roots.root = {kind}.root")
    columns.append(f"{'coalesce(refused_records, 0)' if has_refused else 'CAST(0 AS BIGINT)'} AS refused_records")
    if has_refused:
        joins.append(f"LEFT JOIN ({refused_records()}) AS marks ON roots.root = marks.root")
    return f"SELECT {', '.join(columns)} FROM {MODEL.root}_accepted AS roots {' '.join(joins)}"


def _measures_of(kind: RecordKind) -> Iterator[str]:
    yield f"coalesce({kind}.records, 0) AS {kind}_records"
    names = dict(zip(MODEL.summed(kind), amounts(kind), strict=True))
    for measure in MODEL.sums:
        if measure.kind == kind:
            yield f"CAST(coalesce({kind}.{names[measure.column]}, 0) AS {TOTAL}) AS {measure.name}"


def _by_root(kind: RecordKind) -> str:
    sums = "".join(f", sum({name}) AS {name}" for name in amounts(kind))
    records = "count(*)" if kind.identity else "CAST(sum(records) AS BIGINT)"
    return f"SELECT root, {records} AS records{sums} FROM {kind}_accepted GROUP BY root"


def day_totals() -> str:
    """Select one row: the records of each kind in `results`, the sums, and two numbers of results.

    These are the incomplete ones, and others that have records, but only sums of 0.
    """
    columns = ["count(*)"]
    columns += [f"CAST(coalesce(sum({kind}_records), 0) AS BIGINT)" for kind in MODEL.kinds if kind.parent]
    columns += [f"CAST(coalesce(sum({measure.name}), 0) AS {TOTAL})" for measure in MODEL.sums]
    columns.append("count(CASE WHEN refused_records > 0 THEN 1 END)")
    has_records = " OR ".join(f"{kind}_records > 0" for kind in MODEL.kinds if kind.parent)
    has_no_amount = " AND ".join(f"{measure.name} = 0" for measure in MODEL.sums) or "false"
    columns.append(f"count(CASE WHEN refused_records = 0 AND ({has_records}) AND {has_no_amount} THEN 1 END)")
    return f"SELECT {', '.join(columns)} FROM results"


def removed() -> str:
    """Select the references in the lists of earlier versions (`previous`) that have no result in this version."""
    return """SELECT DISTINCT previous.reference FROM previous
        ANTI JOIN results ON previous.reference = results.reference"""
