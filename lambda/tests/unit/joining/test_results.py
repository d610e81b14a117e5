"""Results as put requests: the items that `put_line` writes, sorted by reference, in chunks."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline.joining import results
from pipeline.joining.chunks import ChunkWriter
from pipeline.joining.results import write_results
from pipeline.model.items import IDENTITY, REFUSED_RECORDS, result_key, result_sort_key
from pipeline.model.messages import number_text
from pipeline.reading.sql import literal, open_database

DAY = "20220131"


def written(rows: list[tuple[str, int, Decimal, int]], folder: Path, chunk_records: int) -> list[bytes]:
    with open_database(folder, 500, 2) as connection:
        connection.execute(
            """CREATE TABLE results (reference VARCHAR, orders_records BIGINT, total_amount_spent DECIMAL(38,4),
                refused_records BIGINT)"""
        )
        references, orders, amounts, refused = map(list, zip(*rows, strict=True)) if rows else ([], [], [], [])
        connection.execute(
            "INSERT INTO results SELECT unnest(?::VARCHAR[]), unnest(?), unnest(?::DECIMAL(38,4)[]), unnest(?)",
            [references, orders, [str(amount) for amount in amounts], refused],
        )
        writer = ChunkWriter(folder / "chunks", chunk_records)
        write_results(connection, DAY, writer)
        writer.flush()
    assert sorted(path.name for path in (folder / "chunks").iterdir()) == [chunk.path.name for chunk in writer.chunks]
    return [chunk.path.read_bytes() for chunk in writer.chunks]


def request(row: tuple[str, int, Decimal, int]) -> bytes:
    reference, orders, amount, refused = row
    item: dict[str, Any] = {
        "pk": {"S": result_key(reference)},
        "sk": {"S": result_sort_key(DAY)},
        "customer_reference": {"S": reference},
        "number_of_orders": {"N": str(orders)},
        "total_amount_spent": {"N": number_text(amount)},
    }
    if refused:
        item[REFUSED_RECORDS] = {"N": str(refused)}
    text = json.dumps({"PutRequest": {"Item": item}}, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


REFERENCES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12),
    st.sampled_from(['say "x"', "back\\slash", "line\nend\r\t\x1f\x7f\x85", "\ufffe", "👍🏽 \u2028"]),
)
ROWS = st.tuples(
    REFERENCES,
    st.integers(0, 2**62),
    st.decimals("-1e20", "1e20", places=4).map(lambda amount: amount + 0),
    st.integers(0, 3),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(rows=st.lists(ROWS, max_size=30, unique_by=lambda row: row[0]), chunk_records=st.integers(1, 9))
def test_a_result_is_the_put_request_of_its_item(
    tmp_path_factory: Any, rows: list[tuple[str, int, Decimal, int]], chunk_records: int
) -> None:
    chunks = written(rows, tmp_path_factory.mktemp("results"), chunk_records)
    lines = [line for chunk in chunks for line in chunk.split(b"\n")[:-1]]
    expected = [request(row) for row in sorted(rows, key=lambda row: row[0].encode())]
    assert [json.loads(line) for line in lines] == [json.loads(line) for line in expected]
    assert [line.count(b"\n") for line in chunks[:-1]] == [chunk_records] * (len(chunks) - 1)


@pytest.mark.slow
def test_many_results_stay_sorted_where_threads_write_them(tmp_path: Path) -> None:
    rows = [(f"{number * 2654435761 % 2**32:08x}", 1, Decimal(1), 0) for number in range(300_000)]
    chunks = written(rows, tmp_path, 5000)
    assert b"".join(chunks).splitlines() == [request(row) for row in sorted(rows)]


def test_a_carried_text_may_be_empty_and_a_carried_number_is_written_as_such_or_as_null() -> None:
    def written(type_name: str, *values: str | None) -> list[str]:
        before, value, after = results._carried("cell", type_name)
        with duckdb.connect() as connection:
            rows = connection.execute(
                f"SELECT concat({literal(before)}, {value}, {literal(after)}) FROM (SELECT unnest(?) AS cell)", [values]
            )
            return [text for (text,) in rows.fetchall()]

    assert written("S", 'say "x"', "", None) == ['{"S":"say \\"x\\""}', '{"S":""}', '{"S":""}']
    assert written("N", "007", "", None) == ['{"N":"7"}', '{"NULL":true}', '{"NULL":true}']


def test_references_of_earlier_lists_that_no_present_list_has_are_dropped(tmp_path: Path) -> None:
    lists = {"old": ["b", "a", "d"], "older": ["c", "a"], "now": ["a"], "too": ["d"]}
    paths = {}
    with duckdb.connect() as connection:
        for name, references in lists.items():
            paths[name] = tmp_path / f"{name}.parquet"
            query = f"SELECT unnest(?) AS {IDENTITY}"
            connection.execute(f"COPY ({query}) TO '{paths[name]}' (FORMAT parquet)", [references])
        rows = connection.execute(
            results.dropped([paths["old"], paths["older"]], [paths["now"], paths["too"]])
        ).fetchall()
    assert rows == [("b",), ("c",)]
