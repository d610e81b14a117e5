"""Send messages again: those that publish failed to send (its dead-letter queue names them), or those of a batch."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from pipeline.aws.clients import error_code
from pipeline.aws.s3 import Bucket
from pipeline.ledger import Ledger
from pipeline.model.batch_files import DELIVERED_PREFIX
from pipeline.model.items import REMOVED, batch_key, put_line, removed_item, result_key, result_sort_key

from pipeline_cli.deployment.queues import settle
from pipeline_cli.output import hints
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.files import temporary_folder

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from pipeline_cli.terraform.target import Target

BATCH_RECORDS = 100
FETCH = 10_000
MEMORY_MB = 1000
HIDDEN_SECONDS = 300
"""Visibility timeout of a dead-letter message while it is processed; one that fails is made visible at the end."""
READ_SECONDS = 240.0
"""How long to read the stream for one dead-letter message: less than it is hidden."""
MADE_HERE = "0"
"""The sequence number of a record that is made here: no record of a stream has it."""
GONE = {"TrimmedDataAccessException", "ResourceNotFoundException", "ExpiredIteratorException"}

Record = Mapping[str, Any]
Invoke = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Calls publish with an event and returns its reply; raises if the function fails."""


@dataclass(frozen=True, slots=True)
class Republished:
    """The result of processing publish's dead-letter queue.

    `messages` were processed, and `records` sent for them. `expired` messages name changes that the table's stream no
    longer keeps. `failed` has the reason for each other message that could not be processed.
    """

    messages: int = 0
    records: int = 0
    expired: int = 0
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Republisher:
    """Sends the present state of items again.

    An old stream record is not sent as it was: newer messages about the same result may have been sent since, and the
    old one would then arrive last. The present state in the table is always right to send; a consumer that has it
    already ignores it because of its `message_id`.
    """

    sqs: SQSClient
    streams: DynamoDBStreamsClient
    dynamodb: DynamoDBClient
    table: str
    invoke: Invoke
    pause_seconds: float = 0.2

    def republish(self, queue_url: str) -> Republished:
        """Process all messages of a dead-letter queue; each is deleted once all its items are sent. Safe to repeat.

        A message that can't be processed stays and does not stop the others.
        """
        records, sent = 0, set[str]()

        def send(message: MessageTypeDef) -> None:
            nonlocal records
            body = json.loads(message["Body"])
            _refuse_what_was_refused_just_now(body, sent)
            present = self._present(self._records(body))
            sent.update(_key(record["dynamodb"]) for record in present)
            records += self.send(present)

        done, failed = settle(self.sqs, queue_url, send, HIDDEN_SECONDS)
        expired = [one for one, error in failed.items() if isinstance(error, ClientError) and error_code(error) in GONE]
        reasons = (f"{one}: {_sentence(error)}" for one, error in failed.items() if one not in expired)
        return Republished(done, records, len(expired), tuple(reasons))

    def republish_batch(self, batch: str, removed: Iterable[str] = ()) -> int:
        """Send every result and error of a batch in the table, and removals of results; return the number of all.

        This scans the whole table, as each result has a partition key of its own.
        """
        occasion = uuid.uuid4().hex
        present = (_record(item, {"NewImage": item}, occasion) for item in self._items(batch))
        return self.send(chain(present, (_removal(reference, batch, occasion) for reference in removed)))

    def send(self, records: Iterable[Record]) -> int:
        """Call publish with records, as the table's stream does, and return their number.

        Raises
        ------
        CommandError
            publish could not send all of them.
        """
        count, rest = 0, iter(records)
        while group := list(islice(rest, BATCH_RECORDS)):
            if self.invoke({"Records": group}).get("batchItemFailures"):
                raise CommandError("publish could not send everything; what it could not stays where it is.")
            count += len(group)
        return count

    def _items(self, batch: str) -> Iterator[dict[str, Any]]:
        results = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.table,
            FilterExpression="sk = :sk AND begins_with(pk, :pk)",
            ExpressionAttributeValues={":sk": {"S": result_sort_key(batch)}, ":pk": {"S": result_key("")}},
            ConsistentRead=True,
        )
        errors = self.dynamodb.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues={":pk": {"S": batch_key(batch)}, ":sk": {"S": "error#"}},
            ConsistentRead=True,
        )
        for page in chain(results, errors):
            yield from page["Items"]

    def _records(self, body: Mapping[str, Any]) -> Sequence[Record]:
        """Return the stream records of a dead-letter message: publish includes the record, Lambda only names them."""
        return [{"dynamodb": body["record"]}] if "record" in body else self._read(body["DDBStreamBatchInfo"])

    def _read(self, place: Mapping[str, Any]) -> list[Record]:
        """Read the stream records that a dead-letter message of Lambda names.

        A page without records is not the end: "it might take multiple calls to get to a portion of the shard that
        contains stream records" (DynamoDB API Reference, GetRecords).

        Raises
        ------
        CommandError
            Not as many records were found as Lambda had in this batch.
        """
        last, deadline, found = int(place["endSequenceNumber"]), time.monotonic() + READ_SECONDS, list[Record]()
        iterator: str | None = self.streams.get_shard_iterator(
            StreamArn=place["streamArn"],
            ShardId=place["shardId"],
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            SequenceNumber=place["startSequenceNumber"],
        )["ShardIterator"]
        while iterator and time.monotonic() < deadline:
            reply = self.streams.get_records(ShardIterator=iterator)
            numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in reply["Records"]]
            found += [record for record, number in zip(reply["Records"], numbers, strict=True) if number <= last]
            iterator = None if any(number >= last for number in numbers) else reply.get("NextShardIterator")
            if not numbers:
                time.sleep(self.pause_seconds)
        if len(found) != place["batchSize"]:
            raise CommandError(f"the stream returned {len(found):,} of {place['batchSize']:,} records")
        return found

    def _present(self, records: Iterable[Record]) -> list[dict[str, Any]]:
        """Replace old records by records of the present state of their items, one for each item."""
        latest = {_key(record["dynamodb"]): record["dynamodb"] for record in records}
        return [present for change in latest.values() if (present := self._as_it_is_now(change))]

    def _as_it_is_now(self, change: Mapping[str, Any]) -> dict[str, Any] | None:
        item = self.dynamodb.get_item(TableName=self.table, Key=change["Keys"], ConsistentRead=True).get("Item")
        if item:
            return _record(change["Keys"], {"NewImage": item}, change["SequenceNumber"])
        if not change.get("NewImage"):
            return None  # neither the table nor the record has the item, so there is nothing to send
        images = {name: change.get(name) for name in ("NewImage", "OldImage")}
        return _record(change["Keys"], images, change["SequenceNumber"], "MODIFY")


def _record(keys: Mapping[str, Any], images: Mapping[str, Any], occasion: str, name: str = "INSERT") -> dict[str, Any]:
    """Make a stream record. The queue drops its message if the same record of the same occasion was sent before."""
    digest = hashlib.sha256(json.dumps([occasion, images], sort_keys=True).encode()).hexdigest()
    return {
        "eventID": digest[:32],
        "eventName": name,
        "eventSource": "aws:dynamodb",
        "dynamodb": {"Keys": {key: keys[key] for key in ("pk", "sk")}, "SequenceNumber": MADE_HERE, **images},
    }


def _removal(reference: str, batch: str, occasion: str) -> dict[str, Any]:
    """Make the stream record with which a correction drops a result."""
    item = json.loads(put_line(removed_item(reference, batch)))["PutRequest"]["Item"]
    before = {name: value for name, value in item.items() if name != REMOVED}
    return _record(item, {"NewImage": item, "OldImage": before}, occasion, "MODIFY")


def _key(change: Mapping[str, Any]) -> str:
    return json.dumps({name: change["Keys"][name] for name in ("pk", "sk")})


def _refuse_what_was_refused_just_now(body: Mapping[str, Any], sent: set[str]) -> None:
    """Raise for a message that publish wrote because SQS refused an item of this call: retrying it would never end."""
    if "record" in body and body["record"]["SequenceNumber"] == MADE_HERE and _key(body["record"]) in sent:
        cause = body.get("cause", {})
        raise CommandError(f"SQS refuses it once more: {cause.get('code')} {cause.get('message')}")


def _sentence(error: Exception) -> str:
    if isinstance(error, KeyError | TypeError | ValueError):
        return "it was written neither by Lambda, which names records of the table's stream, nor by publish"
    return str(error)


def republisher(target: Target) -> Republisher:
    """Return the republisher of a target."""

    def invoke(event: Mapping[str, Any]) -> Mapping[str, Any]:
        reply = target.client("lambda").invoke(
            FunctionName=target.output("function_names")["publish"], Payload=json.dumps(event, default=str).encode()
        )
        answer: dict[str, Any] = json.load(reply["Payload"])
        if reply.get("FunctionError"):
            raise CommandError(
                f"publish failed again: {answer.get('errorMessage', reply['FunctionError'])}",
                f"See {hints.command('logs', env=target.name)}, mend the cause and run the command again.",
            )
        return answer

    clients = (target.client("sqs"), target.client("dynamodbstreams"), target.client("dynamodb"))
    return Republisher(*clients, target.output("table_name"), invoke)


def removed(bucket: Bucket, entry: Ledger) -> Iterator[str]:
    """Yield the references in the results of earlier versions that those of the versions in the table no longer have.

    A version that was superseded before it delivered has a list, too. So a reference may be one that consumers were
    never sent.
    """
    from pipeline.joining.results import dropped  # importing DuckDB takes long
    from pipeline.reading.sql import open_database

    with temporary_folder("removed-") as directory:
        present, earlier = list[Path](), list[Path]()
        for key in bucket.keys(f"{DELIVERED_PREFIX}{entry.batch}/"):
            file = bucket.fetch(key, directory / Path(key).name)
            (present if file.stem in entry.delivered else earlier).append(file)
        if not (present and earlier):
            return
        with open_database(directory, MEMORY_MB, threads=2) as connection:
            rows = connection.execute(dropped(earlier, present))
            while found := rows.fetchmany(FETCH):
                yield from (row[0] for row in found)
