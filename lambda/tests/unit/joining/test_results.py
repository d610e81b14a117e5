"""Results as put requests, sorted by reference, in chunks."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from batches import delivered
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline.joining import results
from pipeline.joining.chunks import Chunk, ChunkWriter, put_items
from pipeline.model.items import IDENTITY, REFUSED_RECORDS, result_key, result_sort_key
from pipeline.model.messages import bodies, message_for, number_text
from pipeline.reading.sql import open_database

DAY = "20220131"
Row = tuple[str, int, Decimal, int]
HARD = [
    'say "x"',
    "back\\slash",
    '"},"number_of_orders":{"N":"7',
    "line\nend\r\t\x1f\x7f\x85",
    "\ufffe\uffff",
    "名 👍🏽 \u2028",
]
REFERENCES = st.one_of(
    st.sampled_from(HARD), st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
)
AMOUNTS = st.decimals("-1e20", "1e20", places=4).map(lambda amount: amount + 0)
ROWS = st.tuples(REFERENCES, st.integers(0, 2**62), AMOUNTS, st.integers(0, 3))


def request(row: Row) -> dict[str, Any]:
    """The put request of a result."""
    reference, orders, amount, refused = row
    numbers = {"number_of_orders": str(orders), "total_amount_spent": number_text(amount)}
    numbers |= {REFUSED_RECORDS: str(refused)} if refused else {}
    texts = {"pk": result_key(reference), "sk": result_sort_key(DAY), IDENTITY: reference}
    item = {name: {"S": text} for name, text in texts.items()} | {name: {"N": text} for name, text in numbers.items()}
    return {"PutRequest": {"Item": item}}


def written(rows: list[Row], folder: Path, chunk_records: int) -> list[Chunk]:
    """The chunks of results."""
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
        results.write_results(connection, DAY, writer)
        writer.flush()
    return writer.chunks


def requests(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [json.loads(line) for chunk in chunks for line in chunk.path.read_text().split("\n")[:-1]]


@settings(max_examples=60)
@given(rows=st.lists(ROWS, max_size=20, unique_by=lambda row: row[0]), chunk_records=st.integers(1, 9))
def test_a_result_is_the_put_request_of_its_item_and_has_the_message_that_publish_sends(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], chunk_records: int
) -> None:
    chunks = written(rows, tmp_path_factory.mktemp("results"), chunk_records)
    assert requests(chunks) == [request(row) for row in sorted(rows, key=lambda row: row[0].encode())]
    assert [chunk.records for chunk in chunks[:-1]] == [chunk_records] * (len(chunks) - 1)
    sent = [message.body for item in put_items(chunks) if (message := message_for(item))]
    assert [body for chunk in chunks for body in bodies(chunk.path.read_text(encoding="utf-8"))] == sent


@pytest.mark.slow
def test_many_results_stay_sorted_where_threads_write_them(tmp_path: Path) -> None:
    rows = [(f"{number * 2654435761 % 2**32:08x}", 1, Decimal(1), 0) for number in range(300_000)]
    assert requests(written(rows, tmp_path, 5000)) == [request(row) for row in sorted(rows)]


@pytest.mark.parametrize(
    ("type_name", "texts"),
    [("S", ['{"S":"7 \\"x\\""}', '{"S":""}', '{"S":""}']), ("N", ['{"N":"7"}', '{"NULL":true}', '{"NULL":true}'])],
)
def test_a_carried_value_may_be_missing(type_name: str, texts: list[str]) -> None:
    cells: list[Any] = ['7 "x"' if type_name == "S" else "007", "", None]
    with duckdb.connect() as connection:
        query = f"SELECT {results._carried('cell', type_name)} FROM (SELECT unnest(?) AS cell)"
        assert [text for (text,) in connection.execute(query, [cells]).fetchall()] == texts


def test_references_of_earlier_lists_that_no_present_list_has_are_dropped(tmp_path: Path) -> None:
    old, older, now, too = (delivered(tmp_path, *references) for references in ("bad", "ca", "a", "d"))
    with duckdb.connect() as connection:
        assert connection.execute(results.dropped([old, older], [now, too])).fetchall() == [("b",), ("c",)]
