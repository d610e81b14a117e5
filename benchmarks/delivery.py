"""The processor time of the client for delivering an item: the pipeline compared with plain boto3.

Each way delivers the same items in its own process to a sink that responds after some milliseconds; the repeat with the
least processor time counts. Only the client's processor time is measured, so the sink's speed does not matter. Tests
show that faults lose or double nothing (lambda/tests/unit/aws/test_delivery.py).
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from pipeline.aws.backoff import Deadline
from pipeline.aws.dynamodb import BATCH_ITEMS, Table
from pipeline.aws.parallel import THREADS
from pipeline.aws.sqs import BATCH_ENTRIES, Outgoing, Queue
from pipeline.model.items import put_line
from pipeline.model.messages import message_for
from sink import Sink

from benchmarks.document import table
from benchmarks.results import ROOT, Result

ENTRIES = {"dynamodb": BATCH_ITEMS, "sqs": BATCH_ENTRIES}
"""Items per call, by service."""
LATENCY_MS = 5
TABLE_NAME = "results"
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/output.fifo"
SECONDS = 600

Way = Callable[[str, int], Callable[[], object]]
"""Prepares the delivery of a number of items to a service, and returns the function that delivers them."""


def with_boto3(threads: int) -> Way:
    """Deliver with plain boto3: default configuration, dictionaries, and retries of unprocessed entries."""

    def prepare(service: str, count: int) -> Callable[[], object]:
        client = boto3.client(service)  # type: ignore[call-overload]  # any service

        def write(requests: Sequence[Any]) -> None:
            todo = {TABLE_NAME: list(requests)}
            while todo:
                todo = client.batch_write_item(RequestItems=todo).get("UnprocessedItems", {})

        def send(messages: Sequence[Outgoing]) -> None:
            todo = [_entry(number, outgoing) for number, outgoing in enumerate(messages)]
            while todo:
                reply = client.send_message_batch(QueueUrl=QUEUE_URL, Entries=todo)
                failed = {entry["Id"] for entry in reply.get("Failed", ())}
                todo = [entry for entry in todo if entry["Id"] in failed]

        if service == "dynamodb":
            return lambda: _each(write, [json.loads(line) for line in lines(count)], service, threads)
        messages = outgoing(count)
        return lambda: _each(send, messages, service, threads)

    return prepare


def _each(call: Callable[[Any], None], things: Sequence[Any], service: str, threads: int) -> None:
    groups = [things[start : start + ENTRIES[service]] for start in range(0, len(things), ENTRIES[service])]
    if threads == 1:
        for group in groups:
            call(group)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(call, groups))


def _entry(number: int, outgoing: Outgoing) -> Any:
    message = outgoing.message
    attributes = {"batch": message.batch, "version": outgoing.version, "message_id": message.id}
    return {
        "Id": str(number),
        "MessageBody": message.body,
        "MessageAttributes": {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()},
        "MessageGroupId": message.group,
        "MessageDeduplicationId": outgoing.deduplication_id,
    }


def product(service: str, count: int) -> Callable[[], object]:
    """Deliver as `deliver` does with the lines of a chunk file, and `publish` with messages."""
    if service == "dynamodb":
        target, chunk = Table(TABLE_NAME), lines(count)
        return lambda: target.write([json.loads(line) for line in chunk], Deadline.after(SECONDS))
    queue, messages = Queue(QUEUE_URL), outgoing(count)
    return lambda: queue.send(messages, Deadline.after(SECONDS))


WAYS: dict[str, Way] = {
    "the product": product,
    f"boto3, {THREADS} threads": with_boto3(THREADS),
    "boto3, one call after the other": with_boto3(1),
}


def run_way(way: str, service: str, count: int) -> tuple[float, float]:
    """Deliver twice, and return the CPU and wall-clock seconds of the second time."""
    run = WAYS[way](service, count)
    run()
    start, cpu = time.perf_counter(), time.process_time()
    run()
    return time.process_time() - cpu, time.perf_counter() - start


def results(count: int) -> Iterator[dict[str, Any]]:
    """Yield items of customers like those of transform."""
    for number in range(count):
        reference = f"{number * 2654435761 % 2**32:08x}-11ed-cust"
        yield {
            "pk": f"customer#{reference}",
            "sk": "batch#20220131",
            "customer_reference": reference,
            "number_of_orders": 4,
            "total_amount_spent": number * 37 % 1000,
        }


def lines(count: int) -> list[bytes]:
    """Return the items as the lines of a chunk file."""
    return [put_line(item).encode() for item in results(count)]


def outgoing(count: int) -> list[Outgoing]:
    """Return the messages about the items."""
    messages = [message for item in results(count) if (message := message_for(item))]
    return [Outgoing(message, f"{number:032x}", "0" * 16) for number, message in enumerate(messages)]


def measure(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all ways for both services."""
    calls, repeats = (40, 1) if quick else (400, 5)
    found: dict[str, dict[str, Any]] = {}
    for service, size in ENTRIES.items():
        say(service)
        count = calls * size
        runs: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for _, way in itertools.product(range(repeats), WAYS):
            with Sink(latency_ms=LATENCY_MS) as sink:
                runs[way].append(_run(way, service, count, sink))
        found[service] = {
            way: {"items": count, "cpu_seconds": min(taken)[0], "seconds": min(taken)[1]} for way, taken in runs.items()
        }
    return {"ways": found, "latency_ms": LATENCY_MS}


def _run(way: str, service: str, count: int, sink: Sink) -> tuple[float, float]:
    """Run a way in its own process."""
    command = [sys.executable, "-m", "benchmarks.delivery", way, service, str(count)]
    reply = subprocess.run(command, check=True, capture_output=True, text=True, env=environment(sink.url))
    cpu_seconds, seconds = json.loads(reply.stdout)
    return cpu_seconds, seconds


def environment(address: str) -> dict[str, str]:
    """Return an environment that directs the SDK to an address, with credentials as long as those of a function."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return ours | {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_SESSION_TOKEN": "x" * 400,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "lambda"))),
    }


def render(result: Result) -> str:
    """Return the processor time of each way as Markdown."""
    names = {"dynamodb": "DynamoDB, 25 items a call", "sqs": "SQS, 10 messages a call"}
    rows = []
    for service, ways in result.data["ways"].items():
        rates = {way: run["items"] / run["cpu_seconds"] for way, run in ways.items()}
        slowest = min(rates.values())
        for way, run in ways.items():
            rows.append(
                [
                    f"{names[service]}: {way}",
                    f"{rates[way]:,.0f}",
                    f"{rates[way] / slowest:.2f}",
                    f"{run['items'] / run['seconds']:,.0f}",
                ]
            )
    return table(["", "items a processor second", "ratio", "items/s"], rows)


if __name__ == "__main__":
    print(json.dumps(run_way(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
