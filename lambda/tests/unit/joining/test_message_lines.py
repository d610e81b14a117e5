"""Messages made from chunk files: the bytes are the same as those that publish sends."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline.joining.chunks import Chunk, ChunkWriter, put_items
from pipeline.joining.customer_data_processor import Options, SourceFile, messages, process
from pipeline.joining.message_lines import RESULT_MESSAGE, message_lines
from pipeline.model import data_model
from pipeline.model.items import (
    REFUSED_RECORDS,
    delete_line,
    error_item,
    put_line,
    removed_item,
    result_key,
    result_sort_key,
)
from pipeline.model.messages import message_for, number_text

DAY = "20220131"
HARD = [
    "a-1",
    'say "x"',
    "back\\slash",
    '"},"number_of_orders":{"N":"7',
    '\\"},"sk":{"S":"batch#20220131"},"customer_reference":{"S":',
    "line\nend\r\t\x00\x1f\x7f\x85",
    "\ufffe\uffff",
    "Käufer 名 👍🏽 \u2028\u202e",
    '{"PutRequest":{"Item":{"pk":{"S":"customer#x"}}}}',
    ',"refused_records":{"N":"3"}',
    "<script>/&'",
]


def result(reference: str, orders: int, amount: str, refused_records: int | None = None) -> str:
    """A put request as `write_results` makes it: number texts in quotes, attributes in this order."""
    item: dict[str, Any] = {
        "pk": result_key(reference),
        "sk": result_sort_key(DAY),
        "customer_reference": reference,
    }
    line = put_line(item).removesuffix("}}}")
    numbers = {"number_of_orders": str(orders), "total_amount_spent": amount}
    if refused_records is not None:
        numbers[REFUSED_RECORDS] = str(refused_records)
    return line + "".join(f',"{name}":{{"N":"{text}"}}' for name, text in numbers.items()) + "}}}"


def expected(chunks: list[Chunk]) -> bytes:
    found = (message_for(item) for item in put_items(chunks))
    return "".join(message.body + "\n" for message in found if message).encode()


def write(folder: Path, lines: list[str], chunk_records: int) -> list[Chunk]:
    writer = ChunkWriter(folder, chunk_records)
    writer.add(lines)
    writer.flush()
    return writer.chunks


references = st.one_of(
    st.sampled_from(HARD), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
)
amounts = st.decimals("-99999", "99999", places=4).map(number_text)
requests = st.one_of(
    st.builds(result, references, st.integers(0, 10**6), amounts, st.one_of(st.none(), st.integers(1, 10**6))),
    references.map(lambda reference: put_line(removed_item(reference, DAY))),
    references.map(lambda reference: delete_line(result_key(reference), result_sort_key(DAY))),
    st.builds(
        lambda text, line: put_line(
            error_item(
                DAY, data_model.ITEMS, f"items_{DAY}.csv", line, "not_an_amount", text, {"customer_reference": text}
            )
        ),
        references,
        st.one_of(st.none(), st.integers(1, 10**7)),
    ),
)


@given(lines=st.lists(requests, max_size=12), chunk_records=st.integers(1, 5))
def test_any_chunk_becomes_the_messages_that_publish_would_send(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], chunk_records: int
) -> None:
    chunks = write(tmp_path_factory.mktemp("chunks"), lines, chunk_records)
    assert b"".join(message_lines(chunks)) == expected(chunks)


def test_a_chunk_of_customers_is_rewritten_as_a_whole_even_with_incomplete_totals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [result(f"c-{number}", number, "12.5", number % 3 or None) for number in range(10)]
    chunks = write(tmp_path, lines, 5)
    all_messages = expected(chunks)
    monkeypatch.setattr("pipeline.joining.message_lines.put_item", lambda line: pytest.fail("a line was parsed"))

    blocks = list(message_lines(chunks))

    assert b"".join(blocks) == all_messages
    assert len(blocks) == 2
    assert all(block.startswith(RESULT_MESSAGE) for block in blocks)


def test_items_with_an_unknown_attribute_are_rendered_by_publish(tmp_path: Path) -> None:
    line = result("c-1", 1, "2").removesuffix("}}}") + ',"note":{"S":"x"}}}}'
    chunks = write(tmp_path, [line], 1)
    assert b"".join(message_lines(chunks)) == expected(chunks)


def test_the_messages_of_a_day_are_publishs_own(tmp_path: Path) -> None:
    """The chunks are those of DuckDB, with cells that both CSV and JSON escape."""

    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    hard = [text.replace("\x00", "").replace("\n", " ").replace("\r", " ") for text in HARD]
    hard = [text for text in hard if any(character.isalnum() for character in text)]
    rows = {
        data_model.CUSTOMERS: [f"{quoted(text)},A,B,C" for text in hard],
        data_model.ORDERS: [f"{quoted(text)},Placed,o{number},1643600000" for number, text in enumerate(hard)],
        data_model.ITEMS: [f"o{number},Lamp,1,{Decimal(number) / 8}" for number in range(len(hard))]
        + ["none,Lamp,1,x"],
    }
    files = {}
    for kind, lines in rows.items():
        path = tmp_path / f"{kind}_{DAY}.csv"
        header = ",".join(column.name for column in kind.required)
        path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        files[kind] = SourceFile(path.name, path)

    outcome = process(DAY, files, tmp_path / "work", Options(memory_mb=256, threads=2, chunk_records=3))

    assert b"".join(message_lines(outcome.chunks)).decode().split("\n")[:-1] == list(messages(outcome))
    assert outcome.summary.as_dict()["customers"] == len(hard)
