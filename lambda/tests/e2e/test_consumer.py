"""The example consumer on the deployed stack: killed between effect and deletion, it ends with the table's content."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from e2e.stack import Stack, eventually
from e2e.test_day import CUSTOMERS, ITEMS, files_of
from pipeline.model.messages import number_text
from pipeline_cli.deployment.queues import waiting

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "consumer"

KILLED_BEFORE_IT_DELETES = """
import os, signal, sys
sys.path.insert(0, sys.argv.pop(1))
import boto3, consumer

class Dying:
    def __init__(self, sqs):
        self.sqs = sqs

    def receive_message(self, **given):
        return self.sqs.receive_message(VisibilityTimeout=2, **given)

    def delete_message_batch(self, **given):
        os.kill(os.getpid(), signal.SIGKILL)

client = boto3.client
boto3.client = lambda name: Dying(client(name))
consumer.main()
"""


class Consumer:
    """The example as its owner runs it: a process with credentials of its own and a state file."""

    def __init__(self, stack: Stack, credentials: Mapping[str, str], state: Path) -> None:
        self.state = state
        self.arguments = ["--queue-url", stack.target.output("output_queue_url"), "--state", str(state)]
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            **credentials,
            "AWS_ENDPOINT_URL": str(stack.target.endpoint_url),
            "AWS_DEFAULT_REGION": stack.target.region,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, *(arguments or [str(EXAMPLE / "consumer.py")]), *self.arguments]
        return subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True)

    def die_between_effect_and_deletion(self) -> None:
        process = self.start("-c", KILLED_BEFORE_IT_DELETES, str(EXAMPLE))
        _, said = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, said

    def ask(self, question: str, day: str) -> list[Any]:
        with sqlite3.connect(self.state, timeout=30) as state:
            return state.execute(question, (day,)).fetchall()

    def results(self, day: str) -> dict[str, tuple[int, str, int]]:
        """Orders, amount and refused records of each customer of a day whom no correction removed."""
        columns = "customer_reference, number_of_orders, total_amount_spent, refused_records"
        rows = self.ask(f"SELECT {columns} FROM customers WHERE batch = ? AND number_of_orders IS NOT NULL", day)
        return {customer: (orders, total, refused) for customer, orders, total, refused in rows}


@pytest.fixture
def consumer(stack: Stack, tmp_path: Path) -> Iterator[Consumer]:
    """The example with credentials that may do what the example's own policy file says, under enforcement."""
    iam, name = stack.target.client("iam"), "consumer"
    queue = stack.sqs.get_queue_attributes(
        QueueUrl=stack.target.output("output_queue_url"), AttributeNames=["QueueArn"]
    )["Attributes"]["QueueArn"]
    policy = json.loads((EXAMPLE / "policy.json").read_text())
    for statement in policy["Statement"]:
        statement["Resource"] = queue
        # The local AWS asks for sqs:DeleteMessageBatch. AWS has no such action: a batch needs sqs:DeleteMessage (SQS
        # developer guide, "Amazon SQS API permissions: Actions and resource reference").
        statement["Action"] = [*statement["Action"], "sqs:DeleteMessageBatch"]
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="consume", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    credentials = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    yield Consumer(stack, credentials, tmp_path / "consumer.sqlite")
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName=name, PolicyName="consume")
    iam.delete_user(UserName=name)


def stored(stack: Stack, day: str) -> dict[str, tuple[int, str, int]]:
    """What the table holds of a day's customers, in the form of `Consumer.results`."""
    deserialized = {
        item["customer_reference"]["S"]: (
            int(item["number_of_orders"]["N"]),
            number_text(item["total_amount_spent"]["N"]),
            int(item.get("refused_records", {}).get("N", 0)),
        )
        for (pk, _), item in stack.items(day).items()
        if pk.startswith("customer#") and "removed" not in item
    }
    assert deserialized
    return deserialized


def test_killed_between_effect_and_deletion_it_ends_with_the_content_of_the_table(
    stack: Stack, day: str, consumer: Consumer
) -> None:
    stack.upload(files_of(day))
    stack.ended(day)
    consumer.die_between_effect_and_deletion()

    corrected = ITEMS.replace("3,o-3,Cap,1,0.0001", "3,o-3,Cap,1,0.0002")
    fewer = CUSTOMERS.replace("3,Eva,Dal,c-3,Active\n4,Eva,Dal,c-3,Active\n", "")
    stack.upload(files_of(day, corrected, fewer))
    stack.ended(day)
    consumer.die_between_effect_and_deletion()
    with consumer.start() as process:

        def caught_up() -> bool:
            assert process.poll() is None, process.communicate()
            return consumer.results(day) == stored(stack, day)

        eventually(caught_up, "the consumer's state to be the table's")
        eventually(lambda: not waiting(stack.sqs, stack.target.output("output_queue_url")), "the queue to be empty")
        process.send_signal(signal.SIGTERM)
        stack.mark()  # ends its long poll
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said

    changed = [customer for (customer,) in consumer.ask("SELECT customer_reference FROM changes WHERE batch = ?", day)]
    assert sorted(changed) == ["c-1", "c-2", "c-2", "c-3", "c-3"], "each change has its effect once"
    codes = {code for (code,) in consumer.ask("SELECT code FROM errors WHERE batch = ?", day)}
    assert codes >= {sk.split("#")[-1] for _, sk in stack.items(day) if sk.startswith("error#")}
