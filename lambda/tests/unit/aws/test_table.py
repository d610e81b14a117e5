"""The table under concurrent changes, throttling, and more items than one answer has."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pipeline.aws import dynamodb
from pipeline.aws.backoff import Deadline
from pipeline.aws.dynamodb import Table
from pipeline.errors import LedgerConflictError, ThrottledError
from pipeline.ledger import Ledger, replace
from support import TABLE, Cloud

DAY = "20220131"


class Changed:
    """A DynamoDB with some operations replaced."""

    def __init__(self, dynamodb: Any, **operations: Any) -> None:
        self._dynamodb = dynamodb
        vars(self).update(operations)

    def __getattr__(self, operation: str) -> Any:
        return getattr(self._dynamodb, operation)


def table(cloud: Cloud, **operations: Any) -> Table:
    changed: Any = Changed(cloud.dynamodb, **operations)
    return Table(TABLE, changed)


def test_a_concurrent_change_is_not_overwritten(cloud: Cloud) -> None:
    cloud.table.update_ledger(DAY, lambda entry: replace(entry, chunks=1))
    others = iter([{"version": "a"}, {"cause": "b"}])

    def change(entry: Ledger) -> Ledger:
        if other := next(others, None):
            cloud.table.update_ledger(DAY, lambda entry: replace(entry, **other))
        return replace(entry, chunks=entry.chunks + 1)

    cloud.table.update_ledger(DAY, change)

    entry = cloud.table.get_ledger(DAY)
    assert entry is not None
    assert (entry.chunks, entry.version, entry.cause) == (2, "a", "b")


def test_a_change_is_seen_by_the_next_look(cloud: Cloud) -> None:
    """Without strong consistency, DynamoDB may answer with what the item was before."""
    before: dict[str, Any] = {}

    def get_item(**request: Any) -> dict[str, Any]:
        return cloud.dynamodb.get_item(**request) if request.get("ConsistentRead") else before

    cloud.table.update_ledger(DAY, lambda entry: replace(entry, chunks=1))

    assert table(cloud, get_item=get_item).get_ledger(DAY) == cloud.table.get_ledger(DAY)


def test_all_errors_of_a_batch_are_found_however_many_answers_they_take(cloud: Cloud) -> None:
    keys = {f"error#items#{line:010}#not_an_amount" for line in range(7)}
    for key in keys:
        cloud.table.put({"pk": f"batch#{DAY}", "sk": key})

    def two_at_a_time(operation: str) -> Any:
        paginator = cloud.dynamodb.get_paginator(operation)
        return SimpleNamespace(
            paginate=lambda **request: paginator.paginate(**request, PaginationConfig={"PageSize": 2})
        )

    assert table(cloud, get_paginator=two_at_a_time).error_sort_keys(DAY) == keys


@pytest.mark.parametrize("code", ["ThrottlingException", "ProvisionedThroughputExceededException"])
def test_a_throttled_write_is_tried_again(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr("pipeline.aws.backoff.BASE_SECONDS", 0.0)
    throttled = iter(range(3))

    def batch_write_item(**request: Any) -> Any:
        if next(throttled, None) is not None:
            raise ClientError({"Error": {"Code": code, "Message": "slow down"}}, "BatchWriteItem")
        return cloud.dynamodb.batch_write_item(**request)

    item = {"pk": {"S": "customer#c1"}, "sk": {"S": f"batch#{DAY}"}}
    written = table(cloud, batch_write_item=batch_write_item).write(
        [{"PutRequest": {"Item": item}}], Deadline.after(60)
    )

    assert written == 1
    assert list(cloud.items()) == [("customer#c1", f"batch#{DAY}")]


def test_entries_that_one_answer_leaves_out_are_read_by_the_next(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.aws.backoff.BASE_SECONDS", 0.0)
    for batch in (DAY, "20220201"):
        cloud.table.update_ledger(batch, lambda entry: replace(entry, chunks=1))

    def one_at_a_time(RequestItems: Any) -> Any:  # noqa: N803 (boto3's name)
        first, *rest = RequestItems[TABLE]["Keys"]
        reply = cloud.dynamodb.batch_get_item(RequestItems={TABLE: {"Keys": [first]}})
        return {**reply, "UnprocessedKeys": {TABLE: {"Keys": rest}} if rest else {}}

    found = table(cloud, batch_get_item=one_at_a_time).ledger_items(["20220101", DAY, "20220201"])

    assert sorted(found) == [DAY, "20220201"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        pytest.param(lambda table: table.ledger_items([DAY]), ThrottledError, id="entries that are never read"),
        pytest.param(
            lambda table: table.update_ledger(DAY, lambda entry: entry, Deadline.after(0)),
            LedgerConflictError,
            id="an entry that others keep changing",
        ),
        pytest.param(
            lambda table: table.put_limited({"pk": "p", "sk": "s", "expires_at": 1}, "counter", 9),
            LedgerConflictError,
            id="a counter that others keep changing",
        ),
    ],
)
def test_what_does_not_succeed_in_time_is_an_error(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, call: Callable[[Table], object], error: type[Exception]
) -> None:
    monkeypatch.setattr(dynamodb, "_LEDGER_SECONDS", 0.0)

    def refuse(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "ConditionalCheckFailedException", "Message": "no"}}, "PutItem")

    unread = {"Responses": {}, "UnprocessedKeys": {TABLE: {"Keys": []}}}
    with pytest.raises(error):
        call(table(cloud, batch_get_item=lambda **_: unread, put_item=refuse))
