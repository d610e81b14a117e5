"""The rules between records: which records of a file are accepted, as SQL that follows from the model.

DuckDB and Spark run the same text. Each function returns one SELECT. The relations, for a kind `<kind>`:

| name | rows |
| --- | --- |
| `<kind>_totals` | records and amounts by error code of single records, and the row ids as bitmaps (see `first_pass`) |
| `<kind>_valid` | records that break no rule for single records and have an accepted parent |
| `<kind>_candidates` | records that break such a rule, or may break a rule between records |
| `<kind>_judged` | the candidates, each with its final error code, NULL if it is accepted |
| `<kind>_refused` | the candidates that are refused |
| `<kind>_accepted` | the accepted records |

Kinds with an identity are kept record by record: (reference, root, amounts, carried columns). Others are summed: (root,
records, amounts). `root` stands for the record of the root kind that a record belongs to: a number where the engine has
one, else its reference. Large relations are on the left of a join, since DuckDB streams the left side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import UNASSIGNABLE_CODES, ErrorCode, refused, unknown
from pipeline.model.record_kinds import Parent, RecordKind
from pipeline.model.text import INVISIBLE_CHARACTERS
from pipeline.reading.sql import literal

TOTAL = "DECIMAL(38,4)"
_NOT_COMPARED = INVISIBLE_CHARACTERS.translate({0: None, ord(" "): None})
"""Invisible characters that a reference may have or lack to look like another one."""
_FOR_REFERENCE = (ErrorCode.CONFLICTING_REFERENCE, ErrorCode.DUPLICATE_REFERENCE)
AMONG_VALID = (ErrorCode.DUPLICATE_ID, *_FOR_REFERENCE)
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
    """Return the columns of `<kind>_candidates` with their types; `reading.candidates` says what they hold.

    Besides, `id` is the value of the unique column, and `code` the error of the record by itself, NULL if it has none.
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
        "shows_grouping": "BOOLEAN",
    }


def judged_columns(kind: RecordKind) -> dict[str, str]:
    """Return the columns of `<kind>_judged` with their types.

    `own_code` is the error of the record by itself. `first_line` is the line of the record that it repeats, of its
    refused parent, or of the one that is similar to its unknown parent. `other_value` is the parent that another record
    with the same reference names, or the reference of the similar one.
    """
    return candidate_columns(kind) | {"own_code": "STRING", "first_line": "BIGINT", "other_value": "STRING"}


def nothing_judged(kind: RecordKind) -> str:
    """Select no rows with the columns of `<kind>_judged`."""
    columns = (f"CAST(NULL AS {type_name}) AS {name}" for name, type_name in judged_columns(kind).items())
    return f"SELECT {', '.join(columns)} WHERE 1 = 0"


def with_root(kind: RecordKind, records: str, columns: list[str]) -> str:
    """Select `columns` of a relation of valid records with `parent`, and the root of each, NULL without a parent."""
    return f"""SELECT {", ".join(f"records.{column}" for column in columns)}, parents.root
        FROM {records} AS records LEFT JOIN {parent_of(kind).kind}_accepted AS parents
            ON records.parent = parents.reference"""


def parent_of(kind: RecordKind) -> Parent:
    """Return the parent of a kind that has one."""
    if kind.parent is None:
        raise ValueError(f"{kind} has no parent")
    return kind.parent


def known_parents(kind: RecordKind) -> str:
    """Select the references that candidates name and the parent's file has.

    Columns: known_reference, is_accepted (1 or 0), and refused_line, the first line where it is refused, else NULL.
    """
    return f"""SELECT reference AS known_reference, max(is_accepted) AS is_accepted, min(line_number) AS refused_line
        FROM ({_references(parent_of(kind).kind)}) AS given SEMI JOIN (
            SELECT parent AS asked FROM {kind}_candidates UNION SELECT parent_right AS asked FROM {kind}_candidates
        ) AS names ON reference = asked GROUP BY reference"""


def similar_parents(kind: RecordKind) -> str:
    """Select (asked, similar_reference, refused_line): references that candidates name, and what the parent's file has.

    The two differ in capitals, in composition (Unicode NFC, NFD) or in invisible characters. `refused_line` is NULL if
    the similar record is accepted.
    """
    return f"""SELECT asked, min(reference) AS similar_reference, min(line_number) AS refused_line
        FROM ({_references(parent_of(kind).kind)}) AS given JOIN (
            SELECT DISTINCT parent AS asked FROM {kind}_candidates
            ANTI JOIN {kind}_known AS known ON parent = known.known_reference WHERE code IS NULL
        ) AS names ON {_folded("reference")} = {_folded("asked")} GROUP BY asked"""


def accepted_similar(kind: RecordKind) -> str:
    """Select the references of `<kind>_similar` whose records are accepted."""
    return f"SELECT similar_reference FROM {kind}_similar WHERE refused_line IS NULL"


def _similar_lines(kind: RecordKind) -> str:
    """Select (found_reference, found_line) of the parent's candidates, which are the records of `accepted_similar`."""
    return f"""SELECT reference AS found_reference, min(line_number) AS found_line
        FROM {kind}_candidates WHERE code IS NULL GROUP BY reference"""


def _folded(reference: str) -> str:
    """Return the SQL of what two references have in common that look the same or differ in capitals."""
    return f"lower(nfc_normalize(translate({reference}, {literal(_NOT_COMPARED)}, '')))"


def _references(kind: RecordKind) -> str:
    """Select (reference, is_accepted, line_number) of all records of a kind; the line only of refused ones."""
    return f"""SELECT reference, 1 AS is_accepted, CAST(NULL AS BIGINT) AS line_number FROM {kind}_accepted
        UNION ALL SELECT reference, 0 AS is_accepted, line_number FROM ({refused_references(kind)}) AS refused"""


def refused_references(kind: RecordKind) -> str:
    """Select (reference, line_number) of the references that refused records give themselves."""
    refused = f"FROM {kind}_refused WHERE code <> '{ErrorCode.REPEATED_HEADER}'"
    return f"""SELECT reference, line_number {refused} AND reference IS NOT NULL
        UNION ALL SELECT reference_right AS reference, line_number {refused} AND reference_right IS NOT NULL"""


def judged(kind: RecordKind, unique: str | None, has_blocked: bool = False) -> str:
    """Select the candidates of a kind with their final code.

    Those that break no rule by themselves are judged by one rule after another. Each rule is applied to the records
    that passed the ones before, so a record is a duplicate only of a record that no earlier rule refuses.

    Parameters
    ----------
    unique
        The column whose values must not repeat, if the file has one.
    has_blocked
        Whether there is `<kind>_blocked`, the lines (`blocked_lines`) whose records have not given their id, as a later
        rule refuses them.
    """
    records = _select(kind, {"own_code": "CAST(NULL AS STRING)"}, f"{kind}_candidates WHERE code IS NULL")
    if kind.parent:
        records = _judged_by_parent(kind, kind.parent, records)
    if unique:
        records = _judged_by_id(kind, unique, records, has_blocked)
    if kind.identity:
        records = _judged_by_reference(kind, kind.identity, records)
    return f"{_broken(kind)} UNION ALL {records}"


def _select(kind: RecordKind, values: Mapping[str, str], records: str) -> str:
    """Select the columns of `<kind>_judged` from records; `values` are those that are not columns of these."""
    unset = {"first_line": "CAST(NULL AS BIGINT)", "other_value": "CAST(NULL AS STRING)"}
    found = {**{name: name for name in candidate_columns(kind)}, **unset, **values}
    return f"SELECT {', '.join(f'{found[name]} AS {name}' for name in judged_columns(kind))} FROM {records}"


def _judged_by(kind: RecordKind, column: str, value: str, first_line: str, other_value: str, records: str) -> str:
    """Select the records with the verdict of a rule about a column: `found` is the code, NULL if a record passes."""
    verdict = {
        "code": "found",
        "column_name": literal(column),
        "value": value,
        "first_line": first_line,
        "other_value": other_value,
    }
    values = {name: name for name in judged_columns(kind)}
    values |= {name: f"CASE WHEN found IS NULL THEN {name} ELSE {new} END" for name, new in verdict.items()}
    return _select(kind, values, f"({records}) AS records")


def _judged_by_parent(kind: RecordKind, parent: Parent, records: str) -> str:
    """Refuse the records whose parent is not among the accepted records of its kind."""
    with_parent = f"""SELECT records.*, likely.similar_reference,
            coalesce(known.refused_line, likely.refused_line, found_line) AS parent_line,
            CASE WHEN known.is_accepted = 1 THEN CAST(NULL AS STRING)
                WHEN known.is_accepted = 0 THEN '{refused(parent.kind)}' ELSE '{unknown(parent.kind)}' END AS found
        FROM ({records}) AS records LEFT JOIN {kind}_known AS known ON records.parent = known.known_reference
            LEFT JOIN {kind}_similar AS likely ON records.parent = likely.asked
            LEFT JOIN ({_similar_lines(parent.kind)}) AS lines ON likely.similar_reference = lines.found_reference"""
    return _judged_by(kind, parent.column, "parent", "parent_line", "similar_reference", with_parent)


def _judged_by_id(kind: RecordKind, unique: str, records: str, has_blocked: bool) -> str:
    """Refuse, of the records with the same id, all but the first."""
    giver, join = "records.line_number", ""
    if has_blocked:
        giver = "CASE WHEN blocked.line_number IS NULL THEN records.line_number END"
        join = f"LEFT JOIN {kind}_blocked AS blocked ON records.line_number = blocked.line_number"
    with_first = f"""SELECT records.*, min({giver}) OVER (PARTITION BY code IS NULL, id) AS id_line
        FROM ({records}) AS records {join}"""
    with_id = f"""SELECT *, CASE WHEN code IS NULL AND id <> '' AND id_line < line_number
            THEN '{ErrorCode.DUPLICATE_ID}' END AS found FROM ({with_first}) AS records"""
    return _judged_by(kind, unique, "id", "id_line", "other_value", with_id)


def _judged_by_reference(kind: RecordKind, identity: str, records: str) -> str:
    """Refuse, of the records with the same reference, all but the first, or all if they name different parents."""
    with_first = f"""SELECT *, min(line_number) OVER same AS reference_line,
            min(parent) OVER same AS least, max(parent) OVER same AS greatest
        FROM ({records}) AS records WINDOW same AS (PARTITION BY code IS NULL, reference)"""
    with_reference = f"""SELECT *, CASE WHEN code IS NULL AND least <> greatest
                THEN '{ErrorCode.CONFLICTING_REFERENCE}'
            WHEN code IS NULL AND reference_line < line_number THEN '{ErrorCode.DUPLICATE_REFERENCE}' END AS found
        FROM ({with_first}) AS records"""
    other_parent = f"""CASE WHEN found <> '{ErrorCode.CONFLICTING_REFERENCE}' THEN CAST(NULL AS STRING)
        WHEN parent = least THEN greatest ELSE least END"""
    return _judged_by(kind, identity, "reference", "reference_line", other_parent, with_reference)


def _broken(kind: RecordKind) -> str:
    """Select the candidates that break a rule by themselves.

    Where the cells can't be assigned, a text names a parent only if the parent's file has that reference.
    """
    values = {"own_code": "code"}
    joins = ""
    if kind.parent:
        values |= {
            "parent": f"""CASE WHEN code IN ({texts(UNASSIGNABLE_CODES)})
                THEN coalesce(on_left.known_reference, on_right.known_reference) ELSE parent END""",
            "parent_right": "CASE WHEN on_left.known_reference IS NOT NULL THEN on_right.known_reference END",
        }
        joins = f"""LEFT JOIN {kind}_known AS on_left ON parent = on_left.known_reference
            LEFT JOIN {kind}_known AS on_right ON parent_right = on_right.known_reference"""
    return _select(kind, values, f"{kind}_candidates {joins} WHERE code IS NOT NULL")


def blocked_lines(kind: RecordKind) -> str:
    """Select the lines of the records that are refused for their reference, in `<kind>_judged`."""
    return f"SELECT line_number FROM {kind}_judged WHERE code IN ({texts(_FOR_REFERENCE)})"


def is_blocked_in_vain(kind: RecordKind) -> str:
    """Select whether `<kind>_judged` refuses a record for an id that only such a record gave."""
    return f"""SELECT count(*) > 0 FROM {kind}_judged AS later JOIN {kind}_judged AS earlier
            ON later.first_line = earlier.line_number
        WHERE later.code = '{ErrorCode.DUPLICATE_ID}' AND earlier.code IN ({texts(_FOR_REFERENCE)})"""


def texts(codes: Iterable[str]) -> str:
    """Return codes as a list in SQL."""
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


def accepted(kind: RecordKind) -> str:
    """Select the accepted records: all valid ones but the candidates, and the candidates that were not refused."""
    return _accepted_records(kind) if kind.identity else _accepted_sums(kind)


def _accepted_records(kind: RecordKind) -> str:
    others = [*amounts(kind), *carried(kind)]
    decided = f"""(SELECT reference AS decided_reference FROM {kind}_judged
        WHERE own_code IS NULL AND (code IS NULL OR code IN ({texts(AMONG_VALID)}))) AS decided
        ON reference = decided_reference"""
    if kind.parent:
        key, roots = "parent", f"SELECT reference AS parent, root FROM {kind.parent.kind}_accepted"
    else:
        key = "reference"
        roots = f"SELECT reference, min(root) AS root FROM {kind}_valid SEMI JOIN {decided} GROUP BY reference"
    of_judged = ", ".join(["judged.reference", "roots.root", *(f"judged.{name}" for name in others)])
    return f"""SELECT {", ".join(["reference", "root", *others])} FROM {kind}_valid ANTI JOIN {decided}
        UNION ALL SELECT {of_judged}
        FROM ({roots}) AS roots JOIN {kind}_judged AS judged ON roots.{key} = judged.{key} WHERE judged.code IS NULL"""


def _accepted_sums(kind: RecordKind) -> str:
    """Subtract from the sums the valid records that were refused."""
    sums = "".join(f", CAST(sum({name}) AS {TOTAL}) AS {name}" for name in amounts(kind))
    added = "".join(f", {name}" for name in amounts(kind))
    subtracted = "".join(f", -refused.{name}" for name in amounts(kind))
    return f"""SELECT root, CAST(sum(records) AS BIGINT) AS records{sums} FROM (
            SELECT root, records{added} FROM {kind}_valid
            UNION ALL SELECT parents.root, -1{subtracted}
            FROM {parent_of(kind).kind}_accepted AS parents JOIN {kind}_judged AS refused
                ON parents.reference = refused.parent
            WHERE refused.own_code IS NULL AND refused.code IS NOT NULL
        ) AS changes GROUP BY root"""
