"""publish: each change becomes one message, in order, with ids by which duplicates are dropped."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pipeline.aws.sqs import Queue
from pipeline.errors import ThrottledError
from pipeline.handlers import publish
from pipeline.ledger import Ledger
from support import Cloud, Context, load_event, result_item

CUSTOMER_BODY = (
    '{"type":"customer_message","customer_reference":"ade3-11ed","number_of_orders":2,"total_amount_spent":87.5}'
)


def record(number: int = 1, name: str = "INSERT", **images: dict[str, Any] | None) -> dict[str, Any]:
    """A stream record; `new` and `old` replace the recorded images, None drops one."""
    base: dict[str, Any] = load_event("stream_record")
    base |= {"eventID": f"{number:032x}", "eventName": name}
    base["dynamodb"]["SequenceNumber"] = str(number)
    for image, value in images.items():
        base["dynamodb"].pop(f"{image.title()}Image", None)
        if value is not None:
            base["dynamodb"][f"{image.title()}Image"] = value
    return base


def send(context: Context, *records: dict[str, Any]) -> Any:
    return publish.handler({"Records": list(records)}, context)


def test_a_new_result_becomes_exactly_the_agreed_message(cloud: Cloud, context: Context) -> None:
    cloud.table.update_ledger("20220131", lambda _: Ledger("20220131", version="v1"))
    assert send(context, record()) == {"batchItemFailures": []}

    (message,) = cloud.received()
    assert message["Body"] == CUSTOMER_BODY
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert attributes.pop("message_id")
    assert attributes == {"batch": "20220131", "version": "v1"}
    assert message["Attributes"]["MessageDeduplicationId"] == f"{1:032x}"


def test_a_dropped_customer_is_announced_once(cloud: Cloud, context: Context) -> None:
    marker = {**result_item("c1"), "removed": {"BOOL": True}}
    send(
        context,
        record(1, "MODIFY", old=result_item("c1"), new=marker),
        record(2, "REMOVE", old=marker, new=None),
        record(3, "INSERT", old=None, new=marker),
        record(4, "REMOVE", old=marker, new=None),
        record(5, "MODIFY", old=marker, new=marker),
    )
    assert [message["Body"] for message in cloud.received()] == [
        '{"type":"customer_removed","customer_reference":"c1"}'
    ]


def test_changes_of_the_ledger_and_deletions_cause_no_message(cloud: Cloud, context: Context) -> None:
    entry = {"pk": {"S": "batch#20220131"}, "sk": {"S": "ledger"}, "state": {"S": "RUNNING"}}
    reply = send(context, record(1, new=entry), record(2, "REMOVE", old=result_item("c1"), new=None))
    assert reply == {"batchItemFailures": []}
    assert cloud.received() == []


def test_a_repeated_delivery_is_dropped_by_the_queue(cloud: Cloud, context: Context) -> None:
    for _ in range(3):
        send(context, record(1), record(2, new=result_item("c2")))
    assert len(cloud.received()) == 2


class Unwilling:
    """An SQS client that refuses some entries, as the sender's fault or not."""

    def __init__(self, real: Any, refused: str, *, sender_fault: bool) -> None:
        self._real = real
        self._refused = refused
        self._sender_fault = sender_fault

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        bad = [entry for entry in Entries if self._refused in entry["MessageBody"]]
        good = [entry for entry in Entries if entry not in bad]
        if good:
            self._real.send_message_batch(QueueUrl=QueueUrl, Entries=good)
        refusal = {"SenderFault": self._sender_fault, "Code": "InternalError", "Message": "no"}
        return {"Failed": [{"Id": entry["Id"], **refusal} for entry in bad]}


Refuse = Callable[..., Cloud]


@pytest.fixture
def refuse(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """The output queue refuses customer c2; the dead-letter queue refuses it too if the test sets this."""

    def start(*, sender_fault: bool, dead_letters: bool = False) -> Cloud:
        stubborn: Any = Unwilling(cloud.sqs, "c2", sender_fault=sender_fault)
        urls = (cloud.queue_url, cloud.dead_letter_url) if dead_letters else (cloud.queue_url,)
        monkeypatch.setattr(publish, "Queue", lambda url: Queue(url, stubborn if url in urls else cloud.sqs))
        return cloud

    return start


RECORDS = [record(number, new=result_item(f"c{number}")) for number in (1, 2, 3)]


def customers(cloud: Cloud) -> list[str]:
    return sorted(json.loads(message["Body"])["customer_reference"] for message in cloud.received())


def test_a_poison_record_goes_to_the_dead_letter_queue_with_its_cause_and_the_others_are_sent(
    refuse: Refuse, context: Context
) -> None:
    cloud = refuse(sender_fault=True)
    assert send(context, *RECORDS) == {"batchItemFailures": []}

    assert customers(cloud) == ["c1", "c3"]
    (dead_letter,) = cloud.received(cloud.dead_letter_url)
    body = json.loads(dead_letter["Body"])
    assert body["cause"] == {"code": "InternalError", "message": "no"}
    assert body["record"]["SequenceNumber"] == "2"
    assert body["record"]["NewImage"] == result_item("c2")


def test_a_later_change_of_the_customer_whose_message_was_refused_is_sent(refuse: Refuse, context: Context) -> None:
    cloud = refuse(sender_fault=True)
    bad, good = result_item("c", customer_reference={"S": "c2"}), result_item("c")
    assert send(context, record(1, new=bad), record(2, "MODIFY", new=good)) == {"batchItemFailures": []}
    assert customers(cloud) == ["c"]


def test_a_record_that_the_dead_letter_queue_refuses_is_retried_with_all_after_it(
    refuse: Refuse, context: Context
) -> None:
    cloud = refuse(sender_fault=True, dead_letters=True)
    assert send(context, *RECORDS) == {"batchItemFailures": [{"itemIdentifier": "2"}]}
    assert cloud.received(cloud.dead_letter_url) == []


def test_lambda_gets_the_first_record_to_retry(refuse: Refuse, context: Context) -> None:
    cloud = refuse(sender_fault=False)
    context.remaining_millis = 0
    assert send(context, *RECORDS) == {"batchItemFailures": [{"itemIdentifier": "2"}]}
    assert cloud.received(cloud.dead_letter_url) == []


def test_without_partial_batch_responses_the_function_fails_instead(
    refuse: Refuse, context: Context, environment: pytest.MonkeyPatch
) -> None:
    refuse(sender_fault=False)
    context.remaining_millis = 0
    environment.setenv("PARTIAL_BATCH_RESPONSES", "false")
    with pytest.raises(ThrottledError, match="2 of 3"):
        send(context, *RECORDS)


def test_the_log_names_the_batches_whose_messages_were_sent(
    cloud: Cloud, context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    other = result_item("b") | {"sk": {"S": "batch#20220201"}}
    send(context, record(1, new=result_item("a")), record(2, new=other), record(3, new=result_item("c")))
    (logged,) = [entry for entry in caplog.records if entry.message == "messages sent"]
    assert logged.__dict__["batches"] == ["20220131", "20220201"]
