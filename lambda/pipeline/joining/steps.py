"""The steps after a file's records are read, as SQL that follows from the model. DuckDB and Spark run the same text.

Each function returns one SELECT. The relations, for a kind `<kind>`:

| name | rows |
| --- | --- |
| `<kind>_totals` | records and amounts by error code of single records, and the row ids as bitmaps (see `first_pass`) |
| `<kind>_valid` | records that break no rule for single records and have an accepted parent |
| `<kind>_candidates` | records that break such a rule, or may break a rule between records |
| `<kind>_judged` | the candidates, each with its final error code, NULL if it is accepted |
| `<kind>_refused` | the candidates that are refused |
| `<kind>_accepted` | the accepted records |
| `results` | the result of each accepted record of the root kind |

Kinds with an identity are kept record by record: (reference, root, amounts, carried columns). Others are summed: (root,
records, amounts). `root` stands for the record of the root kind that a record belongs to: a number where the engine has
one, else its reference. Large relations are on the left of a join, since DuckDB streams the left side.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import ErrorCode, refused, unknown
from pipeline.model.record_kinds import Count, Parent, RecordKind
from pipeline.reading.sql import Step, query

TOTAL = "DECIMAL(38,4)"
_AMONG_VALID = (ErrorCode.DUPLICATE_ID, ErrorCode.DUPLICATE_REFERENCE)
"""Codes of refused records that are in `<kind>_valid`: they have an accepted parent."""


def amounts(kind: RecordKind) -> list[str]:
    """Return the columns of a kind's relations that hold the values of its columns `MODEL.summed`."""
    return [f"amount_{number}" for number, _ in enumerate(MODEL.summed(kind), 1)]


def carried(kind: RecordKind) -> dict[str, str]:
    """Return the columns of a kind's relations with the texts that results carry, and the columns of the file."""
    if kind != MODEL.root:
        return {}
    return {f"carried_{number}": name for number, name in enumerate(MODEL.result.carried, 1)}


def candidate_columns(kind: RecordKind) -> dict[str, str]:
    """Return the columns of `<kind>_candidates` with their types.

    `reference` and `parent` are the references that the record gives itself and names, NULL if it has none. `id` is the
    value of the unique column. `code` is NULL if the record breaks no rule by itself. The error concerns the column
    `column_name` with the cell `value`. For the lines of a record of several lines that is refused for its quotes,
    `quotes` is the part of the error message that says which line it is.
    """
    return {
        "line_number": "BIGINT",
        "line": "STRING",
        "cell_count": "BIGINT",
        "id": "STRING",
        "reference": "STRING",
        "parent": "STRING",
        **dict.fromkeys(amounts(kind), "DECIMAL(18,4)"),
        **dict.fromkeys(carried(kind), "STRING"),
        "code": "STRING",
        "column_name": "STRING",
        "value": "STRING",
        "quotes": "STRING",
    }


def judged_columns(kind: RecordKind) -> dict[str, str]:
    """Return the columns of `<kind>_judged` with their types.

    `own_code` is the error of the record by itself, `first_line` the line of the record that it repeats.
    """
    return candidate_columns(kind) | {"own_code": "STRING", "first_line": "BIGINT"}


def nothing_judged(kind: RecordKind) -> str:
    """Select no rows with the columns of `<kind>_judged`."""
    columns = (f"CAST(NULL AS {type_name}) AS {name}" for name, type_name in judged_columns(kind).items())
    return f"SELECT {', '.join(columns)} WHERE 1 = 0"


# --- the rules between records --------------------------------------------------------------------------------


def with_root(kind: RecordKind, records: str, columns: list[str]) -> str:
    """Select `columns` of a relation of valid records with `parent`, and the root of each, NULL without a parent."""
    if kind.parent is None:
        raise ValueError(f"{kind} has no parent")
    return f"""SELECT {", ".join(f"records.{column}" for column in columns)}, parents.root
        FROM {records} AS records LEFT JOIN {kind.parent.kind}_accepted AS parents
            ON records.parent = parents.reference"""


def judged(kind: RecordKind, unique: str | None, for_spark: bool = False) -> str:
    """Select the candidates of a kind with their final code. The rules are applied one after another.

    Each rule is applied to the records that passed the ones before. So a record is a duplicate only of a record that
    was not refused by an earlier rule. `unique` is the column whose values must not repeat, if the file has one.
    """
    steps = [_unbroken(kind)]
    if kind.parent:
        steps.append(_check_parent(kind, kind.parent, steps[-1].name))
    if unique:
        steps += _check_repeated(kind, "id", unique, ErrorCode.DUPLICATE_ID, steps[-1].name)
    if kind.identity:
        steps += _check_repeated(kind, "reference", kind.identity, ErrorCode.DUPLICATE_REFERENCE, steps[-1].name)
    columns = ", ".join(judged_columns(kind))
    broken = f"""SELECT {_passed_on(kind)}, code, column_name, value, code AS own_code,
        CAST(NULL AS BIGINT) AS first_line FROM {kind}_candidates WHERE code IS NOT NULL"""
    every = Step("every", f"SELECT {columns} FROM ({broken}) UNION ALL SELECT {columns} FROM {steps[-1].name}")
    return query([*steps, every], columns, for_spark)


def _passed_on(kind: RecordKind) -> str:
    return ", ".join(name for name in candidate_columns(kind) if name not in ("code", "column_name", "value"))


def _unbroken(kind: RecordKind) -> Step:
    """Select the candidates that break no rule by themselves."""
    return Step(
        "unbroken",
        f"""SELECT {_passed_on(kind)}, code, column_name, value, code AS own_code, CAST(NULL AS BIGINT) AS first_line
        FROM {kind}_candidates WHERE code IS NULL""",
    )


def _check_parent(kind: RecordKind, parent: Parent, records: str) -> Step:
    """Refuse the records whose parent is not among the accepted records of its kind."""
    return Step(
        "with_parent",
        f"""SELECT {_passed_on(kind)}, own_code, first_line,
            CASE WHEN accepted_reference IS NOT NULL THEN CAST(NULL AS STRING)
                WHEN refused_reference IS NOT NULL THEN '{refused(parent.kind)}'
                ELSE '{unknown(parent.kind)}' END AS code,
            '{parent.column}' AS column_name, parent AS value
        FROM {records}
        LEFT JOIN (SELECT reference AS accepted_reference FROM {parent.kind}_accepted) AS accepted
            ON parent = accepted_reference
        LEFT JOIN (SELECT DISTINCT reference AS refused_reference FROM {parent.kind}_refused) AS refused
            ON parent = refused_reference""",
    )


def _check_repeated(kind: RecordKind, key: str, column: str, code: ErrorCode, records: str) -> list[Step]:
    """Refuse, of the records with the same key that are not refused yet, all but the first."""
    earliest = Step(
        f"earliest_{key}",
        f"""SELECT {_passed_on(kind)}, own_code, first_line, code, column_name, value,
            min(line_number) OVER (PARTITION BY code IS NULL, {key}) AS earliest
        FROM {records}""",
    )
    later = f"code IS NULL AND {key} <> '' AND earliest < line_number"
    repeated = Step(
        f"unrepeated_{key}",
        f"""SELECT {_passed_on(kind)}, own_code,
            CASE WHEN {later} THEN earliest ELSE first_line END AS first_line,
            CASE WHEN {later} THEN '{code}' ELSE code END AS code,
            CASE WHEN {later} THEN '{column}' ELSE column_name END AS column_name,
            CASE WHEN {later} THEN {key} ELSE value END AS value
        FROM {earliest.name}""",
    )
    return [earliest, repeated]


def anomalies(kind: RecordKind, unique: str | None) -> dict[str, str]:
    """Return what may make a second pass necessary: by name, the SQL of a boolean over the first pass.

    `orphans`: records without an accepted parent; `references`: the same reference in several records; `ids`: row ids
    that are not known to be distinct numbers, as they usually are.
    """
    valid = f"FROM {kind}_totals WHERE code IS NULL AND NOT is_blank"
    found = {}
    if kind.parent:
        records = "count(*)" if kind.identity else "coalesce(sum(records), 0)"
        found["orphans"] = f"(SELECT coalesce(sum(records), 0) {valid}) > (SELECT {records} FROM {kind}_valid)"
    if kind.identity:
        found["references"] = f"(SELECT count(DISTINCT reference) < count(*) FROM {kind}_valid)"
    if unique:
        found["ids"] = f"""(SELECT coalesce(sum(records), 0) > coalesce(sum(bit_count(bits)), 0)
            FROM (SELECT sum(records) AS records, bit_or(id_bits) AS bits
                {valid} AND id_block IS NOT NULL GROUP BY id_block) AS blocks)"""
    return found


def repeated_references(kind: RecordKind) -> str:
    """Select the references that occur in several valid records."""
    return f"SELECT reference FROM {kind}_valid GROUP BY reference HAVING count(*) > 1"


def accepted(kind: RecordKind, for_spark: bool = False) -> str:
    """Select the accepted records: all valid ones but the candidates, and the candidates that were not refused."""
    return _accepted_records(kind, for_spark) if kind.identity else _accepted_sums(kind)


def _accepted_records(kind: RecordKind, for_spark: bool) -> str:
    others = [*amounts(kind), *carried(kind)]
    codes = ", ".join(f"'{code}'" for code in _AMONG_VALID)
    kept = Step("kept", f"SELECT parent, {', '.join(['reference', *others])} FROM {kind}_judged WHERE code IS NULL")
    decided = Step(
        "decided",
        f"""SELECT reference AS decided_reference FROM {kind}_judged
        WHERE own_code IS NULL AND (code IS NULL OR code IN ({codes}))""",
    )
    if kind.parent:
        roots = Step("roots", f"SELECT reference AS parent, root FROM {kind.parent.kind}_accepted")
        key = "parent"
    else:
        roots = Step(
            "roots",
            f"""SELECT reference, min(root) AS root FROM {kind}_valid
            SEMI JOIN decided ON reference = decided_reference GROUP BY reference""",
        )
        key = "reference"
    columns = ", ".join(["reference", "root", *others])
    of_kept = ", ".join(["kept.reference", "roots.root", *(f"kept.{name}" for name in others)])
    every = Step(
        "every",
        f"""SELECT {columns} FROM {kind}_valid ANTI JOIN decided ON reference = decided_reference
        UNION ALL SELECT {of_kept} FROM roots JOIN kept ON roots.{key} = kept.{key}""",
    )
    return query([kept, decided, roots, every], columns, for_spark)


def _accepted_sums(kind: RecordKind) -> str:
    """Subtract from the sums the valid records that were refused."""
    if kind.parent is None:  # the model makes sure of it
        raise ValueError(f"{kind} has neither an identity nor a parent")
    sums = "".join(f", CAST(sum({name}) AS {TOTAL}) AS {name}" for name in amounts(kind))
    added = "".join(f", {name}" for name in amounts(kind))
    subtracted = "".join(f", -refused.{name}" for name in amounts(kind))
    return f"""SELECT root, CAST(sum(records) AS BIGINT) AS records{sums} FROM (
            SELECT root, records{added} FROM {kind}_valid
            UNION ALL SELECT parents.root, -1{subtracted}
            FROM {kind.parent.kind}_accepted AS parents JOIN {kind}_judged AS refused
                ON parents.reference = refused.parent
            WHERE refused.own_code IS NULL AND refused.code IS NOT NULL
        ) AS changes GROUP BY root"""


# --- sums -----------------------------------------------------------------------------------------------------


def file_totals(kind: RecordKind) -> str:
    """Select (is_blank, code, records, amounts) of a file: one side of the reconciliation."""
    sums = "".join(f", sum({name}) AS {name}" for name in amounts(kind))
    return f"""SELECT is_blank, code, CAST(sum(records) AS BIGINT) AS records{sums}
        FROM {kind}_totals GROUP BY is_blank, code"""


def refused_totals(kind: RecordKind) -> str:
    """Select (code, records, and of each amount: its sum and the number of records without it) of refused records."""
    sums = "".join(f", sum({name}), count(*) - count({name})" for name in amounts(kind))
    return f"SELECT code, count(*){sums} FROM {kind}_refused GROUP BY code ORDER BY code"


def refused_records() -> str:
    """Select (root, refused_records) of the accepted records of the root kind that lost records.

    A refused record belongs to the record that it names: to the accepted one, or else to the first refused one that
    itself belongs to an accepted record of the root kind. A record whose cells can't be assigned to columns belongs to
    nobody.
    """
    lost = [_lost(kind) for kind in MODEL.kinds if kind.parent]
    return f"SELECT root, count(*) AS refused_records FROM ({' UNION ALL '.join(lost)}) AS lost GROUP BY root"


def _lost(kind: RecordKind) -> str:
    if kind.parent is None:
        raise ValueError(f"{kind} has no parent")
    return f"""SELECT owners.root FROM ({_owners(kind.parent.kind)}) AS owners
        JOIN {kind}_refused AS refused ON owners.reference = refused.parent"""


def _owners(kind: RecordKind) -> str:
    """Select (reference, root) of the records that a refused record may name."""
    known = f"SELECT reference, root FROM {kind}_accepted"
    if kind.parent is None:
        return known
    return f"""{known}
        UNION ALL SELECT reference, root FROM (
            SELECT refused.reference, owners.root,
                row_number() OVER (PARTITION BY refused.reference ORDER BY refused.line_number) AS occurrence
            FROM ({_owners(kind.parent.kind)}) AS owners JOIN {kind}_refused AS refused
                ON owners.reference = refused.parent
            ANTI JOIN (SELECT reference AS known FROM {kind}_accepted) AS known ON refused.reference = known.known
            WHERE refused.reference IS NOT NULL
        ) AS named WHERE occurrence = 1"""


def result_columns() -> list[str]:
    """Return the columns of `results` after `reference`: those carried, records of each kind, sums, refused records."""
    counts = [f"{kind}_records" for kind in MODEL.kinds if kind.parent]
    return [*carried(MODEL.root), *counts, *(measure.name for measure in MODEL.sums), "refused_records"]


def measure_column(measure: object) -> str:
    """Return the column of `results` with a measure."""
    return f"{measure.kind}_records" if isinstance(measure, Count) else str(getattr(measure, "name", ""))


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
    """Select one row: the records of each kind in `results`, the sums, and how many results are incomplete."""
    columns = ["count(*)"]
    columns += [f"CAST(coalesce(sum({kind}_records), 0) AS BIGINT)" for kind in MODEL.kinds if kind.parent]
    columns += [f"CAST(coalesce(sum({measure.name}), 0) AS {TOTAL})" for measure in MODEL.sums]
    columns.append("count(CASE WHEN refused_records > 0 THEN 1 END)")
    return f"SELECT {', '.join(columns)} FROM results"


def removed() -> str:
    """Select the references in the lists of earlier versions (`previous`) that have no result in this version."""
    return """SELECT DISTINCT previous.reference FROM previous
        ANTI JOIN results ON previous.reference = results.reference"""
