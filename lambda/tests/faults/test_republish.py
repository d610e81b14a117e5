"""What publish gave up is sent again as it stands now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import boto3
import pytest
from faults.aws_platform import given_up
from faults.test_faults_in_memory import DAY, FILES, fresh_platform
from pipeline.handlers import publish
from pipeline.model.items import notice_item
from pipeline_cli.operations.removed_customers import removed_customers
from pipeline_cli.operations.republish import Republished, Republisher
from support import REGION, TABLE, Cloud, Context, result_item


def put(cloud: Cloud, *items: dict[str, Any]) -> None:
    for one in items:
        cloud.dynamodb.put_item(TableName=TABLE, Item=one)


@pytest.fixture
def dead(cloud: Cloud) -> str:
    """publish's dead-letter queue."""
    url: str = cloud.sqs.create_queue(QueueName="publish-dead-letter")["QueueUrl"]
    return url


def give_up(cloud: Cloud, dead: str) -> None:
    """Write the message that Lambda puts into the dead-letter queue when publish could send nothing of the stream."""
    streams = boto3.client("dynamodbstreams", region_name=REGION)
    arn = cloud.dynamodb.describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
    records = streams.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
    cloud.sqs.send_message(QueueUrl=dead, MessageBody=json.dumps(given_up(records, arn, shard["ShardId"])))


def republisher(cloud: Cloud) -> Republisher:
    def invoke(event: Mapping[str, Any]) -> Mapping[str, Any]:
        return publish.handler(json.loads(json.dumps(event, default=str)), Context())

    return Republisher(cloud.sqs, boto3.client("dynamodbstreams"), cloud.dynamodb, TABLE, invoke)


def ids(cloud: Cloud) -> list[str]:
    return sorted(message["MessageAttributes"]["message_id"]["StringValue"] for message in cloud.received())


def bodies(cloud: Cloud) -> list[str]:
    return sorted(message["Body"] for message in cloud.received())


def test_each_item_is_sent_once_as_it_stands_now(cloud: Cloud, dead: str) -> None:
    put(cloud, result_item("a", "1"), result_item("b", "2"), result_item("a", "3"))
    give_up(cloud, dead)
    put(cloud, result_item("b", "4"))

    assert republisher(cloud).republish(dead) == Republished(messages=1, records=2)

    sent = [json.loads(body) for body in bodies(cloud)]
    assert [(one["customer_reference"], one["total_amount_spent"]) for one in sent] == [("a", 3), ("b", 4)]


def test_a_removal_is_announced_where_the_customer_is_still_gone(cloud: Cloud, dead: str) -> None:
    put(cloud, result_item("a"), result_item("a", removed={"BOOL": True}))
    give_up(cloud, dead)
    cloud.dynamodb.delete_item(TableName=TABLE, Key={name: result_item("a")[name] for name in ("pk", "sk")})

    republisher(cloud).republish(dead)

    assert bodies(cloud) == ['{"type":"customer_removed","customer_reference":"a"}']


def test_doing_it_again_sends_nothing(cloud: Cloud, dead: str) -> None:
    put(cloud, result_item("a"))
    give_up(cloud, dead)
    republisher(cloud).republish(dead)
    assert republisher(cloud).republish(dead) == Republished()
    assert len(bodies(cloud)) == 1


def test_a_dead_letter_stays_while_publish_cannot_send(cloud: Cloud, dead: str) -> None:
    put(cloud, result_item("a"))
    give_up(cloud, dead)
    failing = Republisher(
        cloud.sqs, boto3.client("dynamodbstreams"), cloud.dynamodb, TABLE, lambda _: {"batchItemFailures": [{}]}
    )
    done = failing.republish(dead)
    assert (done.messages, done.expired) == (0, 0)
    assert "publish could not send everything" in done.failed[0]
    waiting = cloud.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["ApproximateNumberOfMessages"])
    assert waiting["Attributes"]["ApproximateNumberOfMessages"] == "1", "it is visible again at once"


def test_a_dead_letter_that_cannot_be_sent_does_not_keep_the_others(cloud: Cloud, dead: str) -> None:
    place = {"shardId": "x", "startSequenceNumber": 1, "endSequenceNumber": 1, "streamArn": "too short"}
    cloud.sqs.send_message(QueueUrl=dead, MessageBody=json.dumps({"DDBStreamBatchInfo": place}))
    put(cloud, result_item("a"))
    give_up(cloud, dead)

    done = republisher(cloud).republish(dead)

    assert (done.messages, done.records, len(done.failed)) == (1, 1, 1)
    assert "Invalid" in done.failed[0]
    assert len(bodies(cloud)) == 1


def test_a_batch_is_sent_again_with_the_ids_that_its_messages_had(cloud: Cloud) -> None:
    error = notice_item("20220131", "items", "not_an_amount", "items_20220131.csv: wrong", "items_20220131.csv")
    cloud.table.put(error)
    put(cloud, result_item("a", "1.5"), result_item("b"))
    streams = boto3.client("dynamodbstreams", region_name=REGION)
    arn = cloud.dynamodb.describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
    records = streams.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
    publish.handler(json.loads(json.dumps({"Records": records}, default=str)), Context())
    put(cloud, {**result_item("c"), "sk": {"S": "batch#20220201"}})
    first = ids(cloud)

    assert republisher(cloud).republish_batch("20220131") == 3

    assert ids(cloud) == first
    assert len(first) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("moto_active")
def test_customers_whom_corrections_dropped_are_removed_again(environment: pytest.MonkeyPatch) -> None:
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

        count = republisher(platform.cloud).republish_batch(DAY, removed_customers(platform.cloud.bucket, entry))

        sent = bodies(platform.cloud)
        assert [body for body in sent if "customer_removed" in body] == sorted(announced)
        assert (count, len(announced)) == (len(sent), 2)


def set_aside(cloud: Cloud, dead: str, reference: str, sequence_number: str = "7") -> None:
    """Put the message that publish writes into its dead-letter queue when SQS refuses a customer's message."""
    record = {"Keys": {name: result_item(reference)[name] for name in ("pk", "sk")}, "SequenceNumber": sequence_number}
    message = {
        "cause": {"code": "InvalidMessageContents", "message": "no"},
        "record": record | {"NewImage": result_item(reference)},
    }
    cloud.sqs.send_message(QueueUrl=dead, MessageBody=json.dumps(message))


def test_what_publish_set_aside_is_sent_as_it_stands_now(cloud: Cloud, dead: str) -> None:
    put(cloud, result_item("a", "5"))
    set_aside(cloud, dead, "a")

    assert republisher(cloud).republish(dead) == Republished(messages=1, records=1)

    assert [json.loads(body)["total_amount_spent"] for body in bodies(cloud)] == [5]


def test_what_is_refused_once_more_stays_and_is_tried_once(cloud: Cloud, dead: str) -> None:
    put(cloud, result_item("a"))
    set_aside(cloud, dead, "a")

    def refuse(event: Mapping[str, Any]) -> Mapping[str, Any]:
        (record,) = event["Records"]
        set_aside(cloud, dead, "a", record["dynamodb"]["SequenceNumber"])
        return {"batchItemFailures": []}

    done = replace(republisher(cloud), invoke=refuse).republish(dead)

    assert (done.messages, done.records) == (1, 1)
    (failed,) = done.failed
    assert "SQS refuses it once more: InvalidMessageContents no" in failed


class Forgetful:
    """A stream that keeps nothing any more."""

    def __init__(self, streams: Any) -> None:
        self._streams = streams

    def get_shard_iterator(self, **_: Any) -> Any:
        raise self._streams.exceptions.TrimmedDataAccessException(
            {"Error": {"Code": "TrimmedDataAccessException"}}, "GetShardIterator"
        )


def test_a_dead_letter_that_outlived_the_stream_is_counted_and_stays(cloud: Cloud, dead: str) -> None:
    put(cloud, result_item("a"))
    give_up(cloud, dead)
    forgetful: Any = Forgetful(boto3.client("dynamodbstreams"))
    assert replace(republisher(cloud), streams=forgetful).republish(dead) == Republished(expired=1)
    assert replace(republisher(cloud), streams=forgetful).republish(dead) == Republished(expired=1), "it stays visible"
