"""Delivery to DynamoDB and SQS: the number of requests and connections, and the behaviour under faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from pipeline.aws import clients, parallel
from pipeline.aws.backoff import Deadline
from pipeline.aws.dynamodb import Table
from pipeline.aws.sqs import Delivery, Outgoing, Queue
from pipeline.errors import ThrottledError
from pipeline.model.messages import message_for
from sink import FAULTS, Sink
from support import set_credentials

QUEUE = "http://sqs.test/000000000000/output.fifo"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    set_credentials(monkeypatch)
    yield
    clients.client.cache_clear()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither we nor the SDK pause between tries."""
    monkeypatch.setattr("pipeline.aws.backoff.BASE_SECONDS", 0.0)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))


def use(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the functions' own clients call the sink."""
    clients.client.cache_clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL", sink.url)


def key(number: int) -> dict[str, Any]:
    return {"pk": {"S": f"customer#{number:08x}-11ed-cust"}, "sk": {"S": "batch#20220131"}}


def puts(count: int) -> list[dict[str, Any]]:
    return [{"PutRequest": {"Item": {**key(number), "total": {"N": str(number)}}}} for number in range(count)]


def outgoing(count: int, groups: int | None = None) -> list[Outgoing]:
    """Messages in `groups` groups, one after the other; by default each has a group of its own."""
    made = []
    for number in range(count):
        reference = f"{number % (groups or count):08x}-11ed-cust"
        item = {"pk": f"customer#{reference}", "sk": "batch#20220131", "customer_reference": reference}
        message = message_for({**item, "number_of_orders": 4, "total_amount_spent": number})
        assert message is not None
        made.append(Outgoing(message, f"{number:032x}", "0123456789abcdef"))
    return made


def test_a_chunk_takes_one_request_for_25_items(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sink(latency_ms=1) as sink:
        use(sink, monkeypatch)
        assert Table("results").write(puts(1_000), Deadline.after(60)) == 1_000
        assert len(sink.items) == 1_000
        assert sink.requests == {"BatchWriteItem": 40}


def test_messages_take_one_request_for_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sink(latency_ms=1) as sink:
        use(sink, monkeypatch)
        assert Queue(QUEUE).send(outgoing(400), Deadline.after(60)) == Delivery(400)
        assert len(sink.sent) == 400
        assert sink.requests == {"SendMessageBatch": 40}


def test_connections_are_reused_for_the_next_chunk_and_the_next_records(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sink(latency_ms=1) as sink:
        use(sink, monkeypatch)
        for _ in range(4):
            Table("results").write(puts(250), Deadline.after(60))
            Queue(QUEUE).send(outgoing(100), Deadline.after(60))
        assert sink.connections <= 2 * parallel.THREADS


def test_calls_run_at_once_but_no_more_than_there_are_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sink(latency_ms=20) as sink:
        use(sink, monkeypatch)
        Table("results").write(puts(1_000), Deadline.after(60))
        assert 1 < sink.busiest <= parallel.THREADS
    with Sink(latency_ms=20) as sink:
        use(sink, monkeypatch)
        Queue(QUEUE).send(outgoing(200), Deadline.after(60))
        assert 1 < sink.busiest <= parallel.THREADS


def test_two_messages_of_a_group_are_never_in_flight_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = outgoing(300, groups=37)
    with Sink(latency_ms=5) as sink:
        use(sink, monkeypatch)
        assert Queue(QUEUE).send(messages, Deadline.after(60)) == Delivery(300)
        assert sink.overlaps == 0
        assert in_order(sink) == in_order_of(messages)


def test_a_request_has_no_two_messages_of_a_group_as_one_of_them_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sink() as sink:
        use(sink, monkeypatch)
        assert Queue(QUEUE).send(outgoing(6, groups=2), Deadline.after(60)) == Delivery(6)
        assert sink.requests == {"SendMessageBatch": 3}


def test_nothing_more_of_a_group_is_sent_after_a_failed_call(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = outgoing(60, groups=30)
    with Sink(refused_group=messages[5].message.group, sender_fault=False) as sink:
        use(sink, monkeypatch)
        assert Queue(QUEUE).send(messages, Deadline.after(0)) == Delivery(5)
        assert {one.deduplication_id for one in messages[:5]} <= {one for _, one, _ in sink.sent}
        assert not {one.deduplication_id for one in messages[30:]} & {one for _, one, _ in sink.sent}


def test_permanently_refused_messages_are_reported_and_do_not_block_others(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = outgoing(60, groups=30)
    with Sink(refused_group=messages[5].message.group) as sink:
        use(sink, monkeypatch)
        delivery = Queue(QUEUE).send(messages, Deadline.after(60))
        assert (delivery.accepted_prefix, [refusal.index for refusal in delivery.refused]) == (60, [5, 35])
        others = {one.deduplication_id for place, one in enumerate(messages) if place not in (5, 35)}
        assert {one for _, one, _ in sink.sent} == others


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("seed", range(4))
def test_a_chunk_is_written_completely_despite_faults(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    gone = [{"DeleteRequest": {"Key": key(number)}} for number in range(0, 600, 3)]
    with Sink(fault_rate=0.4, seed=seed) as sink:
        use(sink, monkeypatch)
        deliver(puts(600) + gone)
        assert set(sink.faults) == set(FAULTS)
        assert sink.items.keys() == {
            (f"customer#{number:08x}-11ed-cust", "batch#20220131") for number in range(600) if number % 3
        }


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("seed", range(4))
def test_each_message_is_sent_once_and_in_order_despite_faults(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    messages = outgoing(600, groups=150)
    with Sink(latency_ms=1, fault_rate=0.4, seed=seed) as sink:
        use(sink, monkeypatch)
        publish(messages)
        assert set(sink.faults) == set(FAULTS)
        assert sink.repeated > 0
        assert sink.overlaps == 0
        assert in_order(sink) == in_order_of(messages)


def deliver(requests: list[dict[str, Any]]) -> None:
    """Write a chunk as the state machine does: retry until it succeeds."""
    while True:
        try:
            Table("results").write(requests, Deadline.after(60))
        except (ClientError, BotoCoreError, ThrottledError):
            continue
        return


def publish(messages: list[Outgoing]) -> None:
    """Send as Lambda does for a stream: retry from the first message that may not have been sent."""
    sent = 0
    while sent < len(messages):
        try:
            sent += Queue(QUEUE).send(messages[sent:], Deadline.after(60)).accepted_prefix
        except (ClientError, BotoCoreError):
            continue


def in_order(sink: Sink) -> dict[str, list[str]]:
    """Ids of the messages that the queue accepted, by group."""
    assert Counter(one for _, one, _ in sink.sent).most_common(1)[0][1] == 1
    groups: dict[str, list[str]] = {}
    for group, one, _ in sink.sent:
        groups.setdefault(group, []).append(one)
    return groups


def in_order_of(messages: list[Outgoing]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for outgoing in messages:
        groups.setdefault(outgoing.message.group, []).append(outgoing.deduplication_id)
    return groups
