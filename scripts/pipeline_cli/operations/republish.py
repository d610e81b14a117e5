"""Send again what publish gave up: its dead letters name places in the table's stream, not messages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from pipeline.aws.clients import error_code

from pipeline_cli.output.errors import CommandError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_sqs import SQSClient

    from pipeline_cli.deploy.target import Target

BATCH_RECORDS = 100
GONE = {"TrimmedDataAccessException", "ResourceNotFoundException", "ExpiredIteratorException"}

Invoke = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Call publish with an event and return its reply; raises where the function fails."""


@dataclass(frozen=True, slots=True)
class Republished:
    """What became of publish's dead letters: how many were dealt with, how many name nothing that is there still."""

    letters: int = 0
    records: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class Republisher:
    """Sends the present state of every item that a dead letter is about.

    An old record is not sent as it was: newer messages of the same customer may be out already, and it would overtake
    them. What the table holds now is right at any time; who knows it already drops it by its `message_id`.
    """

    sqs: SQSClient
    streams: DynamoDBStreamsClient
    dynamodb: DynamoDBClient
    table: str
    invoke: Invoke

    def republish(self, queue_url: str) -> Republished:
        """Deal with all dead letters in a queue; one goes only when all that it is about is sent. Safe to repeat."""
        done = Republished()
        while found := self.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=1, WaitTimeSeconds=0).get(
            "Messages"
        ):
            (letter,) = found
            try:
                records = self._present(self._read(json.loads(letter["Body"])["DDBStreamBatchInfo"]))
            except (ClientError, KeyError, ValueError) as error:
                if isinstance(error, ClientError) and error_code(error) not in GONE:
                    raise
                done = Republished(done.letters, done.records, done.expired + 1)
                continue  # stays hidden for the queue's visibility timeout, so it is looked at once
            for start in range(0, len(records), BATCH_RECORDS):
                self._send(records[start : start + BATCH_RECORDS])
            self.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=letter["ReceiptHandle"])
            done = Republished(done.letters + 1, done.records + len(records), done.expired)
        return done

    def _read(self, place: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Read the stream records that a dead letter names."""
        last = int(place["endSequenceNumber"])
        iterator: str | None = self.streams.get_shard_iterator(
            StreamArn=place["streamArn"],
            ShardId=place["shardId"],
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            SequenceNumber=place["startSequenceNumber"],
        )["ShardIterator"]
        while iterator:
            reply = self.streams.get_records(ShardIterator=iterator)
            for record in reply["Records"]:
                if int(record["dynamodb"]["SequenceNumber"]) > last:
                    return
                yield record
            iterator = reply.get("NextShardIterator") if reply["Records"] else None

    def _present(self, records: Iterator[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Turn old records into ones that state what the table holds now, one for each item."""
        latest = {json.dumps(record["dynamodb"]["Keys"], sort_keys=True): record for record in records}
        return [present for record in latest.values() if (present := self._as_it_is_now(record))]

    def _as_it_is_now(self, record: Mapping[str, Any]) -> dict[str, Any] | None:
        change = record["dynamodb"]
        item = self.dynamodb.get_item(TableName=self.table, Key=change["Keys"], ConsistentRead=True).get("Item")
        images = {"NewImage": item} if item else {name: change.get(name) for name in ("NewImage", "OldImage")}
        if not images.get("NewImage"):
            return None  # the item is gone, and so it was in this record: nobody is told of that
        name = "INSERT" if item else "MODIFY"
        digest = hashlib.sha256(json.dumps([change["SequenceNumber"], images], sort_keys=True).encode()).hexdigest()
        return {
            "eventID": digest[:32],
            "eventName": name,
            "eventSource": "aws:dynamodb",
            "dynamodb": {"Keys": change["Keys"], "SequenceNumber": change["SequenceNumber"], **images},
        }

    def _send(self, records: Sequence[Mapping[str, Any]]) -> None:
        failed = self.invoke({"Records": records}).get("batchItemFailures", [])
        if failed:
            raise CommandError(
                "publish could not send everything; nothing is lost, the dead letter stays.",
                "Look into its log (pipeline logs), mend the cause and run the command again.",
            )


def republish_all(target: Target) -> Republished:
    """Deal with publish's dead letters in a target."""

    def invoke(event: Mapping[str, Any]) -> Mapping[str, Any]:
        reply = target.client("lambda").invoke(
            FunctionName=target.output("function_names")["publish"], Payload=json.dumps(event, default=str).encode()
        )
        answer: dict[str, Any] = json.load(reply["Payload"])
        if reply.get("FunctionError"):
            raise CommandError(
                f"publish failed again: {answer.get('errorMessage', reply['FunctionError'])}",
                "Look into its log (pipeline logs), mend the cause and run the command again.",
            )
        return answer

    clients = (target.client("sqs"), target.client("dynamodbstreams"), target.client("dynamodb"))
    return Republisher(*clients, target.output("table_name"), invoke).republish(
        target.output("publish_dead_letter_queue_url")
    )
