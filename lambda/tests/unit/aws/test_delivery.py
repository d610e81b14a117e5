"""Delivery to DynamoDB and SQS: the limits of a call, order within a group, and the behaviour under faults."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from pipeline.aws import parallel, sqs
from pipeline.aws.backoff import Deadline
from pipeline.aws.dynamodb import Table
from pipeline.aws.sqs import Delivery, Outgoing, Queue
from pipeline.errors import ThrottledError
from pipeline.model.messages import Message

FAULTS = ("throttled", "partial", "lost before", "lost after")
"""A call is refused, takes only some entries, or breaks off before or after its effect."""


class Services:
    """DynamoDB and SQS as both clients see them, with a latency, and faults at a given rate."""

    def __init__(
        self,
        *,
        fault_rate: float = 0,
        faults: Sequence[str] = FAULTS,
        seed: int = 0,
        refused: str = "",
        sender_fault: bool = True,
    ) -> None:
        self.items: set[str] = set()
        self.sent: list[tuple[str, str]] = []
        """Group and deduplication id in the order of acceptance; a repeated id is dropped, as in FIFO queues."""
        self.calls: list[int] = []
        self.busiest = self.overlaps = 0
        self._random, self._fault_rate, self._faults = random.Random(seed), fault_rate, faults
        self._refused, self._sender_fault = refused, sender_fault
        self._lock, self._now, self._groups = threading.Lock(), 0, Counter[str]()

    def batch_write_item(self, RequestItems: dict[str, list[Any]]) -> dict[str, Any]:  # noqa: N803 (boto3's name)
        ((table, requests),) = RequestItems.items()
        taken, fault = self._call(requests, 25)
        for request in requests[:taken]:
            ((operation, content),) = request.items()
            key = (content.get("Item") or content["Key"])["pk"]["S"]
            (self.items.add if operation == "PutRequest" else self.items.discard)(key)
        _break_off(fault)
        return {"UnprocessedItems": {table: requests[taken:]} if requests[taken:] else {}}

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        groups = [entry["MessageGroupId"] for entry in Entries]
        taken, fault = self._call(Entries, 10, groups)
        refused = [entry for entry in Entries[:taken] if entry["MessageGroupId"] == self._refused]
        for entry in Entries[:taken]:
            sent = entry["MessageGroupId"], entry["MessageDeduplicationId"]
            if entry not in refused and sent not in self.sent:
                self.sent.append(sent)
        _break_off(fault)
        left = [{"Id": entry["Id"], "SenderFault": False, "Code": "InternalError"} for entry in Entries[taken:]]
        return {
            "Failed": [
                *left,
                *({"Id": entry["Id"], "SenderFault": self._sender_fault, "Code": "Refused"} for entry in refused),
            ]
        }

    def _call(self, entries: Sequence[object], most: int, groups: Sequence[str] = ()) -> tuple[int, str]:
        """Return how many entries are taken, and the fault."""
        assert 0 < len(entries) <= most
        with self._lock:
            self.calls.append(len(entries))
            self._now += 1
            self.busiest = max(self.busiest, self._now)
            self.overlaps += any(self._groups[group] for group in groups)
            self._groups.update(groups)
        time.sleep(0.002)  # the latency
        with self._lock:
            self._now -= 1
            self._groups.subtract(groups)
            fault = self._random.choice(self._faults) if self._random.random() < self._fault_rate else ""
        if fault == "throttled":
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "Operation")
        if fault == "lost before":
            _break_off("lost after")
        return (len(entries) // 2 if fault == "partial" else len(entries)), fault


def _break_off(fault: str) -> None:
    if fault == "lost after":
        raise ConnectionClosedError(endpoint_url="http://test")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no pauses between attempts."""
    monkeypatch.setattr("pipeline.aws.backoff.BASE_SECONDS", 0.0)


def table(services: Any) -> Table:
    return Table("results", services)


def queue(services: Any) -> Queue:
    return Queue("http://sqs.test/output.fifo", services)


def puts(count: int) -> list[dict[str, Any]]:
    return [{"PutRequest": {"Item": {"pk": {"S": str(number)}}}} for number in range(count)]


def outgoing(count: int, groups: int | None = None, body: str = "body") -> list[Outgoing]:
    """Messages in `groups` groups, one after the other; by default each has a group of its own."""
    return [
        Outgoing(Message(body, str(number % (groups or count)), f"id {number}", None), str(number), None)
        for number in range(count)
    ]


def test_a_call_takes_as_much_as_it_may_and_several_run_at_once() -> None:
    services = Services()
    assert table(services).write(puts(1_010), Deadline.after(60)) == 1_010
    assert Counter(services.calls) == {25: 40, 10: 1}
    assert 1 < services.busiest <= parallel.THREADS

    services = Services()
    assert queue(services).send(outgoing(205), Deadline.after(60)) == Delivery(205)
    assert Counter(services.calls) == {10: 20, 5: 1}
    assert 1 < services.busiest <= parallel.THREADS


def test_a_call_has_no_more_bytes_than_sqs_takes() -> None:
    services = Services()
    queue(services).send(outgoing(7, body="x" * 300_000), Deadline.after(60))
    assert sorted(services.calls) == [1, 3, 3]
    assert sqs.BATCH_BYTES == 1 << 20


def test_a_request_has_no_two_messages_of_a_group_as_one_of_them_may_fail() -> None:
    services = Services()
    assert queue(services).send(outgoing(6, groups=2), Deadline.after(60)) == Delivery(6)
    assert services.calls == [2, 2, 2]


def test_nothing_more_of_a_group_is_sent_after_a_failed_call() -> None:
    services = Services(refused="5", sender_fault=False)
    assert queue(services).send(outgoing(60, groups=30), Deadline.after(0)) == Delivery(5)
    numbers = {int(number) for _, number in services.sent}
    assert set(range(5)) <= numbers <= set(range(30)) - {5}


def test_permanently_refused_messages_are_reported_and_do_not_block_others() -> None:
    services = Services(refused="5")
    delivery = queue(services).send(outgoing(60, groups=30), Deadline.after(60))
    assert (delivery.accepted_prefix, [refusal.index for refusal in delivery.refused]) == (60, [5, 35])
    assert {int(number) for _, number in services.sent} == set(range(60)) - {5, 35}


def test_when_the_time_is_up_the_rest_is_reported_and_not_dropped() -> None:
    with pytest.raises(ThrottledError, match="3 of 5 writes were not accepted"):
        table(Services(fault_rate=1, faults=("partial",))).write(puts(5), Deadline.after(-1))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("seed", range(9))
def test_a_chunk_is_written_completely_and_deleted_last_despite_faults(seed: int) -> None:
    services = Services(fault_rate=0.4, seed=seed)
    requests = [{"DeleteRequest": {"Key": {"pk": {"S": str(number)}}}} for number in range(0, 60, 3)] + puts(60)
    while True:  # as the state machine does
        try:
            table(services).write(requests, Deadline.after(60))
        except (ClientError, ConnectionClosedError):
            continue
        break
    assert services.items == {str(number) for number in range(60) if number % 3}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("seed", range(9))
def test_each_message_is_sent_once_and_in_order_despite_faults(seed: int) -> None:
    services, messages, sent = Services(fault_rate=0.4, seed=seed), outgoing(60, groups=15), 0
    while sent < len(messages):  # as Lambda does for a stream
        try:
            sent += queue(services).send(messages[sent:], Deadline.after(60)).accepted_prefix
        except (ClientError, ConnectionClosedError):
            continue
    assert len(services.sent) == len(messages)
    for group in range(15):
        assert [number for where, number in services.sent if where == str(group)] == [
            message.deduplication_id for message in messages[group::15]
        ]
    assert services.overlaps == 0
