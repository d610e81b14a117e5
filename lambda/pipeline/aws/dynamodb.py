"""The table: ledger updates with optimistic locking, and bulk writes that retry or report each unprocessed request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from pipeline.aws.backoff import Deadline, attempts
from pipeline.aws.clients import client, error_code
from pipeline.aws.parallel import parallel_map
from pipeline.errors import LedgerConflictError, ThrottledError
from pipeline.ledger import Ledger
from pipeline.model.items import EXPIRES_AT, LEDGER_SORT_KEY, batch_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BATCH_ITEMS = 25
"""Requests per BatchWriteItem call (DynamoDB API reference).

The API's second limit of 16 MB can't be reached, as an item has at most 400 KB.
"""

MAX_READ = 100
"""Items per BatchGetItem call (DynamoDB API reference)."""

_LEDGER_SECONDS = 20.0
_THROTTLES = {
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "InternalServerError",
    "ServiceUnavailable",
}


class Table:
    """The one table of the pipeline."""

    def __init__(self, name: str, dynamodb: DynamoDBClient | None = None) -> None:
        self.name = name
        self._dynamodb: DynamoDBClient = dynamodb or client("dynamodb")

    def get_ledger(self, batch: str) -> Ledger | None:
        """Read a batch's ledger entry with strong consistency; None if there is none."""
        item = self._get(_ledger_key(batch))
        return Ledger.from_item(item) if item else None

    def ledger_items(self, batches: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Read the ledger entries of at most `MAX_READ` batches in one call, by batch; see `items`."""
        return {item["batch"]: item for item in self.items([_ledger_key(batch) for batch in batches])}

    def items(self, keys: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        """Read at most `MAX_READ` items in one call, as plain values in any order, without those that do not exist.

        Raises
        ------
        ThrottledError
            Some items could not be read in time.
        """
        found: list[dict[str, Any]] = []
        wanted: Mapping[str, Any] = {self.name: {"Keys": [_typed(key) for key in keys]}}
        for _ in attempts(Deadline.after(_LEDGER_SECONDS)):
            reply = self._dynamodb.batch_get_item(RequestItems=wanted)
            found += map(plain_item, reply["Responses"].get(self.name, ()))
            wanted = reply.get("UnprocessedKeys", {})
            if not wanted:
                return found
        raise ThrottledError(f"some of {len(keys)} items could not be read in time")

    def update_ledger(self, batch: str, change: Callable[[Ledger], Ledger], deadline: Deadline | None = None) -> Ledger:
        """Apply a pure function to a batch's ledger entry exactly once, even under concurrent changes.

        `change` gets a new entry if there is none yet, may be called several times, and may raise to refuse the
        change. If it returns the entry unchanged, nothing is written. `deadline` is by default in 20 s.

        Raises
        ------
        LedgerConflictError
            The entry was changed concurrently at each attempt.
        """
        for _ in attempts(deadline or Deadline.after(_LEDGER_SECONDS)):
            old = self.get_ledger(batch)
            before = old or Ledger(batch)
            after = change(before)
            if after == old:
                return after
            after = replace(after, revision=before.revision + 1)
            if self._put_ledger(after, before.revision):
                return after
        raise LedgerConflictError(f"the ledger entry of batch {batch} kept changing")

    def _put_ledger(self, ledger: Ledger, revision: int) -> bool:
        # Tests the attribute and not the key, because an entry of an older release may lack the attribute. If the
        # response to a write is lost, the SDK retries, and the condition fails because of its own first write. The next
        # attempt reads the entry again and, as every change is idempotent, changes nothing.
        item = {**_ledger_key(ledger.batch), **ledger.as_item()}
        return self._put_if(item, "attribute_not_exists(revision) OR revision = :before", revision)

    def _put_if(self, item: Mapping[str, Any], condition: str, before: int) -> bool:
        """Store an item if a condition holds, which may use the number `:before`; return whether it did."""
        try:
            self._dynamodb.put_item(
                TableName=self.name,
                Item=_typed(item),
                ConditionExpression=condition,
                ExpressionAttributeValues={":before": {"N": str(before)}},
            )
        except ClientError as error:
            if error_code(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def put(self, item: Mapping[str, Any]) -> None:
        """Store one item, given as plain values; idempotent."""
        self._dynamodb.put_item(TableName=self.name, Item=_typed(item))

    def put_limited(self, item: Mapping[str, Any], counter: str, limit: int) -> bool:
        """Store an item unless it is stored already, or `limit` others were under this counter; return whether it is.

        The counter is an item beside it, which expires with it. An interrupted call may count an item twice.

        Raises
        ------
        LedgerConflictError
            The counter was changed concurrently at each attempt.
        """
        key, counter_key = {"pk": item["pk"], "sk": item["sk"]}, {"pk": item["pk"], "sk": counter}
        if self._get(key):
            return True
        for _ in attempts(Deadline.after(_LEDGER_SECONDS)):
            stored = int(self._get(counter_key).get("items_stored", 0))
            if stored >= limit:
                return False
            count = {**counter_key, "items_stored": stored + 1, EXPIRES_AT: item[EXPIRES_AT]}
            if self._put_if(count, "attribute_not_exists(items_stored) OR items_stored = :before", stored):
                self.put(item)
                return True
        raise LedgerConflictError(f"the counter {counter} kept changing")

    def _get(self, key: Mapping[str, str]) -> dict[str, Any]:
        reply = self._dynamodb.get_item(TableName=self.name, Key=_typed(key), ConsistentRead=True)
        return plain_item(reply.get("Item", {}))

    def error_sort_keys(self, batch: str) -> frozenset[str]:
        """Return the sort keys of the errors that the table holds for a batch."""
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self.name,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues={":pk": {"S": batch_key(batch)}, ":sk": {"S": "error#"}},
            ProjectionExpression="sk",
            ConsistentRead=True,
        )
        return frozenset(item["sk"]["S"] for page in pages for item in page["Items"])

    def write(self, requests: Sequence[Mapping[str, Any]], deadline: Deadline) -> int:
        """Send write requests (in DynamoDB JSON, as in a chunk file), all puts before all deletes; return their number.

        Several calls run at once, and unprocessed requests are retried. Puts come first because a removed result has
        both: the put of the `removed` item, which causes the message, and its deletion.

        Raises
        ------
        ThrottledError
            Some requests were not accepted in time. All of them may be repeated.
        """
        puts = [request for request in requests if "PutRequest" in request]
        deletes = [request for request in requests if "PutRequest" not in request]
        for chosen in (puts, deletes):
            groups = [chosen[start : start + BATCH_ITEMS] for start in range(0, len(chosen), BATCH_ITEMS)]
            rest = sum(parallel_map(lambda group: self._write_group(group, deadline), groups))
            if rest:
                raise ThrottledError(f"{rest} of {len(chosen)} writes were not accepted in time")
        return len(requests)

    def _write_group(self, group: Sequence[Any], deadline: Deadline) -> int:
        """Write up to 25 requests; return how many were not accepted in time."""
        todo = group
        for _ in attempts(deadline):
            try:
                reply = self._dynamodb.batch_write_item(RequestItems={self.name: todo})
            except ClientError as error:
                if error_code(error) not in _THROTTLES:
                    raise
                continue
            todo = reply.get("UnprocessedItems", {}).get(self.name, ())
            if not todo:
                break
        return len(todo)


def _ledger_key(batch: str) -> dict[str, str]:
    return {"pk": batch_key(batch), "sk": LEDGER_SORT_KEY}


def _typed(item: Mapping[str, Any]) -> dict[str, Any]:
    serialize = TypeSerializer().serialize
    return {name: serialize(value) for name, value in item.items()}


def plain_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item of DynamoDB JSON as plain values, numbers as Decimal."""
    deserialize = TypeDeserializer().deserialize
    return {name: deserialize(value) for name, value in item.items()}
