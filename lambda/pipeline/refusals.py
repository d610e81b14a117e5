"""Which records are refused, across records and files, and why: from CSV files to accepted references and rejects.

Every file is read once, by all threads, into totals per reference. Only where that shows that something is wrong, it
is read a second time, in order and with line numbers, for the records concerned. The rules are applied one after
another, each to the records that the ones before left: the record by itself, its parent, a repeated row id, a
repeated reference. So a record is only ever a duplicate of one that stood until then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.csv_parser import AMOUNT, MAX_CELL_SHOWN, MAX_REFERENCE, CsvFile, literal, quoted
from pipeline.data_model import KINDS, ROW_ID, Kind
from pipeline.error_codes import SENTENCES, ErrorCode
from pipeline.record_lines import MAX_RECORD

_UNKNOWN = {Kind.CUSTOMERS: ErrorCode.UNKNOWN_CUSTOMER, Kind.ORDERS: ErrorCode.UNKNOWN_ORDER}
_REFUSED = {Kind.CUSTOMERS: ErrorCode.REFUSED_CUSTOMER, Kind.ORDERS: ErrorCode.REFUSED_ORDER}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused record, as far as its error message tells of it."""

    line: int
    code: str
    reason: str
    customer_reference: str | None
    order_reference: str | None


@dataclass(frozen=True, slots=True)
class Counts:
    """How the records of one file were divided."""

    lines: int
    """Lines after the header that DuckDB read, blank ones included."""
    read: int
    refused: int
    refused_by_code: dict[str, int]


def judge(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> Counts:
    """Divide the records of a file; the files come in the order of `KINDS`, since orders need the customers.

    Leaves the table or view `<kind>_accepted` (reference, parent, records, amount), `<kind>_refused` and
    `<kind>_staged`.
    """
    kind = file.kind
    _stage(connection, file)
    _find_suspicious_keys(connection, file)
    row = connection.execute(
        f"""SELECT (SELECT coalesce(sum(records), 0)::BIGINT FROM {kind}_staged WHERE NOT is_total),
            (SELECT coalesce(sum(records), 0)::BIGINT FROM {kind}_staged WHERE NOT is_total AND rule = 0),
            EXISTS (FROM {kind}_staged WHERE rule > 0) OR EXISTS (FROM {kind}_touched)
            OR EXISTS (FROM {kind}_repeated_ids)""",
    ).fetchone()
    lines, blank, is_suspicious = row or (0, 0, False)
    if is_suspicious:
        _collect_suspects(connection, file)
        _pass_judgement(connection, kind)
        _accept_the_rest(connection, kind)
    else:
        connection.execute(_empty_judgement(kind))
        connection.execute(f"CREATE VIEW {kind}_accepted AS SELECT * EXCLUDE (rule, is_total) FROM {_good(kind)}")
    by_code = connection.execute(f"SELECT code, count(*) FROM {kind}_refused GROUP BY code ORDER BY code").fetchall()
    refused = sum(count for _, count in by_code)
    return Counts(lines, lines - blank, refused, dict(by_code))


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
            FROM {file.kind}_refused ORDER BY line_number LIMIT ?""",
        [limit],
    )
    while batch := rows.fetchmany(1000):
        for row in batch:
            yield Refusal(*row)


def _stage(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> None:
    """Sum up the records by reference, and by rule where they break one.

    The rows with `is_total` are summed straight from the records, apart from the rest: the other side of the books.
    """
    key, parent = _key(file.kind), _parent(file.kind)
    connection.execute(
        f"""CREATE TABLE {file.kind}_staged AS
        SELECT rule, reference, grouping(reference) = 1 AS is_total, count(*) AS records,
            any_value({parent}) AS parent, sum(amount) AS amount
        FROM (SELECT *, CASE WHEN rule IS NULL THEN {key} END AS reference FROM ({file.records_sql()}))
        GROUP BY GROUPING SETS ((rule, reference), (rule))"""
    )


def _find_suspicious_keys(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> None:
    """Collect the references that are repeated or have no parent, and the row ids that are repeated."""
    kind = KINDS[file.kind]
    suspicious = ["records > 1"] if kind.identity else []
    if kind.parent:
        suspicious.append(f"parent NOT IN (SELECT reference FROM {kind.parent[0]}_accepted)")
    connection.execute(
        f"CREATE TABLE {kind.kind}_touched AS SELECT reference FROM {_good(kind.kind)} WHERE {' OR '.join(suspicious)}"
    )
    ids = "SELECT NULL::VARCHAR AS id WHERE false"
    if file.has_row_ids:
        ids = f"""SELECT id FROM ({file.records_sql()}) WHERE rule IS NULL AND id <> ''
            GROUP BY id HAVING count(*) > 1"""
    connection.execute(f"CREATE TABLE {kind.kind}_repeated_ids AS {ids}")


def _collect_suspects(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> None:
    """Read the file in order and keep the records that break a rule or share a key with one that may."""
    kind = file.kind
    by_rule = list(enumerate(file.rules, 1))
    code = " ".join(f"WHEN {number} THEN {literal(rule.code)}" for number, rule in by_rule)
    column = " ".join(f"WHEN {number} THEN {literal(rule.column)}" for number, rule in by_rule if rule.column)
    value = " ".join(f"WHEN {number} THEN {quoted(rule.column)}" for number, rule in by_rule if rule.column)
    names = {name.name: name for name in file.columns}
    references = ", ".join(
        f"CASE WHEN {name} <> '' AND strlen({name}) <= {MAX_REFERENCE} AND (rule IS NULL OR cell_count = "
        f"{len(file.header.names)}) THEN {name} END AS {name}"
        if name in names
        else f"NULL::VARCHAR AS {name}"
        for name in ("customer_reference", "order_reference")
    )
    row_id = quoted(ROW_ID) if file.has_row_ids else "''"
    broken = next((number for number, rule in by_rule if rule.code is ErrorCode.WRONG_CELL_COUNT), 0)
    references = references.replace("rule IS NULL OR", f"rule IS NULL OR rule > {broken} AND")
    extra, join = "0", ""
    if file.records.joins:
        extra = "coalesce(joined.extra, 0)"
        join = f"""ASOF LEFT JOIN read_csv({literal(str(file.records.joins))}, auto_detect = false, header = false,
            columns = {{'record': 'BIGINT', 'extra': 'BIGINT'}}) AS joined ON found.record > joined.record"""
    # Record numbers are only right where the file is read in order.
    connection.execute("SET preserve_insertion_order = true")
    connection.execute(
        f"""CREATE TABLE {kind}_suspects AS
        SELECT found.record + {extra} AS line_number, found.* EXCLUDE (record)
        FROM (SELECT record, line, cell_count, {row_id} AS id, {_key(kind)} AS reference, {_parent(kind)} AS parent,
                amount, rule, {references},
                CASE rule {code} END AS code,
                {f"CASE rule {column} END" if column else "NULL"} AS column_name,
                {f"CASE rule {value} END" if value else "NULL"} AS value
            FROM ({file.records_sql(numbered=True)})
            WHERE rule > 0 OR (rule IS NULL AND ({row_id} IN (SELECT id FROM {kind}_repeated_ids)
                OR {_key(kind)} IN (SELECT reference FROM {kind}_touched)))) AS found {join}"""
    )
    connection.execute("SET preserve_insertion_order = false")


def _pass_judgement(connection: duckdb.DuckDBPyConnection, kind: Kind) -> None:
    """Apply the rules between records to the suspects, one after another."""
    record_kind = KINDS[kind]
    parent = "code"
    if record_kind.parent:
        owner = record_kind.parent[0]
        parent = f"""CASE WHEN code IS NOT NULL THEN code
            WHEN parent IN (SELECT reference FROM {owner}_accepted) THEN NULL
            WHEN parent IN (SELECT reference FROM {owner}_refused WHERE reference IS NOT NULL)
            THEN {literal(_REFUSED[owner])} ELSE {literal(_UNKNOWN[owner])} END"""
    parent_column = literal(record_kind.parent[1]) if record_kind.parent else "NULL"
    identity = literal(record_kind.identity) if record_kind.identity else "NULL"
    repeated = f"{literal(ErrorCode.DUPLICATE_REFERENCE)}" if record_kind.identity else "NULL"
    connection.execute(
        f"""CREATE TABLE {kind}_judged AS
        WITH with_parent AS (
            SELECT * REPLACE ({parent} AS code), code AS own_code FROM {kind}_suspects
        ), with_id AS (
            SELECT *, CASE WHEN code IS NULL AND id <> '' THEN
                min(line_number) OVER (PARTITION BY CASE WHEN code IS NULL THEN id END) END AS first_id
            FROM with_parent
        ), with_unique_id AS (
            SELECT * REPLACE (CASE WHEN first_id < line_number THEN {literal(ErrorCode.DUPLICATE_ID)}
                ELSE code END AS code)
            FROM with_id
        ), with_reference AS (
            SELECT *, CASE WHEN code IS NULL THEN
                min(line_number) OVER (PARTITION BY CASE WHEN code IS NULL THEN reference END) END AS first_reference
            FROM with_unique_id
        ), final AS (
            SELECT * REPLACE (CASE WHEN first_reference < line_number THEN coalesce({repeated}, code)
                ELSE code END AS code)
            FROM with_reference
        )
        SELECT line_number, line, code, own_code, reference, parent, amount, customer_reference, order_reference,
            cell_count,
            CASE WHEN own_code IS NOT NULL THEN column_name WHEN code = '{ErrorCode.DUPLICATE_ID}' THEN '{ROW_ID}'
                WHEN code = '{ErrorCode.DUPLICATE_REFERENCE}' THEN {identity} ELSE {parent_column} END AS column_name,
            CASE WHEN own_code IS NOT NULL THEN value WHEN code = '{ErrorCode.DUPLICATE_ID}' THEN id
                WHEN code = '{ErrorCode.DUPLICATE_REFERENCE}' THEN reference ELSE parent END AS value,
            CASE code WHEN '{ErrorCode.DUPLICATE_ID}' THEN first_id
                WHEN '{ErrorCode.DUPLICATE_REFERENCE}' THEN first_reference END AS first_line
        FROM final"""
    )
    connection.execute(f"CREATE VIEW {kind}_refused AS FROM {kind}_judged WHERE code IS NOT NULL")
    connection.execute(f"DROP TABLE {kind}_suspects")


def _empty_judgement(kind: Kind) -> str:
    return f"""CREATE TABLE {kind}_refused (line_number BIGINT, line VARCHAR, code VARCHAR, own_code VARCHAR,
        reference VARCHAR, parent VARCHAR, amount {AMOUNT}, customer_reference VARCHAR, order_reference VARCHAR,
        cell_count BIGINT, column_name VARCHAR, value VARCHAR, first_line BIGINT)"""


def _accept_the_rest(connection: duckdb.DuckDBPyConnection, kind: Kind) -> None:
    """Take what the second reading refused out of the totals of the first."""
    if KINDS[kind].identity:
        # One record stands for a reference: for a suspect reference it is known only since the judgement.
        accepted = f"""
            SELECT reference, parent, records, amount FROM {_good(kind)}
            WHERE reference NOT IN (SELECT reference FROM {kind}_judged WHERE own_code IS NULL)
            UNION ALL
            SELECT reference, parent, 1, amount FROM {kind}_judged WHERE code IS NULL"""
    else:
        accepted = f"""
            SELECT reference, parent, staged.records - coalesce(lost.records, 0) AS records,
                staged.amount - coalesce(lost.amount, 0) AS amount
            FROM {_good(kind)} AS staged LEFT JOIN (
                SELECT reference, count(*) AS records, sum(amount) AS amount FROM {kind}_refused
                WHERE own_code IS NULL GROUP BY reference) AS lost USING (reference)
            WHERE staged.records > coalesce(lost.records, 0)"""
    connection.execute(f"CREATE TABLE {kind}_accepted AS {accepted}")


def _good(kind: Kind) -> str:
    return f"(FROM {kind}_staged WHERE rule IS NULL AND NOT is_total)"


def _key(kind: Kind) -> str:
    """Name the reference by which records are summed up: their own, or else their parent's."""
    identity = KINDS[kind].identity
    return quoted(identity) if identity else _parent(kind)


def _parent(kind: Kind) -> str:
    parent = KINDS[kind].parent
    return quoted(parent[1]) if parent else "NULL::VARCHAR"


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
    """Return the SQL of a cell's text for a sentence: not too long, control characters as escapes."""
    short = f"""CASE WHEN length({text}) > {MAX_CELL_SHOWN} THEN {text}[:{MAX_CELL_SHOWN - 1}] || '…' ELSE {text} END"""
    escaped = short
    for number in (*range(32), 127):
        escape = {9: r"\t", 10: r"\n", 13: r"\r"}.get(number, f"\\x{number:02x}")
        escaped = f"replace({escaped}, chr({number}), {literal(escape)})"
    return f"coalesce(CASE WHEN regexp_matches({text}, '[[:cntrl:]]') THEN {escaped} ELSE {short} END, '')"
