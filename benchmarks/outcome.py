"""The expected results of a generated day, computed independently of the pipeline, and the actual results."""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from boto3.dynamodb.types import TypeDeserializer
from pipeline.aws.dynamodb import Table
from pipeline.model.data_model import Kind
from pipeline.model.items import notice_item

from benchmarks.generate import rows

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient
    from pipeline_cli.deploy.target import Target

CONSUMERS = 4
"""Threads that receive messages concurrently."""


class Result(NamedTuple):
    """The result of a customer on a day."""

    batch: str
    customer_reference: str
    number_of_orders: Decimal
    total_amount_spent: Decimal


class NotExactError(Exception):
    """A result was lost, doubled or wrong."""


def expected(batch: str, files: Mapping[Kind, Path]) -> Counter[Result]:
    """Compute the results of a day without invalid records, using only csv and Decimal."""
    orders = {row["order_reference"]: row["customer_reference"] for row in rows(files[Kind.ORDERS])}
    numbers = Counter(orders.values())
    totals: dict[str, Decimal] = {}
    for row in rows(files[Kind.ITEMS]):
        customer = orders[row["order_reference"]]
        totals[customer] = totals.get(customer, Decimal()) + Decimal(row["total_price"])
    references = [row["customer_reference"] for row in rows(files[Kind.CUSTOMERS])]
    return Counter(
        Result(batch, reference, Decimal(numbers[reference]), totals.get(reference, Decimal()))
        for reference in references
    )


def compare(what: str, wanted: Counter[Result], found: Counter[Result]) -> None:
    """Compare the found results with the expected ones, including how often each occurs.

    Raises
    ------
    NotExactError
        The error gives the numbers of lost, doubled and wrong results, each with an example.
    """
    extra = found - wanted
    faults = {
        "lost": wanted - found,
        "doubled": Counter({result: count for result, count in extra.items() if result in wanted}),
        "wrong": Counter({result: count for result, count in extra.items() if result not in wanted}),
    }
    told = [f"{some.total()} {name}, as {next(iter(some))}" for name, some in faults.items() if some]
    if told:
        raise NotExactError(f"of {wanted.total()} {what} there are {'; '.join(told)}")


@dataclass(frozen=True, slots=True)
class Received:
    """The content of the output queue: the results, and the times (Unix seconds) when messages of a batch were sent."""

    results: Counter[Result]
    sent: Mapping[str, list[float]]


def receive(target: Target) -> Received:
    """Receive all messages of the output queue, including those of changes that are still in the table's stream.

    An item written here serves as a marker: when its message arrives, all earlier changes have arrived. The time of a
    message is its SentTimestamp, so it does not matter when it is received.
    """
    sqs, url = target.client("sqs"), target.output("output_queue_url")
    code = uuid.uuid4().hex
    table = Table(target.output("table_name"), target.client("dynamodb"))
    table.put(notice_item("marker", "marker", code, "the end of a benchmark"))
    marked = threading.Event()

    def consume(_: int) -> list[tuple[Result, float]]:
        found = []
        while (messages := _take(sqs, url)) or not marked.is_set():
            for body, batch, moment in messages:
                if body["type"] == "customer_message":
                    numbers = body["number_of_orders"], body["total_amount_spent"]
                    found.append((Result(batch, body["customer_reference"], *numbers), moment))
                elif body.get("code") == code:
                    marked.set()
                elif batch != "marker":
                    raise NotExactError(f"a message that nobody expects: {body}")
        return found

    with ThreadPoolExecutor(CONSUMERS) as pool:
        found = [message for part in pool.map(consume, range(CONSUMERS)) for message in part]
    sent: dict[str, list[float]] = {}
    for result, moment in found:
        sent.setdefault(result.batch, []).append(moment)
    return Received(Counter(result for result, _ in found), sent)


def _take(sqs: SQSClient, url: str) -> list[tuple[dict[str, Any], str, float]]:
    """Receive and delete up to ten messages; return the body, the batch and the time sent of each."""
    reply = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        WaitTimeSeconds=1,
        MessageAttributeNames=["batch"],
        MessageSystemAttributeNames=["SentTimestamp"],
    )
    messages = reply.get("Messages", [])
    if messages:
        entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)]
        refused = sqs.delete_message_batch(QueueUrl=url, Entries=entries).get("Failed")  # type: ignore[arg-type]  # entries of plain dicts
        if refused:
            raise NotExactError(f"messages that could not be deleted, and would come again: {refused}")
    return [
        (
            json.loads(message["Body"], parse_float=Decimal, parse_int=Decimal),
            message["MessageAttributes"]["batch"]["StringValue"],
            int(message["Attributes"]["SentTimestamp"]) / 1000,
        )
        for message in messages
    ]


def stored(dynamodb: DynamoDBClient, table: str) -> Counter[Result]:
    """Read every result in the table."""
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table,
        ConsistentRead=True,
        FilterExpression="begins_with(pk, :pk)",
        ExpressionAttributeValues={":pk": {"S": "customer#"}},
    )
    return Counter(_results(item for page in pages for item in page["Items"]))


def _results(items: Iterable[Mapping[str, Any]]) -> Iterator[Result]:
    plain: Callable[[Any], Any] = TypeDeserializer().deserialize
    for item in items:
        batch = plain(item["sk"]).removeprefix("batch#")
        yield Result(batch, *(plain(item[name]) for name in Result._fields[1:]))
