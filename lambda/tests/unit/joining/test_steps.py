"""The steps after reading: one text in SQL that both engines run, each step tried by itself."""

from __future__ import annotations

import re

import duckdb
import pytest
from pipeline.joining import steps
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind

ONLY_DUCKDB = re.compile(r"\b(EXCLUDE|QUALIFY|ASOF|MATERIALIZED|UBIGINT|VARCHAR|BY NAME)\b|::|\bNOT IN \(SELECT")


@pytest.mark.parametrize("kind", MODEL.kinds)
@pytest.mark.parametrize("unique", ["id", None])
def test_the_text_has_the_columns_it_promises_and_nothing_of_one_engine_alone(
    kind: RecordKind, unique: str | None
) -> None:
    with duckdb.connect() as connection:
        create(connection)
        for text, columns in (
            (steps.judged(kind, unique, for_spark=True), list(steps.judged_columns(kind))),
            (steps.nothing_judged(kind), list(steps.judged_columns(kind))),
            (steps.accepted(kind, for_spark=True), columns_of_accepted(kind)),
            (steps.file_totals(kind), None),
            (steps.refused_totals(kind), None),
            (steps.results(has_refused=True), ["reference", *steps.result_columns()]),
            (steps.unassigned_records(), None),
            *(
                (text(kind), None)
                for text in (steps.known_parents, steps.similar_parents, steps.named, steps.assigned)
                if kind.parent
            ),
            (f"SELECT {', '.join(steps.anomalies(kind, unique).values()) or 1}", None),
        ):
            assert ONLY_DUCKDB.search(text) is None, text
            found = [column[0] for column in connection.execute(text).description]
            assert columns in (None, found)


def columns_of_accepted(kind: RecordKind) -> list[str]:
    if kind.identity:
        return ["reference", "root", *steps.amounts(kind), *steps.carried(kind)]
    return ["root", "records", *steps.amounts(kind)]


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Create what the steps read, empty."""
    for kind in MODEL.kinds:
        for table in ("accepted", "valid"):
            columns = ", ".join(f"{name} {TYPES.get(name, 'DECIMAL(38,4)')}" for name in columns_of_accepted(kind))
            connection.execute(f"CREATE TABLE {kind}_{table} ({columns})")
        for table, found in {"candidates": steps.candidate_columns(kind), "judged": steps.judged_columns(kind)}.items():
            columns = ", ".join(f"{name} {type_name}" for name, type_name in found.items())
            connection.execute(f"CREATE TABLE {kind}_{table} ({columns})")
        connection.execute(f"CREATE VIEW {kind}_refused AS FROM {kind}_judged WHERE code IS NOT NULL")
        connection.execute(
            f"CREATE TABLE {kind}_known (known_reference VARCHAR, is_accepted INTEGER, refused_line BIGINT)"
        )
        connection.execute(
            f"CREATE TABLE {kind}_similar (asked VARCHAR, similar_reference VARCHAR, refused_line BIGINT)"
        )
        for table in ("named", "assigned"):
            connection.execute(f"CREATE TABLE {kind}_{table} (line_number BIGINT, root VARCHAR)")
        amounts = "".join(f", {name} DECIMAL(38,4)" for name in steps.amounts(kind))
        connection.execute(
            f"""CREATE TABLE {kind}_totals (is_blank BOOLEAN, code VARCHAR, id_block BIGINT, id_bits BIGINT,
                records BIGINT{amounts})"""
        )


TYPES = {"reference": "VARCHAR", "root": "VARCHAR", "records": "BIGINT"}


def test_a_record_is_compared_with_the_accepted_ones_before_it() -> None:
    with duckdb.connect() as connection:
        create(connection)
        connection.execute("INSERT INTO customers_accepted VALUES ('c1', 'c1')")
        connection.execute("INSERT INTO orders_known VALUES ('c1', 1, NULL), ('c2', 0, 7)")
        connection.execute("INSERT INTO customers_judged (reference, code) VALUES ('c2', 'x'), ('c2', 'x')")
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
        judged = connection.execute(steps.judged(data_model.ORDERS, "id")).fetchall()
        names = list(steps.judged_columns(data_model.ORDERS))
        found = {row[names.index("line_number")]: dict(zip(names, row, strict=True)) for row in judged}
    assert {line: (row["code"], row["first_line"]) for line, row in sorted(found.items())} == {
        2: ("not_a_timestamp", None),
        3: ("refused_customer", 7),
        4: ("unknown_customer", None),
        5: (None, None),
        6: ("duplicate_id", 5),
        7: (None, None),
        8: ("duplicate_reference", 5),
        9: (None, None),
    }
