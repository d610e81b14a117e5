"""The rules between records: one text in standard SQL, which other engines run as well."""

from __future__ import annotations

import re

import duckdb
import pytest
from pipeline.joining.rules_between_records import CANDIDATE_COLUMNS, JUDGED_COLUMNS, judged_candidates
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind

ONLY_DUCKDB = re.compile(
    r"\b(EXCLUDE|REPLACE|QUALIFY|ANTI|SEMI|ASOF|MATERIALIZED|UBIGINT|VARCHAR|BY NAME)\b|::|\bIN \(|\bEXISTS\b"
)


@pytest.mark.parametrize("kind", MODEL.kinds)
@pytest.mark.parametrize("unique", ["id", None])
def test_the_text_is_standard_sql_with_the_columns_it_promises(kind: RecordKind, unique: str | None) -> None:
    text = judged_candidates(kind, unique, is_standard=True)
    assert ONLY_DUCKDB.search(text) is None
    with duckdb.connect() as connection:
        create(connection, kind)
        assert [column[0] for column in connection.execute(text).description] == list(JUDGED_COLUMNS)


def create(connection: duckdb.DuckDBPyConnection, kind: RecordKind) -> None:
    columns = ", ".join(f"{name} {type_name}" for name, type_name in CANDIDATE_COLUMNS.items())
    connection.execute(f"CREATE TABLE {kind}_candidates ({columns})")
    if parent := kind.parent:
        connection.execute(f"CREATE TABLE {parent.kind}_accepted (reference VARCHAR)")
        connection.execute(f"CREATE TABLE {parent.kind}_refused ({parent.column} VARCHAR)")


def test_a_record_is_compared_with_the_accepted_ones_before_it() -> None:
    with duckdb.connect() as connection:
        create(connection, data_model.ORDERS)
        connection.execute("INSERT INTO customers_accepted VALUES ('c1')")
        connection.execute("INSERT INTO customers_refused VALUES ('c2'), ('c2')")
        for line, (row_id, reference, parent, code) in enumerate(
            [
                ("1", "o1", "c1", "not_a_timestamp"),
                ("1", "o1", "c2", None),
                ("1", "o1", "c3", None),
                ("1", "o1", "c1", None),
                ("1", "o2", "c1", None),
                ("2", "o2", "c1", None),
                ("", "o1", "c1", None),
                ("", "o3", "c1", None),
            ],
            2,
        ):
            connection.execute(
                "INSERT INTO orders_candidates (line_number, id, reference, parent, code) VALUES (?, ?, ?, ?, ?)",
                [line, row_id, reference, parent, code],
            )
        judged = connection.execute(judged_candidates(data_model.ORDERS, "id")).fetchall()
        found = {
            row[list(JUDGED_COLUMNS).index("line_number")]: dict(zip(JUDGED_COLUMNS, row, strict=True))
            for row in judged
        }
    assert {line: (row["code"], row["first_line"]) for line, row in sorted(found.items())} == {
        2: ("not_a_timestamp", None),
        3: ("refused_customer", None),
        4: ("unknown_customer", None),
        5: (None, None),
        6: ("duplicate_id", 5),
        7: (None, None),
        8: ("duplicate_reference", 5),
        9: (None, None),
    }
