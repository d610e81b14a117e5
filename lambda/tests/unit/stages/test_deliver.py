"""deliver: writes one chunk completely or fails, and writes nothing for a superseded run."""

from __future__ import annotations

from typing import Any

import pytest
from pipeline.errors import ForeignKeyError, TransferError
from pipeline.handlers import deliver
from pipeline.ledger import Ledger
from pipeline.model.items import delete_line, put_line
from support import Cloud, Context

RUN = "20220131-v1"


def put(number: int, message: str = "fine") -> bytes:
    return put_line({"pk": f"customer#{number}", "sk": "batch#20220131", "message": message}).encode()


def delete(number: int) -> bytes:
    return delete_line(f"customer#{number}", "batch#20220131").encode()


def event(cloud: Cloud, *lines: bytes, execution: str = RUN) -> dict[str, Any]:
    """Store a chunk, make its run the current one, and return the state machine's input."""
    cloud.upload("chunk.jsonl", b"\n".join(lines), prefix="work/")
    cloud.table.update_ledger("20220131", lambda _: Ledger("20220131", execution=RUN))
    return {"batch": "20220131", "execution": execution, "chunk": {"key": "work/chunk.jsonl", "records": len(lines)}}


def results(cloud: Cloud) -> dict[str, Any]:
    return {pk: item for (pk, sk), item in cloud.items().items() if sk != "ledger"}


def test_every_record_of_a_chunk_is_in_the_table_afterwards(cloud: Cloud, context: Context) -> None:
    chunk = event(cloud, *(put(number) for number in range(60)))
    assert deliver.handler(chunk, context) == {"written": 60}
    assert results(cloud).keys() == {f"customer#{number}" for number in range(60)}


def test_deletes_come_after_all_puts(cloud: Cloud, context: Context) -> None:
    deliver.handler(event(cloud, put(1), put(2), delete(1)), context)
    assert results(cloud).keys() == {"customer#2"}


def test_an_item_is_stored_character_by_character(cloud: Cloud, context: Context) -> None:
    text = 'a "quoted" \\ back\\slash, ä€😀\u2028\x01\n\t end'
    deliver.handler(event(cloud, put(1, text)), context)
    assert results(cloud)["customer#1"]["message"] == {"S": text}


@pytest.mark.parametrize(
    "line",
    [
        put_line({"pk": "customer#1", "sk": "batch#20220201"}),
        put_line({"pk": "batch#20220131", "sk": "ledger"}),
        delete_line("batch#20220131", "ledger"),
        delete_line("batch#20220201", "error#items#0000000002#bad_quoting"),
        put_line({"pk": "elsewhere", "sk": "batch#20220131"}),
    ],
    ids=["another day's result", "the ledger", "the ledger's end", "another day's error", "another key"],
)
def test_a_chunk_with_a_write_of_another_batch_writes_nothing(cloud: Cloud, context: Context, line: str) -> None:
    chunk = event(cloud, put(1), line.encode())
    with pytest.raises(ForeignKeyError, match=r"work/chunk\.jsonl would write .* belong to batch 20220131"):
        deliver.handler(chunk, context)
    assert results(cloud) == {}


@pytest.mark.parametrize("records", [1, 3])
def test_a_chunk_with_fewer_or_more_records_than_its_manifest_says_writes_nothing(
    cloud: Cloud, context: Context, records: int
) -> None:
    chunk = event(cloud, put(1), put(2))
    chunk["chunk"]["records"] = records
    with pytest.raises(TransferError, match=f"2 of {records} records arrived"):
        deliver.handler(chunk, context)
    assert results(cloud) == {}


def test_a_superseded_run_writes_nothing(cloud: Cloud, context: Context) -> None:
    chunk = event(cloud, put(1), execution="20220131-v0")
    assert deliver.handler(chunk, context) == {"written": 0}
    assert results(cloud) == {}
