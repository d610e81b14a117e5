"""deliver: writes one chunk completely or fails, and writes nothing for a superseded run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pipeline.aws.backoff import Deadline
from pipeline.errors import ForeignKeyError, ThrottledError, TransferError
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


def test_writing_a_chunk_again_changes_nothing(cloud: Cloud, context: Context) -> None:
    chunk = event(cloud, *(put(number) for number in range(30)))
    deliver.handler(chunk, context)
    before = cloud.items()
    deliver.handler(chunk, context)
    assert cloud.items() == before


def test_deletes_come_after_all_puts(cloud: Cloud, context: Context) -> None:
    deliver.handler(event(cloud, put(1), put(2), delete(1)), context)
    assert results(cloud).keys() == {"customer#2"}


def test_an_item_is_stored_character_by_character(cloud: Cloud, context: Context) -> None:
    text = 'a "quoted" \\ back\\slash, ä€😀\u2028\x01\n\t end'
    deliver.handler(event(cloud, put(1, text)), context)
    assert results(cloud)["customer#1"]["message"] == {"S": text}


def test_an_empty_chunk_writes_nothing(cloud: Cloud, context: Context) -> None:
    assert deliver.handler(event(cloud), context) == {"written": 0}


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


def test_a_run_of_a_purged_batch_writes_nothing(cloud: Cloud, context: Context) -> None:
    chunk = event(cloud, put(1))
    cloud.dynamodb.delete_item(TableName=cloud.table.name, Key={"pk": {"S": "batch#20220131"}, "sk": {"S": "ledger"}})
    assert deliver.handler(chunk, context) == {"written": 0}


class Reluctant:
    """A DynamoDB client that accepts one request a call."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def batch_write_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 (boto3's name)
        ((table, requests),) = RequestItems.items()
        self._real.batch_write_item(RequestItems={table: requests[:1]})
        return {"UnprocessedItems": {table: requests[1:]}}


def requests(count: int) -> list[Any]:
    return [json.loads(put(number)) for number in range(count)]


def test_when_the_time_is_up_the_rest_is_reported_and_not_dropped(cloud: Cloud) -> None:
    table = deliver.Table(cloud.table.name, Reluctant(cloud.dynamodb))  # type: ignore[arg-type]
    with pytest.raises(ThrottledError, match="4 of 5 writes were not accepted"):
        table.write(requests(5), Deadline.after(-1))


def test_an_invalid_request_is_not_retried_like_a_throttled_one(cloud: Cloud) -> None:
    with pytest.raises(cloud.dynamodb.exceptions.ClientError, match="ValidationException"):
        cloud.table.write([{"PutRequest": {"Item": {"pk": {"S": "no sort key"}}}}], Deadline.after(60))
