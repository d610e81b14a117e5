"""Republish sends the current state of items whose stream records publish could not send."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from faults.aws_platform import given_up
from faults.test_faults_in_memory import DAY, FILES, fresh_platform
from hypothesis import given
from hypothesis import strategies as st
from pipeline.handlers import publish
from pipeline.model.items import notice_item
from pipeline_cli.deployment.republisher import Republished, Republisher, removed
from support import REGION, TABLE, Cloud, Context, result_item


def put(cloud: Cloud, *items: dict[str, Any]) -> None:
    for one in items:
        cloud.dynamodb.put_item(TableName=TABLE, Item=one)


@pytest.fixture
def dead_letters(cloud: Cloud) -> str:
    """The URL of publish's dead-letter queue."""
    url: str = cloud.sqs.create_queue(QueueName="publish-dead-letter")["QueueUrl"]
    return url


def changes(cloud: Cloud) -> tuple[list[Any], str, str]:
    """Return the records of the table's stream, the stream's ARN, and the shard."""
    streams = boto3.client("dynamodbstreams", region_name=REGION)
    arn = cloud.dynamodb.describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
    return streams.get_records(ShardIterator=iterator["ShardIterator"])["Records"], arn, shard["ShardId"]


def put_failed_batch(cloud: Cloud, dead_letters: str) -> None:
    """Send the message that Lambda sends to the dead-letter queue after publish failed for all stream records."""
    cloud.sqs.send_message(QueueUrl=dead_letters, MessageBody=json.dumps(given_up(*changes(cloud))))


def republisher(cloud: Cloud) -> Republisher:
    def invoke(event: Mapping[str, Any]) -> Mapping[str, Any]:
        return publish.handler(json.loads(json.dumps(event, default=str)), Context())

    return Republisher(cloud.sqs, boto3.client("dynamodbstreams"), cloud.dynamodb, TABLE, invoke)


def ids(cloud: Cloud) -> list[str]:
    return sorted(message["MessageAttributes"]["message_id"]["StringValue"] for message in cloud.received())


def bodies(cloud: Cloud) -> list[str]:
    return sorted(message["Body"] for message in cloud.received())


def test_each_item_is_sent_once_in_its_current_state(cloud: Cloud, dead_letters: str) -> None:
    put(cloud, result_item("a", "1"), result_item("b", "2"), result_item("a", "3"))
    put_failed_batch(cloud, dead_letters)
    put(cloud, result_item("b", "4"))

    assert republisher(cloud).republish(dead_letters) == Republished(messages=1, records=2)

    sent = [json.loads(body) for body in bodies(cloud)]
    assert [(one["customer_reference"], one["total_amount_spent"]) for one in sent] == [("a", 3), ("b", 4)]
    assert republisher(cloud).republish(dead_letters) == Republished(), "a second one sends nothing"
    assert bodies(cloud) == []


def test_a_removal_is_sent_if_the_customer_is_still_removed(cloud: Cloud, dead_letters: str) -> None:
    put(cloud, result_item("a"), result_item("a", removed={"BOOL": True}))
    put_failed_batch(cloud, dead_letters)
    cloud.dynamodb.delete_item(TableName=TABLE, Key={name: result_item("a")[name] for name in ("pk", "sk")})

    republisher(cloud).republish(dead_letters)

    assert bodies(cloud) == ['{"type":"customer_removed","customer_reference":"a"}']


def test_a_dead_letter_stays_while_publish_cannot_send(cloud: Cloud, dead_letters: str) -> None:
    put(cloud, result_item("a"))
    put_failed_batch(cloud, dead_letters)
    failing = Republisher(
        cloud.sqs, boto3.client("dynamodbstreams"), cloud.dynamodb, TABLE, lambda _: {"batchItemFailures": [{}]}
    )
    done = failing.republish(dead_letters)
    assert (done.messages, done.expired) == (0, 0)
    assert "publish could not send everything" in done.failed[0]
    waiting = cloud.sqs.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["ApproximateNumberOfMessages"])
    assert waiting["Attributes"]["ApproximateNumberOfMessages"] == "1", "it is visible again at once"


def test_a_dead_letter_that_cannot_be_sent_does_not_block_the_others(cloud: Cloud, dead_letters: str) -> None:
    place = {"shardId": "x", "startSequenceNumber": 1, "endSequenceNumber": 1, "streamArn": "too short"}
    cloud.sqs.send_message(QueueUrl=dead_letters, MessageBody=json.dumps({"DDBStreamBatchInfo": place}))
    put(cloud, result_item("a"))
    put_failed_batch(cloud, dead_letters)

    done = republisher(cloud).republish(dead_letters)

    assert (done.messages, done.records, len(done.failed)) == (1, 1, 1)
    assert "Invalid" in done.failed[0]
    assert len(bodies(cloud)) == 1


def test_a_batch_is_sent_again_with_the_ids_that_its_messages_had(cloud: Cloud) -> None:
    error = notice_item("20220131", "items", "not_an_amount", "items_20220131.csv: wrong", "items_20220131.csv")
    cloud.table.put(error)
    put(cloud, result_item("a", "1.5"), result_item("b"))
    publish.handler(json.loads(json.dumps({"Records": changes(cloud)[0]}, default=str)), Context())
    put(cloud, {**result_item("c"), "sk": {"S": "batch#20220201"}})
    first = ids(cloud)

    assert republisher(cloud).republish_batch("20220131") == 3

    assert ids(cloud) == first
    assert len(first) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("moto_active")
def test_removals_by_earlier_corrections_are_sent_again(environment: pytest.MonkeyPatch) -> None:
    name, content = f"customers_{DAY}.csv", FILES[f"customers_{DAY}.csv"]
    without_one = content.replace(b"c-5,A,B,ok\n", b"")
    without_two = without_one.replace(b"c-4,A,B,ok\n", b"")
    with fresh_platform(environment) as platform:
        for files in (FILES, {name: without_one}, {name: without_two}):
            platform.upload(files)
            platform.settle()
        announced = [body for body in platform.bodies if "customer_removed" in body]
        entry = platform.cloud.table.get_ledger(DAY)
        assert entry is not None

        count = republisher(platform.cloud).republish_batch(DAY, removed(platform.cloud.bucket, entry))

        sent = bodies(platform.cloud)
        assert [body for body in sent if "customer_removed" in body] == sorted(announced)
        assert (count, len(announced)) == (len(sent), 2)


def put_refused_record(cloud: Cloud, dead_letters: str, reference: str, sequence_number: str = "7") -> None:
    """Send the message that publish puts into its dead-letter queue when SQS refuses a customer's message."""
    record = {"Keys": {name: result_item(reference)[name] for name in ("pk", "sk")}, "SequenceNumber": sequence_number}
    message = {
        "cause": {"code": "InvalidMessageContents", "message": "no"},
        "record": record | {"NewImage": result_item(reference)},
    }
    cloud.sqs.send_message(QueueUrl=dead_letters, MessageBody=json.dumps(message))


def test_a_refused_record_is_sent_in_its_current_state(cloud: Cloud, dead_letters: str) -> None:
    put(cloud, result_item("a", "5"))
    put_refused_record(cloud, dead_letters, "a")

    assert republisher(cloud).republish(dead_letters) == Republished(messages=1, records=1)

    assert [json.loads(body)["total_amount_spent"] for body in bodies(cloud)] == [5]


def test_a_record_that_is_refused_again_stays_and_is_tried_once(cloud: Cloud, dead_letters: str) -> None:
    put(cloud, result_item("a"))
    put_refused_record(cloud, dead_letters, "a")

    def refuse(event: Mapping[str, Any]) -> Mapping[str, Any]:
        (record,) = event["Records"]
        put_refused_record(cloud, dead_letters, "a", record["dynamodb"]["SequenceNumber"])
        return {"batchItemFailures": []}

    done = replace(republisher(cloud), invoke=refuse).republish(dead_letters)

    assert (done.messages, done.records) == (1, 1)
    (failed,) = done.failed
    assert "SQS refuses it once more: InvalidMessageContents no" in failed


def test_a_dead_letter_whose_stream_records_expired_is_counted_and_stays(cloud: Cloud, dead_letters: str) -> None:
    """DynamoDB removes records that are older than 24 hours."""
    put(cloud, result_item("a"))
    put_failed_batch(cloud, dead_letters)

    def trimmed(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "TrimmedDataAccessException"}}, "GetShardIterator")

    late: Any = SimpleNamespace(get_shard_iterator=trimmed)
    for _ in range(2):
        assert replace(republisher(cloud), streams=late).republish(dead_letters) == Republished(expired=1)


class Stream:
    """A shard whose GetRecords replies with the given pages of sequence numbers; `None` ends the shard."""

    def __init__(self, pages: list[list[int]], *, closed: bool) -> None:
        self.pages, self.closed = pages, closed

    def get_shard_iterator(self, **_: str) -> dict[str, str]:
        return {"ShardIterator": "0"}

    def get_records(self, ShardIterator: str) -> dict[str, Any]:  # noqa: N803 (as boto3)
        number = int(ShardIterator)
        page = self.pages[number] if number < len(self.pages) else []
        more = {} if self.closed and number + 1 >= len(self.pages) else {"NextShardIterator": str(number + 1)}
        keys = {"pk": {"S": "k"}, "sk": {"S": "s"}}
        return {"Records": [{"dynamodb": {"SequenceNumber": str(one), "Keys": keys}} for one in page], **more}


@given(st.lists(st.lists(st.integers(1, 5), max_size=3), max_size=6), st.booleans())
def test_every_record_of_a_dead_letter_is_read_however_the_stream_is_cut_into_pages(
    steps: list[list[int]], closed: bool
) -> None:
    numbers = itertools.count(10, 5)
    pages = [[next(numbers) for _ in page] for page in steps] + [[], [next(numbers)]]
    found = [number for page in pages for number in page]
    after = [[next(numbers)], []]  # records that the dead letter does not name
    reader = Republisher(None, Stream([*pages, *after], closed=closed), None, TABLE, dict, 0)  # type: ignore[arg-type]
    place = {"startSequenceNumber": str(found[0]), "endSequenceNumber": str(found[-1]), "batchSize": len(found)}

    read = reader._read({**place, "streamArn": "arn", "shardId": "shard"})

    assert [int(record["dynamodb"]["SequenceNumber"]) for record in read] == found


def test_a_dead_letter_stays_if_records_of_it_are_not_found(cloud: Cloud, dead_letters: str) -> None:
    put(cloud, result_item("a"), result_item("b"))
    put_failed_batch(cloud, dead_letters)
    known = republisher(cloud)
    missing = replace(known, streams=Stream([[], []], closed=True))  # type: ignore[arg-type]

    done = missing.republish(dead_letters)

    assert (done.messages, "returned 0 of 2 records" in done.failed[0]) == (0, True)
    assert republisher(cloud).republish(dead_letters) == Republished(messages=1, records=2)
