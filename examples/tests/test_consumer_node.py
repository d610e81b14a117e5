"""The Node consumer: exact decimals, and the same results as the Python one from the messages of every example day."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from batches import run, working_directory
from pipeline.joining.chunks import put_items
from pipeline.model.items import removed_item
from pipeline.model.messages import Message, message_for
from pipeline_cli.terraform.target import ROOT
from unit.model.test_error_codes import CATALOGUE, defective_day

from examples.consumer import consumer

HARNESS = Path(__file__).with_name("consumer_node.mjs")
AJV = ROOT / "build" / "asl-validator" / "package.json"
"""What `make lint` installs from infra/tests/asl/package-lock.json; asl-validator needs ajv."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("node") is None and "CI" not in os.environ, reason="there is no Node.js here"),
]


def apply_in_node(
    messages: list[dict[str, Any]], undeletable: tuple[str, ...] = (), *, validate: bool = False
) -> dict[str, Any]:
    given = {
        "messages": messages,
        "undeletable": undeletable,
        "ajv": str(AJV) if validate and AJV.exists() else "",
        "schema": str(ROOT / "docs" / "contracts" / "messages.schema.json"),
    }
    done = subprocess.run(
        ["node", str(HARNESS)], input=json.dumps(given), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def received(message: Message | None, number: int) -> dict[str, Any]:
    """A message as SQS gives it to a consumer."""
    assert message
    attributes = {"batch": message.batch or "unknown", "message_id": message.id, "version": "v"}
    if message.refused_records:
        attributes["refused_records"] = str(message.refused_records)
    return {
        "MessageId": str(number),
        "ReceiptHandle": f"receipt-{number}",
        "Body": message.body,
        "Attributes": {"MessageGroupId": message.group},
        "MessageAttributes": {name: {"StringValue": value} for name, value in attributes.items()},
    }


def messages_of_all_days() -> list[dict[str, Any]]:
    found = []
    for day in [*CATALOGUE, "good"]:
        with working_directory() as directory:
            found += [message_for(item) for item in put_items(run(defective_day(day), directory).chunks)]
    results = [message for message in found if message and '"customer_message"' in message.body]
    reference = json.loads(results[0].body)["customer_reference"]
    gone = message_for(removed_item(reference, "20220131"), {"sk": "a result"})
    return [received(message, number) for number, message in enumerate([*found, *results[-2:], gone])]


def test_it_ends_with_the_results_of_the_python_consumer() -> None:
    messages = messages_of_all_days()
    state = sqlite3.connect(":memory:")
    state.executescript(consumer.SCHEMA)
    for message in messages:
        consumer.apply(state, message)
    columns = "customer_reference, batch, number_of_orders, total_amount_spent, refused_records, message_id"
    rows = state.execute(f"SELECT {columns} FROM customers").fetchall()
    expected = [tuple(None if value is None else str(value) for value in row) for row in rows]

    found = apply_in_node(messages, validate=True)

    names = columns.split(", ")
    kept = [tuple(result.get(name) for name in names) for result in found["state"]["customers"].values()]
    assert sorted(kept, key=str) == sorted(expected, key=str)
    assert len(found["state"]["errors"]) == state.execute("SELECT count(*) FROM errors").fetchone()[0] > 20
    assert sum(found["counts"].values()) == len(messages)
    assert sorted(one for call in found["calls"] for one in call) == sorted(m["ReceiptHandle"] for m in messages)


def test_numbers_keep_all_their_digits() -> None:
    assert apply_in_node([])["exact"] == {"a": "-1.50", "b": '2,3 " 4', "c": ["12345678901234567890.0001"]}


def test_a_later_message_of_a_group_is_deleted_only_after_the_earlier_one_and_not_applied_after_one_that_failed() -> (
    None
):
    body = '{"type":"customer_message","customer_reference":"c","number_of_orders":1,"total_amount_spent":1}'
    one, two, three = (received(Message(body, "g", str(number), "20220131"), number) for number in (1, 2, 3))
    assert apply_in_node([one, two])["calls"] == [["receipt-1"], ["receipt-2"]]
    assert apply_in_node([one, two], ("receipt-1",))["calls"] == [["receipt-1"]]
    strange = {**two, "Body": '{"type":"hologram"}'}
    found = apply_in_node([one, strange, three])
    assert (found["calls"], found["counts"]) == ([["receipt-1"]], {"customer_message": 1, "not understood": 1})


@pytest.mark.skipif("CI" not in os.environ or shutil.which("npm") is None, reason="make lint installs ajv with npm")
def test_continuous_integration_validates_with_ajv() -> None:
    assert AJV.exists()
