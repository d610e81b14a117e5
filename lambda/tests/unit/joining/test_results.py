"""Results as put requests, sorted by reference, in chunks; and the messages made from these in bulk."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline.joining import message_lines as module
from pipeline.joining import results
from pipeline.joining.chunks import Chunk, ChunkWriter, put_items
from pipeline.joining.message_lines import RESULT_MESSAGE, message_lines
from pipeline.model import data_model
from pipeline.model.items import (
    IDENTITY,
    REFUSED_RECORDS,
    delete_line,
    error_item,
    put_line,
    removed_item,
    result_key,
    result_sort_key,
)
from pipeline.model.messages import message_for, number_text
from pipeline.reading.sql import open_database

DAY = "20220131"
Row = tuple[str, int, Decimal, int]
HARD = [
    "a-1",
    'say "x"',
    "back\\slash",
    '"},"number_of_orders":{"N":"7',
    '\\"},"sk":{"S":"batch#20220131"},"customer_reference":{"S":',
    "line\nend\r\t\x1f\x7f\x85",
    "\ufffe\uffff",
    "Käufer 名 👍🏽 \u2028\u202e",
    '{"PutRequest":{"Item":{"pk":{"S":"customer#x"}}}}',
    ',"refused_records":{"N":"3"}',
    "<script>/&'",
]
REFERENCES = st.one_of(
    st.sampled_from(HARD), st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
)
AMOUNTS = st.decimals("-1e20", "1e20", places=4).map(lambda amount: amount + 0)
ROWS = st.tuples(REFERENCES, st.integers(0, 2**62), AMOUNTS, st.integers(0, 3))


def request(row: Row) -> str:
    """The put request of a result."""
    reference, orders, amount, refused = row
    numbers = {"number_of_orders": str(orders), "total_amount_spent": number_text(amount)}
    numbers |= {REFUSED_RECORDS: str(refused)} if refused else {}
    texts = {"pk": result_key(reference), "sk": result_sort_key(DAY), IDENTITY: reference}
    item = {name: {"S": text} for name, text in texts.items()} | {name: {"N": text} for name, text in numbers.items()}
    return json.dumps({"PutRequest": {"Item": item}}, ensure_ascii=False, separators=(",", ":"))


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


def chunks_of(lines: list[str], folder: Path, chunk_records: int) -> list[Chunk]:
    writer = ChunkWriter(folder, chunk_records)
    writer.add(lines)
    writer.flush()
    return writer.chunks


def published(chunks: list[Chunk]) -> list[str]:
    """The messages that publish sends."""
    found = (message_for(item) for item in put_items(chunks))
    return [message.body for message in found if message]


def bulk(chunks: list[Chunk]) -> list[str]:
    return b"".join(message_lines(chunks)).decode().split("\n")[:-1]


@settings(max_examples=60)
@given(rows=st.lists(ROWS, max_size=20, unique_by=lambda row: row[0]), chunk_records=st.integers(1, 9))
def test_a_result_is_the_put_request_of_its_item_and_its_message_that_of_publish(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], chunk_records: int
) -> None:
    chunks = written(rows, tmp_path_factory.mktemp("results"), chunk_records)
    lines = [line for chunk in chunks for line in chunk.path.read_text().split("\n")[:-1]]
    expected = [request(row) for row in sorted(rows, key=lambda row: row[0].encode())]
    assert [json.loads(line) for line in lines] == [json.loads(line) for line in expected]
    assert [chunk.records for chunk in chunks[:-1]] == [chunk_records] * (len(chunks) - 1)
    assert bulk(chunks) == published(chunks)


@pytest.mark.slow
def test_many_results_stay_sorted_where_threads_write_them(tmp_path: Path) -> None:
    rows = [(f"{number * 2654435761 % 2**32:08x}", 1, Decimal(1), 0) for number in range(300_000)]
    chunks = written(rows, tmp_path, 5000)
    assert "".join(chunk.path.read_text() for chunk in chunks).splitlines() == [request(row) for row in sorted(rows)]


@pytest.mark.parametrize("chunk_records", [1, 5, 100])
def test_any_request_becomes_the_message_that_publish_sends(tmp_path: Path, chunk_records: int) -> None:
    lines = []
    for number, text in enumerate(HARD):
        error = error_item(DAY, data_model.ITEMS, "items.csv", number or None, "x", text, {"customer_reference": text})
        lines += [request((text, number, Decimal(number), number % 2)), put_line(removed_item(text, DAY))]
        lines += [delete_line(result_key(text), result_sort_key(DAY)), put_line(error)]
    lines += [request(("c-1", 1, Decimal(2), 0)).removesuffix("}}}") + ',"note":{"S":"unknown"}}}}']
    chunks = chunks_of(lines, tmp_path, chunk_records)
    assert bulk(chunks) == published(chunks)


def test_a_chunk_of_results_is_rewritten_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = chunks_of([request((f"c-{number}", number, Decimal(1), number % 3)) for number in range(10)], tmp_path, 5)
    messages = published(chunks)
    monkeypatch.setattr(module, "put_item", lambda line: pytest.fail("a line was parsed"))

    assert bulk(chunks) == messages
    assert [block.startswith(RESULT_MESSAGE) for block in message_lines(chunks)] == [True, True]


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
    lists = {"old": ["b", "a", "d"], "older": ["c", "a"], "now": ["a"], "too": ["d"]}
    paths = {name: tmp_path / f"{name}.parquet" for name in lists}
    with duckdb.connect() as connection:
        for name, references in lists.items():
            query = f"SELECT unnest(?) AS {IDENTITY}"
            connection.execute(f"COPY ({query}) TO '{paths[name]}' (FORMAT parquet)", [references])
        dropped = results.dropped([paths["old"], paths["older"]], [paths["now"], paths["too"]])
        assert connection.execute(dropped).fetchall() == [("b",), ("c",)]
