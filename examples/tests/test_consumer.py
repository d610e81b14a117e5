"""The example consumer: each message has its effect once and in order, and an unknown one stays in the queue."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from pipeline.aws.sqs import Outgoing, Queue
from pipeline.model import data_model
from pipeline.model.items import REFUSED_RECORDS, error_item, removed_item
from pipeline.model.messages import message_for
from pipeline_cli.terraform.target import ROOT, declared_variables
from support import receive_at_once

from examples.consumer import consumer

DAY = "20220131"
GUIDE = Path(__file__).parents[2] / "docs" / "consumer.md"
POLICIES = ("policy.json", "key_policy.json")


class Inbox:
    """A queue that the pipeline's own code sends to, and the state of a consumer of it."""

    def __init__(self, url: str, sqs: Any) -> None:
        self.url, self.sqs, self.sent = url, sqs, 0
        self.state = sqlite3.connect(":memory:")
        self.state.executescript(consumer.SCHEMA)

    def send(self, item: dict[str, Any], old: dict[str, Any] | None = None) -> None:
        """Send the message of a change of a table item."""
        known = message_for(item, old)
        assert known is not None
        self.sent += 1
        delivery = Queue(self.url, self.sqs).send([Outgoing(known, f"record-{self.sent}", "v1")], lambda: 60.0)
        assert (delivery.accepted_prefix, delivery.refused) == (1, ())

    def consume(self, sqs: Any = None) -> dict[str, int]:
        return dict(consumer.consume(sqs or self.sqs, self.url, self.state, threading.Event(), until_empty=True))

    def customers(self) -> list[tuple[Any, ...]]:
        columns = "customer_reference, number_of_orders, total_amount_spent, refused_records"
        return self.state.execute(f"SELECT {columns} FROM customers ORDER BY 1").fetchall()

    def changes(self) -> list[str]:
        return [json.loads(body)["type"] for (body,) in self.state.execute("SELECT body FROM changes ORDER BY number")]


def result(customer: str, orders: int, total: str) -> dict[str, Any]:
    return {
        "pk": f"customer#{customer}",
        "sk": f"batch#{DAY}",
        "customer_reference": customer,
        "number_of_orders": orders,
        "total_amount_spent": Decimal(total),
    }


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    receive_at_once(monkeypatch)
    with mock_aws():
        sqs = boto3.client("sqs", region_name="eu-west-1")
        yield Inbox(sqs.create_queue(QueueName="output.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"], sqs)


def test_each_type_of_message_has_its_effect(inbox: Inbox) -> None:
    inbox.send(result("c-1", 2, "87.50"))
    inbox.send(result("c-2", 0, "0"))
    inbox.send(result("c-3", 1, "12345678901234.5678"))
    inbox.send(removed_item("c-2", DAY), result("c-2", 0, "0"))
    inbox.send(
        error_item(
            DAY, data_model.ITEMS, f"items_{DAY}.csv", 17, "not_an_amount", "no amount", {"order_reference": "o-7"}
        )
    )

    assert inbox.consume() == {"customer_message": 3, "customer_removed": 1, "error_message": 1}

    assert inbox.customers() == [
        ("c-1", 2, "87.5", 0),
        ("c-2", None, None, 0),
        ("c-3", 1, "12345678901234.5678", 0),
    ]
    assert inbox.state.execute("SELECT file, line, code FROM errors").fetchall() == [
        (f"items_{DAY}.csv", 17, "not_an_amount")
    ]
    assert inbox.consume() == {}


def test_a_repeated_message_has_no_second_effect(inbox: Inbox) -> None:
    for _ in range(3):
        inbox.send(result("c-1", 2, "87.50"))
    assert inbox.consume() == {"customer_message": 1, "repeated": 2}
    assert inbox.changes() == ["customer_message"]


def test_a_value_that_is_corrected_and_corrected_back_is_two_changes(inbox: Inbox) -> None:
    for total in ("1", "2", "1"):
        inbox.send(result("c-1", 1, total))
    assert inbox.consume() == {"customer_message": 3}
    assert inbox.customers() == [("c-1", 1, "1", 0)]


def test_days_of_a_customer_are_kept_apart(inbox: Inbox) -> None:
    inbox.send(result("c-1", 1, "1"))
    inbox.send(result("c-1", 1, "1") | {"sk": "batch#20220201"})
    assert inbox.consume() == {"customer_message": 2}


def test_an_unknown_message_stays_and_delays_only_its_own_customer(inbox: Inbox) -> None:
    strange = {"QueueUrl": inbox.url, "MessageGroupId": "g", "MessageDeduplicationId": "1"}
    inbox.sqs.send_message(**strange, MessageBody='{"type": "hologram"}')
    inbox.sqs.send_message(**strange | {"MessageDeduplicationId": "2"}, MessageBody="[]")
    inbox.send(result("c-1", 1, "1"))

    assert inbox.consume() == {"customer_message": 1, "not understood": 1}

    counts = inbox.sqs.get_queue_attributes(QueueUrl=inbox.url, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "2"


def message(number: int, total: str) -> dict[str, Any]:
    """A message about one customer, as `receive_message` gives it."""
    customer = '"type":"customer_message","customer_reference":"c-1","number_of_orders":1'
    return {
        "MessageId": str(number),
        "ReceiptHandle": f"receipt-{number}",
        "Body": f'{{{customer},"total_amount_spent":{total}}}',
        "MessageAttributes": {"batch": {"StringValue": DAY}, "message_id": {"StringValue": total}},
        "Attributes": {"MessageGroupId": "g"},
    }


class Stubborn:
    """A queue that returns all messages at once, and refuses to delete a message a given number of times."""

    def __init__(self, messages: list[dict[str, Any]], refusals: int) -> None:
        self.messages, self.refusals = messages, refusals

    def receive_message(self, **_: Any) -> dict[str, Any]:
        return {"Messages": list(self.messages)}

    def delete_message_batch(self, Entries: list[dict[str, str]], **_: Any) -> dict[str, Any]:  # noqa: N803 (boto3's name)
        failed = []
        for entry in Entries:
            if self.refusals:
                self.refusals -= 1
                failed.append({"Id": entry["Id"], "Code": "InternalError"})
            else:
                self.messages = [kept for kept in self.messages if kept["ReceiptHandle"] != entry["ReceiptHandle"]]
        return {"Failed": failed}


def test_a_message_that_could_not_be_deleted_is_not_overtaken_by_a_later_one_of_its_customer(inbox: Inbox) -> None:
    queue = Stubborn([message(1, "1"), message(2, "2")], refusals=1)
    assert inbox.consume(queue) == {"customer_message": 2, "repeated": 1}
    assert inbox.customers() == [("c-1", 1, "2", 0)]


def test_an_incomplete_total_is_kept_as_such_until_a_correction_completes_it(inbox: Inbox) -> None:
    inbox.send(result("c-1", 1, "1") | {REFUSED_RECORDS: 3})
    assert inbox.consume() == {"customer_message": 1}
    assert inbox.customers() == [("c-1", 1, "1", 3)]

    inbox.send(result("c-1", 1, "1"))
    assert inbox.consume() == {"customer_message": 1}
    assert inbox.customers() == [("c-1", 1, "1", 0)]


def test_what_was_received_before_the_end_is_still_applied_and_deleted(inbox: Inbox) -> None:
    class LastCall(Stubborn):
        def receive_message(self, **_: Any) -> dict[str, Any]:
            stop.set()
            return super().receive_message()

    stop, queue = threading.Event(), LastCall([message(1, "1"), message(2, "2")], refusals=0)
    consumer.consume(queue, inbox.url, inbox.state, stop, until_empty=False)
    assert inbox.customers() == [("c-1", 1, "2", 0)]
    assert queue.messages == []


def test_the_guide_describes_every_attribute_that_is_sent(inbox: Inbox) -> None:
    inbox.send(result("c-1", 1, "1") | {REFUSED_RECORDS: 3})
    (received,) = inbox.sqs.receive_message(QueueUrl=inbox.url, MessageAttributeNames=["All"])["Messages"]
    described = set(re.findall(r"^\| `(\w+)` \|", section("Attributes"), re.MULTILINE))
    assert set(received["MessageAttributes"]) == described


def test_the_bodies_in_the_guide_are_those_that_are_sent() -> None:
    shown = [json.loads(line) for line in section("Types").splitlines() if line.startswith("{")]
    error = error_item(
        DAY, data_model.ITEMS, f"items_{DAY}.csv", 17, "not_an_amount", "no amount", {"order_reference": "o-7"}
    )
    sent = [
        message_for(result("ade3-11ed", 2, "87.50")),
        message_for(removed_item("ade3-11ed", DAY), {}),
        message_for(error),
    ]
    assert [list(body) for body in shown] == [list(json.loads(message.body)) for message in sent if message]
    assert {body["type"] for body in shown} == set(re.findall(r"^\| `(\w+)` \|", section("Types"), re.MULTILINE))


def test_the_limits_in_the_guide_are_the_defaults_of_the_variables() -> None:
    limits = {name: int(value) for value, name in re.findall(r"\| (\d+) \w+ \| `([\w.]+)` \|", section("Time limits"))}
    hidden = declared_variables()["output_visibility_timeout_seconds"]["default"]
    assert limits.pop("output_visibility_timeout_seconds") == hidden
    assert f"max_receive_count = {limits.pop('local.max_receive_count')}\n" in (ROOT / "infra/locals.tf").read_text()
    assert not limits


def test_its_policies_allow_only_what_it_calls() -> None:
    policies = [
        json.loads((GUIDE.parents[1] / "examples" / "consumer" / name).read_text())["Statement"] for name in POLICIES
    ]
    allowed = [(statement["Action"], statement["Resource"]) for policy in policies for statement in policy]
    assert allowed == [
        (["sqs:ReceiveMessage", "sqs:DeleteMessage"], "arn:aws:sqs:REGION:ACCOUNT:NAME-ENVIRONMENT-output.fifo"),
        ("kms:Decrypt", "arn:aws:kms:REGION:ACCOUNT:key/KEY"),
    ]
    calls = set(re.findall(r"\bsqs\.(\w+)\(", Path(consumer.__file__).read_text()))
    assert calls == {"receive_message", "delete_message_batch"}


def section(title: str) -> str:
    """The text of a section of the consumers' guide."""
    return GUIDE.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_it_is_short_enough_to_be_read() -> None:
    assert len(Path(consumer.__file__).read_text().splitlines()) < 120
