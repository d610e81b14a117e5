"""An example consumer of the output queue, to be copied: it keeps each customer's result of each day in a SQLite file.

A message may be received more than once, and the process may die between any two lines. Both are harmless: the effect
of a message and its `message_id` are written in one transaction, the message is deleted afterwards, and it has no
effect if the customer and day have that `message_id` already. Run only one process per state file.
"""

import argparse
import json
import logging
import signal
import sqlite3
import threading
from collections import Counter
from decimal import Decimal
from typing import Any

import boto3

WITH = {"MessageAttributeNames": ["All"], "MessageSystemAttributeNames": ["MessageGroupId"]}
log = logging.getLogger("consumer")

SCHEMA = """
CREATE TABLE IF NOT EXISTS customers (
    customer_reference TEXT, batch TEXT,
    number_of_orders INTEGER, total_amount_spent TEXT,  -- NULL: removed by a correction; an amount is an exact decimal
    refused_records INTEGER NOT NULL,                   -- above 0: the amount is incomplete
    message_id TEXT NOT NULL, PRIMARY KEY (customer_reference, batch));
CREATE TABLE IF NOT EXISTS changes (number INTEGER PRIMARY KEY, customer_reference TEXT, batch TEXT, body TEXT);
CREATE TABLE IF NOT EXISTS errors (
    message_id TEXT PRIMARY KEY, batch TEXT, file TEXT, line INTEGER, code TEXT, message TEXT);
"""


def apply(state: sqlite3.Connection, message: dict[str, Any]) -> str:
    """Apply a message once. Return its type, or `repeated`; raise an exception if it is not understood."""
    body = json.loads(message["Body"], parse_float=Decimal)  # never a float, which would round large amounts
    attributes = {name: given["StringValue"] for name, given in message["MessageAttributes"].items()}
    batch, message_id = attributes["batch"], attributes["message_id"]
    with state:  # one transaction: the effect and the message_id that says that it has happened
        if body["type"] == "error_message":
            values = (message_id, batch, body["file"], body["line"], body["code"], body["message"])
            done = state.execute("INSERT INTO errors VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values)
        elif body["type"] in ("customer_message", "customer_removed"):
            customer, orders, total = body["customer_reference"], None, None
            if body["type"] == "customer_message":
                orders, total = body["number_of_orders"], str(body["total_amount_spent"])
            refused = int(attributes.get("refused_records", 0))
            done = state.execute(
                "INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (customer_reference, batch) DO UPDATE SET "
                "number_of_orders = excluded.number_of_orders, total_amount_spent = excluded.total_amount_spent, "
                "refused_records = excluded.refused_records, message_id = excluded.message_id "
                "WHERE message_id <> excluded.message_id",
                (customer, batch, orders, total, refused, message_id),
            )
            if done.rowcount:  # put here what must be done once for each change
                change = "INSERT INTO changes (customer_reference, batch, body) VALUES (?, ?, ?)"
                state.execute(change, (customer, batch, message["Body"]))
        else:
            raise ValueError(f"unknown type {body['type']!r}")
    return str(body["type"]) if done.rowcount else "repeated"


def consume(sqs: Any, url: str, state: sqlite3.Connection, stop: threading.Event, until_empty: bool) -> Counter[str]:
    """Receive, apply and delete messages until `stop` is set or the queue is empty; return how many of each type."""
    counts: Counter[str] = Counter()
    while not stop.is_set():
        wait = 1 if until_empty else 20  # seconds; a long poll costs one request, however long it waits
        reply = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait, **WITH)
        received = reply.get("Messages", [])
        if not received and until_empty:
            break
        applied: dict[str, str] = {}  # receipt handle by message group
        blocked: set[str] = set()  # groups with a failed message, which later ones must not overtake
        for message in received:
            group = message.get("Attributes", {}).get("MessageGroupId", message["MessageId"])
            if group in applied:  # delete one message of a group per call, or the earlier one alone could fail
                blocked |= delete(sqs, url, applied)
            if group in blocked:
                continue
            try:
                counts[apply(state, message)] += 1
                applied[group] = message["ReceiptHandle"]
            except (ValueError, KeyError, TypeError):  # it comes again, and ends in the dead-letter queue
                log.exception("message %s is not understood", message["MessageId"])
                counts["not understood"] += 1
                blocked.add(group)
        delete(sqs, url, applied)
    return counts


def delete(sqs: Any, url: str, applied: dict[str, str]) -> set[str]:
    """Delete the message of each group and clear `applied`. Return the groups whose message could not be deleted."""
    groups, receipts = list(applied), list(applied.values())
    applied.clear()
    entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(receipts)]
    failed = sqs.delete_message_batch(QueueUrl=url, Entries=entries).get("Failed", []) if entries else []
    return {groups[int(entry["Id"])] for entry in failed}


def main() -> None:
    """Consume until SIGTERM or Ctrl-C; messages received by then are still applied and deleted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queue-url", required=True)
    parser.add_argument("--state", default="consumer.sqlite", metavar="FILE")
    parser.add_argument("--until-empty", action="store_true", help="end when the queue is empty")
    given = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    state = sqlite3.connect(given.state)
    state.executescript(SCHEMA)
    counts = consume(boto3.client("sqs"), given.queue_url, state, stop, given.until_empty)
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "no message")


if __name__ == "__main__":
    main()
