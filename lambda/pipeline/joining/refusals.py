"""Which records are refused and why, across records and files; the second reading, for what is wrong only.

The first reading shows which references and row ids are suspicious. Only where there are any, or where records break
a rule by themselves, the file is read again, in order and with line numbers, for the records concerned. The rules are
applied one after another, each to the records that the ones before left: the record by itself, its parent, a repeated
row id, a repeated reference. So a record is only ever a duplicate of one that stood until then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.joining.control_totals import key, owner
from pipeline.model.data_model import KINDS, ROW_ID, Kind
from pipeline.model.error_codes import SENTENCES, ErrorCode
from pipeline.model.text import ESCAPES
from pipeline.reading.csv_parser import AMOUNT, MAX_CELL_SHOWN, MAX_REFERENCE, CsvFile
from pipeline.reading.normalize import MAX_RECORD
from pipeline.reading.sql import ask, file_literal, literal, quoted

_UNKNOWN = {Kind.CUSTOMERS: ErrorCode.UNKNOWN_CUSTOMER, Kind.ORDERS: ErrorCode.UNKNOWN_ORDER}
_ESCAPES = {code: escape for code, escape in ESCAPES.items() if not 0xD800 <= code < 0xE000}
"""Those of characters that a cell can hold: it is UTF-8, which has no surrogates."""
_REFUSED = {Kind.CUSTOMERS: ErrorCode.REFUSED_CUSTOMER, Kind.ORDERS: ErrorCode.REFUSED_ORDER}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused record, as far as its error message tells of it."""

    line: int
    code: str
    reason: str
    customer_reference: str | None
    order_reference: str | None


def judge(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> int:
    """Find the refused records of a file and return their number.

    Each file is judged before the next one is read. Leaves `<kind>_refused` and, of records with a reference of their
    own, `<kind>_accepted` (reference, customer), one for each reference.
    """
    kind = file.kind
    suspicious = _suspicious(connection, file)
    if suspicious or ask(connection, f"SELECT EXISTS (FROM scanned WHERE kind = '{kind}' AND rule > 0)"):
        _collect_suspects(connection, file, suspicious)
        _pass_judgement(connection, file)
        accepted = f"CREATE TABLE {kind}_accepted AS {_rest(kind)}"
    else:
        connection.execute(_NOTHING_REFUSED.format(kind=kind))
        accepted = f"CREATE VIEW {kind}_accepted AS FROM {kind}_good"
    if KINDS[kind].identity:
        connection.execute(accepted)
    connection.execute(f"CREATE VIEW {kind}_refused AS FROM {kind}_judged WHERE code IS NOT NULL")
    row = connection.execute(f"SELECT count(*) FROM {kind}_refused").fetchone()
    return row[0] if row else 0


def refused_by_code(connection: duckdb.DuckDBPyConnection, kind: Kind) -> dict[str, int]:
    """Count the refused records of a file by code."""
    return dict(connection.execute(f"SELECT code, count(*) FROM {kind}_refused GROUP BY code ORDER BY code").fetchall())


def write_rejects(connection: duckdb.DuckDBPyConnection, file: CsvFile, target: Path) -> None:
    """Write all refused records of the file, as they were read, with line, code and reason."""
    connection.execute(
        f"""COPY (SELECT line_number AS line, code, {_reason(file)} AS reason, {_record(file)} AS record
            FROM {file.kind}_refused ORDER BY line_number)
        TO {literal(str(target))} (FORMAT csv, HEADER true)"""
    )


def refusals(connection: duckdb.DuckDBPyConnection, file: CsvFile, limit: int) -> Iterator[Refusal]:
    """Yield the first refused records of a file, by line."""
    rows = connection.execute(
        f"""SELECT line_number, code, {_reason(file)}, customer_reference, order_reference
            FROM (FROM {file.kind}_refused ORDER BY line_number LIMIT ?) ORDER BY line_number""",
        [limit],
    )
    while batch := rows.fetchmany(1000):
        for row in batch:
            yield Refusal(*row)


def _suspicious(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> list[str]:
    """Return the SQL conditions on good records that hold for any: repeated, or without an accepted parent."""
    kind, parent = file.kind, KINDS[file.kind].parent
    found = []
    connection.execute(f"CREATE TABLE {kind}_repeated_ids AS {_repeated_ids(connection, file)}")
    if ask(connection, f"SELECT EXISTS (FROM {kind}_repeated_ids)"):
        found.append(f"{ROW_ID} IN (SELECT id FROM {kind}_repeated_ids)")
    if KINDS[kind].identity and ask(connection, f"SELECT EXISTS (FROM {kind}_repeated)"):
        found.append(f"{key(kind)} IN (SELECT reference FROM {kind}_repeated)")
    if parent and ask(
        connection,
        f"""SELECT (SELECT sum(records) FROM scanned WHERE kind = '{kind}' AND rule IS NULL)
            IS DISTINCT FROM (SELECT sum(records) FROM {kind}_good WHERE customer IS NOT NULL)""",
    ):
        found.append(f"{owner(kind)} NOT IN (SELECT reference FROM {parent[0]}_accepted)")
    return found


def _repeated_ids(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> str:
    """Return the SQL of the row ids that more than one good record has."""
    if not file.has_row_ids or _has_distinct_numbers(connection, file.kind):
        return "SELECT NULL::VARCHAR AS id WHERE false"
    return f"""SELECT {ROW_ID} FROM ({file.records_sql()}) WHERE rule IS NULL AND {ROW_ID} <> ''
        GROUP BY {ROW_ID} HAVING count(*) > 1"""


def _has_distinct_numbers(connection: duckdb.DuckDBPyConnection, kind: Kind) -> bool:
    """Tell whether the row ids of the good records are all different numbers, as they mostly are.

    False may also mean that this is not known.
    """
    return ask(
        connection,
        f"""SELECT coalesce(sum(row_ids) = sum(distinct_numbers), true)
        FROM scanned WHERE kind = '{kind}' AND rule IS NULL""",
    )


def _collect_suspects(connection: duckdb.DuckDBPyConnection, file: CsvFile, suspicious: list[str]) -> None:
    """Read the file in order and keep the records that break a rule by themselves or meet a suspicious condition."""
    kind = file.kind
    rules = dict(enumerate(file.rules, 1))
    code = " ".join(f"WHEN {number} THEN {literal(rule.code)}" for number, rule in rules.items())
    about = {number: rule.column for number, rule in rules.items() if rule.column}
    column = " ".join(f"WHEN {number} THEN {literal(name)}" for number, name in about.items())
    value = " ".join(f"WHEN {number} THEN {quoted(name)}" for number, name in about.items())
    row_id = ROW_ID if file.has_row_ids else "''"
    extra, join = "0", ""
    if file.records.joins:
        extra = "coalesce(joined.extra, 0)"
        join = f"""ASOF LEFT JOIN read_csv({file_literal(file.records.joins)}, auto_detect = false, header = false,
            columns = {{'record': 'BIGINT', 'extra': 'BIGINT'}}) AS joined ON found.record > joined.record"""
    # In order and so by one thread, which looks no closer than needed; what remains is looked at by all.
    connection.execute("SET preserve_insertion_order = true")
    connection.execute(
        f"""CREATE TABLE {kind}_doubtful AS
        SELECT record, line FROM ({file.records_sql(file.numbered_lines_sql())})
        WHERE {" OR ".join(["NOT clean", *suspicious])}"""
    )
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(
        f"""CREATE TABLE {kind}_suspects AS
        SELECT found.record + {extra} AS line_number, found.* EXCLUDE (record)
        FROM (SELECT record, line, cell_count, {row_id} AS id, {key(kind)} AS reference, {owner(kind)} AS parent,
                amount, {_told(file, "customer_reference")}, {_told(file, "order_reference")},
                CASE rule {code} END AS code, CASE rule {column} END AS column_name, CASE rule {value} END AS value
            FROM ({file.records_sql(f"{kind}_doubtful")})
            WHERE rule > 0 OR (rule IS NULL AND ({" OR ".join(suspicious) or "false"}))) AS found {join}"""
    )
    connection.execute(f"DROP TABLE {kind}_doubtful")


def _told(file: CsvFile, name: str) -> str:
    """Return the SQL of a reference for the error message: where the record has it, and no longer than it may be."""
    if name not in file.header.positions:
        return f"NULL::VARCHAR AS {name}"
    return f"""CASE WHEN (rule IS NULL OR rule > {file.last_rule_of_form}) AND {name} <> ''
        AND strlen({name}) <= {MAX_REFERENCE} THEN {name} END AS {name}"""


def _pass_judgement(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> None:
    """Apply the rules between records to the suspects, one after another."""
    kind, record_kind = file.kind, KINDS[file.kind]
    steps = []
    if record_kind.parent:
        steps.append(_check_parent(*record_kind.parent))
    if file.has_row_ids:
        steps.append(_check_repeated("id", literal(ROW_ID), ErrorCode.DUPLICATE_ID))
    if record_kind.identity:
        steps.append(_check_repeated("reference", literal(record_kind.identity), ErrorCode.DUPLICATE_REFERENCE))
    suspects = f"SELECT *, code AS own_code, NULL::BIGINT AS first_line FROM {kind}_suspects"
    query = f"{suspects} WHERE code IS NULL"
    for step in steps:
        query = step.format(records=f"({query})")
    connection.execute(f"CREATE TABLE {kind}_judged AS {suspects} WHERE code IS NOT NULL UNION ALL BY NAME ({query})")
    connection.execute(f"DROP TABLE {kind}_suspects")


def _check_parent(kind: Kind, column: str) -> str:
    """Refuse the records whose parent is not among the accepted records of the other kind."""
    return f"""SELECT * REPLACE (
            CASE WHEN parent IN (SELECT reference FROM {kind}_accepted) THEN NULL
                WHEN parent IN (SELECT {column} FROM {kind}_refused WHERE {column} IS NOT NULL)
                THEN {literal(_REFUSED[kind])} ELSE {literal(_UNKNOWN[kind])} END AS code,
            {literal(column)} AS column_name, parent AS value)
        FROM {{records}}"""


def _check_repeated(key_column: str, column: str, code: ErrorCode) -> str:
    """Refuse every record but the first of those that still stand and have the same key."""
    return f"""SELECT * EXCLUDE (is_later, earliest) REPLACE (
            CASE WHEN is_later THEN {literal(code)} ELSE code END AS code,
            CASE WHEN is_later THEN {column} ELSE column_name END AS column_name,
            CASE WHEN is_later THEN {key_column} ELSE value END AS value,
            CASE WHEN is_later THEN earliest ELSE first_line END AS first_line
        )
        FROM (SELECT *, code IS NULL AND {key_column} <> '' AND earliest < line_number AS is_later
            FROM (SELECT *, min(line_number) OVER (PARTITION BY code IS NULL, {key_column}) AS earliest
                FROM {{records}}))"""


_NOTHING_REFUSED = f"""CREATE TABLE {{kind}}_judged (line_number BIGINT, line VARCHAR, code VARCHAR, own_code VARCHAR,
    reference VARCHAR, parent VARCHAR, amount {AMOUNT}, customer_reference VARCHAR, order_reference VARCHAR,
    cell_count BIGINT, column_name VARCHAR, value VARCHAR, first_line BIGINT)"""


def _rest(kind: Kind) -> str:
    """Return the SQL of the accepted records: those never in doubt, and of the suspects those that stand.

    One record stands for a reference; which of several it is, is known only since the judgement.
    """
    parent = KINDS[kind].parent
    stands = f"SELECT reference, parent FROM {kind}_judged WHERE code IS NULL"
    numbered = (
        f"""SELECT judged.reference, customer FROM {parent[0]}_accepted AS parents
            JOIN ({stands}) AS judged ON judged.parent = parents.reference"""
        if parent
        else f"""SELECT reference, min(customer) FROM {kind}_good SEMI JOIN ({stands}) USING (reference)
            GROUP BY reference"""
    )
    return f"""SELECT reference, customer FROM {kind}_good
        WHERE reference NOT IN (SELECT reference FROM {kind}_judged WHERE own_code IS NULL)
        UNION ALL {numbered}"""


def _record(file: CsvFile) -> str:
    """Return the SQL of the record as it was read, without what stands for something else."""
    invalid = literal(file.marks.invalid)
    record = f"CASE WHEN starts_with(line, {invalid}) THEN line[2:] ELSE line END"
    return f"replace({record}, {literal(file.marks.newline)}, chr(10))" if file.records.joins else record


def _reason(file: CsvFile) -> str:
    """Return the SQL of the sentence: the code's template with its names filled in."""
    templates = " ".join(f"WHEN {literal(code)} THEN {literal(text)}" for code, text in SENTENCES.items())
    filled = f"CASE code {templates} END"
    for name, sql in {
        "column": "column_name",
        "limit": f"CASE code WHEN '{ErrorCode.RECORD_TOO_LONG}' THEN '{MAX_RECORD:,}' ELSE '{MAX_REFERENCE:,}' END",
        "found": "cell_count",
        "expected": str(len(file.header.names)),
        "first": "first_line",
        "hint": f"""CASE WHEN regexp_full_match(value, '-?[0-9]{{1,14}},[0-9]{{1,4}}')
            THEN 'use ' || replace(value, ',', '.') ELSE 'such as 12{file.decimal_mark}50' END""",
    }.items():
        filled = f"replace({filled}, '{{{name}}}', coalesce(({sql})::VARCHAR, ''))"
    # The value comes last: what it holds is not filled in again.
    return f"replace({filled}, '{{value}}', {_shown('value')})"


def _shown(text: str) -> str:
    """Return the SQL of a cell's text for a sentence: not too long, and as `escape_controls` writes it."""
    short = f"""CASE WHEN length({text}) > {MAX_CELL_SHOWN} THEN {text}[:{MAX_CELL_SHOWN - 1}] || '…' ELSE {text} END"""
    escaped = short
    for code, escape in _ESCAPES.items():
        escaped = f"replace({escaped}, chr({code}), {literal(escape)})"
    acts = literal("[" + "".join(f"\\x{{{code:x}}}" for code in _ESCAPES) + "]")
    return f"coalesce(CASE WHEN regexp_matches({text}, {acts}) THEN {escaped} ELSE {short} END, '')"
