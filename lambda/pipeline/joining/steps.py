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

from collections.abc import Iterable, Iterator

from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import UNASSIGNABLE_CODES, ErrorCode, refused, unknown
from pipeline.model.record_kinds import Count, Parent, RecordKind, Sum
from pipeline.model.text import INVISIBLE_CHARACTERS
from pipeline.reading.sql import Step, literal, query

TOTAL = "DECIMAL(38,4)"
_NOT_COMPARED = INVISIBLE_CHARACTERS.translate({0: None, ord(" "): None})
"""Invisible characters that a reference may have or lack to look like another one."""
_FOR_REFERENCE = (ErrorCode.CONFLICTING_REFERENCE, ErrorCode.DUPLICATE_REFERENCE)
_AMONG_VALID = (ErrorCode.DUPLICATE_ID, *_FOR_REFERENCE)
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

    `reference` and `parent` are the references that the record gives itself and names, NULL if it has none. Where its
    cells can't be assigned to columns, they are the texts at the columns' places counted from the left, and
    `reference_right` and `parent_right` those counted from the right. `id` is the value of the unique column, `cells` a
    text of all cells. `code` is NULL if the record breaks no rule by itself; else the error concerns the column
    `column_name` with the cell `value`. Of the lines of a record of several lines that is refused for its quotes,
    `quotes` is the part of the error message that says which line it is, and `opening_line` the first line of the
    record. `extra_records` is how many further records the record may hold, as two on one line.
    """
    return {
        "line_number": "BIGINT",
        "line": "STRING",
        "cell_count": "BIGINT",
        "cells": "STRING",
        "id": "STRING",
        "reference": "STRING",
        "reference_right": "STRING",
        "parent": "STRING",
        "parent_right": "STRING",
        **dict.fromkeys(amounts(kind), "DECIMAL(18,4)"),
        **dict.fromkeys(carried(kind), "STRING"),
        "code": "STRING",
        "column_name": "STRING",
        "value": "STRING",
        "quotes": "STRING",
        "opening_line": "BIGINT",
        "extra_records": "BIGINT",
    }


def judged_columns(kind: RecordKind) -> dict[str, str]:
    """Return the columns of `<kind>_judged` with their types.

    `own_code` is the error of the record by itself. `first_line` is the line of the record that it repeats, or of its
    refused parent. `other_value` is the parent that another record with the same reference names, or a reference that
    is similar to an unknown one.
    """
    return candidate_columns(kind) | {"own_code": "STRING", "first_line": "BIGINT", "other_value": "STRING"}


def nothing_judged(kind: RecordKind) -> str:
    """Select no rows with the columns of `<kind>_judged`."""
    columns = (f"CAST(NULL AS {type_name}) AS {name}" for name, type_name in judged_columns(kind).items())
    return f"SELECT {', '.join(columns)} WHERE 1 = 0"


# --- the rules between records --------------------------------------------------------------------------------


def with_root(kind: RecordKind, records: str, columns: list[str]) -> str:
    """Select `columns` of a relation of valid records with `parent`, and the root of each, NULL without a parent."""
    return f"""SELECT {", ".join(f"records.{column}" for column in columns)}, parents.root
        FROM {records} AS records LEFT JOIN {_parent(kind).kind}_accepted AS parents
            ON records.parent = parents.reference"""


def known_parents(kind: RecordKind) -> str:
    """Select the references that candidates name and the parent's file has.

    Columns: known_reference, is_accepted (1 or 0), and refused_line, the first line where it is refused, else NULL.
    """
    parent = _parent(kind).kind
    asked = f"""SELECT parent AS asked FROM {kind}_candidates
        UNION SELECT parent_right AS asked FROM {kind}_candidates"""
    return f"""SELECT reference AS known_reference, max(is_accepted) AS is_accepted, min(line_number) AS refused_line
        FROM (
            SELECT reference, 1 AS is_accepted, CAST(NULL AS BIGINT) AS line_number
            FROM {parent}_accepted SEMI JOIN ({asked}) AS names ON reference = asked
            UNION ALL SELECT reference, 0 AS is_accepted, line_number
            FROM ({_refused_references(parent)}) AS refused SEMI JOIN ({asked}) AS names ON reference = asked
        ) AS found GROUP BY reference"""


def similar_parents(kind: RecordKind) -> str:
    """Select (asked, similar_reference, refused_line): references that candidates name, and what the parent's file has.

    The two differ in capitals, in composition (Unicode NFC, NFD) or in invisible characters. `refused_line` is NULL if
    the similar record is accepted.
    """
    parent = _parent(kind).kind
    asked = f"""SELECT DISTINCT parent AS asked FROM {kind}_candidates
        ANTI JOIN {kind}_known AS known ON parent = known.known_reference WHERE code IS NULL"""
    return f"""SELECT asked, min(reference) AS similar_reference, min(line_number) AS refused_line FROM (
            SELECT reference, CAST(NULL AS BIGINT) AS line_number FROM {parent}_accepted
            UNION ALL {_refused_references(parent)}
        ) AS given JOIN ({asked}) AS names ON {_folded("reference")} = {_folded("asked")} GROUP BY asked"""


def _folded(reference: str) -> str:
    """Return the SQL of what two references have in common that look the same or differ in capitals."""
    return f"lower(nfc_normalize(translate({reference}, {literal(_NOT_COMPARED)}, '')))"


def _parent(kind: RecordKind) -> Parent:
    if kind.parent is None:
        raise ValueError(f"{kind} has no parent")
    return kind.parent


def _refused_references(kind: RecordKind) -> str:
    """Select (reference, line_number) of the references that refused records give themselves."""
    refused = f"FROM {kind}_refused WHERE code <> '{ErrorCode.REPEATED_HEADER}'"
    return f"""SELECT reference, line_number {refused} AND reference IS NOT NULL
        UNION ALL SELECT reference_right AS reference, line_number {refused} AND reference_right IS NOT NULL"""


def judged(kind: RecordKind, unique: str | None, for_spark: bool = False, blocked: str | None = None) -> str:
    """Select the candidates of a kind with their final code. The rules are applied one after another.

    Each rule is applied to the records that passed the ones before, and adds its verdict. So a record is a duplicate
    only of a record that no earlier rule refuses.

    Parameters
    ----------
    unique
        The column whose values must not repeat, if the file has one.
    blocked
        A relation of the lines (`blocked_lines`) whose records have not given their id, as a later rule refuses them.
    """
    steps = [
        _unbroken(kind, blocked),
        _with_parent(kind),
        *_with_id(unique),
        *_with_reference(kind),
    ]
    verdicts = {
        "code": "coalesce(parent_code, id_code, reference_code)",
        "column_name": _by_rule(
            *(f"'{name}'" if name else None for name in (kind.parent and kind.parent.column, unique, kind.identity))
        ),
        "value": _by_rule("parent", "id", "reference"),
        "own_code": "CAST(NULL AS STRING)",
        "first_line": _by_rule("refused_line", "id_line", "reference_line"),
        "other_value": f"""CASE WHEN parent_code IS NOT NULL THEN similar_reference
            WHEN reference_code = '{ErrorCode.CONFLICTING_REFERENCE}' THEN other_parent END""",
    }
    columns = judged_columns(kind)
    selected = ", ".join(f"{verdicts[name]} AS {name}" if name in verdicts else name for name in columns)
    every = Step(
        "every",
        f"""SELECT {", ".join(columns)} FROM ({_broken(kind)}) AS broken
        UNION ALL SELECT {selected} FROM {steps[-1].name}""",
    )
    return query([*steps, every], ", ".join(columns), for_spark)


def _by_rule(parent: str | None, unique: str | None, reference: str | None) -> str:
    """Return the SQL of a value that depends on the rule that a record breaks."""
    values = {"parent_code": parent, "id_code": unique, "reference_code": reference}
    cases = " ".join(f"WHEN {code} IS NOT NULL THEN {value}" for code, value in values.items() if value)
    return f"CASE {cases} END" if cases else "CAST(NULL AS STRING)"


def _unbroken(kind: RecordKind, blocked: str | None) -> Step:
    """Select the candidates that break no rule by themselves."""
    is_blocked, join = "false", ""
    if blocked:
        is_blocked = "blocked.line_number IS NOT NULL"
        join = f"LEFT JOIN {blocked} AS blocked ON candidates.line_number = blocked.line_number"
    return Step(
        "unbroken",
        f"""SELECT candidates.*, {is_blocked} AS is_blocked
        FROM {kind}_candidates AS candidates {join} WHERE candidates.code IS NULL""",
    )


def _with_parent(kind: RecordKind) -> Step:
    """Refuse the records whose parent is not among the accepted records of its kind."""
    if kind.parent is None:
        return Step(
            "with_parent",
            """SELECT *, CAST(NULL AS STRING) AS parent_code, CAST(NULL AS BIGINT) AS refused_line,
                CAST(NULL AS STRING) AS similar_reference FROM unbroken""",
        )
    return Step(
        "with_parent",
        f"""SELECT unbroken.*, likely.similar_reference,
            coalesce(known.refused_line, likely.refused_line) AS refused_line,
            CASE WHEN known.is_accepted = 1 THEN CAST(NULL AS STRING)
                WHEN known.is_accepted = 0 THEN '{refused(kind.parent.kind)}'
                ELSE '{unknown(kind.parent.kind)}' END AS parent_code
        FROM unbroken LEFT JOIN {kind}_known AS known ON unbroken.parent = known.known_reference
            LEFT JOIN {kind}_similar AS likely ON unbroken.parent = likely.asked""",
    )


def _with_id(unique: str | None) -> list[Step]:
    """Refuse, of the records with the same id, all but the first."""
    if unique is None:
        return [
            Step(
                "with_id",
                "SELECT *, CAST(NULL AS STRING) AS id_code, CAST(NULL AS BIGINT) AS id_line FROM with_parent",
            )
        ]
    first = Step(
        "first_ids",
        """SELECT *, min(CASE WHEN is_blocked THEN CAST(NULL AS BIGINT) ELSE line_number END)
            OVER (PARTITION BY parent_code IS NULL, id) AS id_line FROM with_parent""",
    )
    later = f"""SELECT *, CASE WHEN parent_code IS NULL AND id <> '' AND id_line < line_number
            THEN '{ErrorCode.DUPLICATE_ID}' END AS id_code FROM first_ids"""
    return [first, Step("with_id", later)]


def _with_reference(kind: RecordKind) -> list[Step]:
    """Refuse, of the records with the same reference, all but the first, or all if they name different parents."""
    if kind.identity is None:
        nothing = ", ".join(f"CAST(NULL AS STRING) AS {name}" for name in ("reference_code", "other_parent"))
        return [Step("with_reference", f"SELECT *, {nothing}, CAST(NULL AS BIGINT) AS reference_line FROM with_id")]
    first = Step(
        "first_references",
        """SELECT *, coalesce(parent_code, id_code) IS NULL AS passes,
            min(line_number) OVER same AS reference_line,
            min(parent) OVER same AS least, max(parent) OVER same AS greatest
        FROM with_id WINDOW same AS (PARTITION BY coalesce(parent_code, id_code) IS NULL, reference)""",
    )
    return [
        first,
        Step(
            "with_reference",
            f"""SELECT *, CASE WHEN parent = least THEN greatest ELSE least END AS other_parent,
                CASE WHEN passes AND least <> greatest THEN '{ErrorCode.CONFLICTING_REFERENCE}'
                    WHEN passes AND reference_line < line_number THEN '{ErrorCode.DUPLICATE_REFERENCE}'
                    END AS reference_code
            FROM first_references""",
        ),
    ]


def _broken(kind: RecordKind) -> str:
    """Select the candidates that break a rule by themselves.

    Where the cells can't be assigned, a text names a parent only if the parent's file has that reference.
    """
    verdicts = {"own_code": "code", "first_line": "CAST(NULL AS BIGINT)", "other_value": "CAST(NULL AS STRING)"}
    joins = ""
    if kind.parent:
        verdicts |= {
            "parent": f"""CASE WHEN code IN ({_texts(UNASSIGNABLE_CODES)})
                THEN coalesce(on_left.known_reference, on_right.known_reference) ELSE parent END""",
            "parent_right": "CASE WHEN on_left.known_reference IS NOT NULL THEN on_right.known_reference END",
        }
        joins = f"""LEFT JOIN {kind}_known AS on_left ON parent = on_left.known_reference
            LEFT JOIN {kind}_known AS on_right ON parent_right = on_right.known_reference"""
    columns = (f"{verdicts[name]} AS {name}" if name in verdicts else name for name in judged_columns(kind))
    return f"SELECT {', '.join(columns)} FROM {kind}_candidates {joins} WHERE code IS NOT NULL"


def blocked_lines(kind: RecordKind) -> str:
    """Select the lines of the records that are refused for their reference, in `<kind>_judged`."""
    return f"SELECT line_number FROM {kind}_judged WHERE code IN ({_texts(_FOR_REFERENCE)})"


def is_blocked_in_vain(kind: RecordKind) -> str:
    """Select whether `<kind>_judged` refuses a record for an id that only such a record gave."""
    return f"""SELECT count(*) > 0 FROM {kind}_judged AS later JOIN {kind}_judged AS earlier
            ON later.first_line = earlier.line_number
        WHERE later.code = '{ErrorCode.DUPLICATE_ID}' AND earlier.code IN ({_texts(_FOR_REFERENCE)})"""


def _texts(codes: Iterable[str]) -> str:
    return ", ".join(f"'{code}'" for code in codes)


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
    kept = Step("kept", f"SELECT parent, {', '.join(['reference', *others])} FROM {kind}_judged WHERE code IS NULL")
    decided = Step(
        "decided",
        f"""SELECT reference AS decided_reference FROM {kind}_judged
        WHERE own_code IS NULL AND (code IS NULL OR code IN ({_texts(_AMONG_VALID)}))""",
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
    sums = "".join(f", CAST(sum({name}) AS {TOTAL}) AS {name}" for name in amounts(kind))
    added = "".join(f", {name}" for name in amounts(kind))
    subtracted = "".join(f", -refused.{name}" for name in amounts(kind))
    return f"""SELECT root, CAST(sum(records) AS BIGINT) AS records{sums} FROM (
            SELECT root, records{added} FROM {kind}_valid
            UNION ALL SELECT parents.root, -1{subtracted}
            FROM {_parent(kind).kind}_accepted AS parents JOIN {kind}_judged AS refused
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


def named(kind: RecordKind) -> str:
    """Select (line_number, root) of the refused records of a kind that name somebody in the root's file.

    A refused record belongs to whom its parent belongs to; the parent may be refused too. A record whose cells can't be
    assigned may name two parents. `root` is NULL where it is a refused record of the root kind.
    """
    names = " UNION ALL ".join(
        f"SELECT line_number, {column} AS name FROM ({_counted(kind)}) AS lines WHERE {column} IS NOT NULL"
        for column in ("parent", "parent_right")
    )
    return f"""SELECT DISTINCT names.line_number, owners.root
        FROM ({_owners(_parent(kind).kind)}) AS owners JOIN ({names}) AS names ON owners.reference = names.name"""


def assigned(kind: RecordKind) -> str:
    """Select `<kind>_named`, and the lines of records refused for their quotes that name nobody themselves.

    These belong to whom the first line of their record names.
    """
    return f"""SELECT line_number, root FROM {kind}_named
        UNION ALL SELECT lines.line_number, first_lines.root
        FROM {kind}_named AS first_lines JOIN ({_counted(kind)}) AS lines
            ON first_lines.line_number = lines.opening_line
        ANTI JOIN {kind}_named AS named ON lines.line_number = named.line_number"""


def _counted(kind: RecordKind) -> str:
    """Select the refused records whose loss makes totals incomplete: no repeated headers, no exact repetitions."""
    return f"""SELECT refused.* FROM {kind}_refused AS refused
        ANTI JOIN (SELECT cells, line_number FROM {kind}_judged WHERE own_code IS NULL) AS earlier
            ON refused.cells = earlier.cells AND refused.line_number > earlier.line_number
            AND refused.code IN ({_texts(_AMONG_VALID)})
        WHERE refused.code <> '{ErrorCode.REPEATED_HEADER}'"""


def _owners(kind: RecordKind) -> str:
    """Select (reference, root) of the records that a refused record may name, accepted or refused."""
    known = f"SELECT reference, root FROM {kind}_accepted"
    if kind.parent is None:
        return f"""{known} UNION ALL SELECT refused.reference, accepted.root
            FROM {kind}_accepted AS accepted RIGHT JOIN ({_refused_references(kind)}) AS refused
                ON accepted.reference = refused.reference WHERE accepted.reference IS NULL"""
    return f"""{known} UNION ALL SELECT refused.reference, owners.root
        FROM ({_refused_references(kind)}) AS refused JOIN {kind}_assigned AS owners
            ON refused.line_number = owners.line_number
        ANTI JOIN {kind}_accepted AS accepted ON refused.reference = accepted.reference"""


def refused_records() -> str:
    """Select (root, refused_records) of the accepted records of the root kind that lost records."""
    lost = (f"SELECT root FROM {kind}_assigned WHERE root IS NOT NULL" for kind in MODEL.kinds if kind.parent)
    return f"SELECT root, count(*) AS refused_records FROM ({' UNION ALL '.join(lost)}) AS lost GROUP BY root"


def unassigned_records() -> str:
    """Select how many refused records belong to nobody in the root's file, so that any total may lack them."""
    counts = (
        f"""SELECT count(*) + coalesce(sum(extra_records), 0)
                - (SELECT count(DISTINCT line_number) FROM {kind}_assigned) AS records
            FROM ({_counted(kind)}) AS lines"""
        for kind in MODEL.kinds
        if kind.parent
    )
    return f"SELECT CAST(sum(records) AS BIGINT) FROM ({' UNION ALL '.join(counts)}) AS counts"


def result_columns() -> list[str]:
    """Return the columns of `results` after `reference`: those carried, records of each kind, sums, refused records."""
    counts = [f"{kind}_records" for kind in MODEL.kinds if kind.parent]
    return [*carried(MODEL.root), *counts, *(measure.name for measure in MODEL.sums), "refused_records"]


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
