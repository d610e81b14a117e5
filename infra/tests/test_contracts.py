"""The AsyncAPI file describes the output queue as Terraform creates it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from infra.tests.support import INFRA, Plan, resources_of

pytestmark = pytest.mark.terraform

NAMES = {
    "fifoQueue": "fifo_queue",
    "deduplicationScope": "deduplication_scope",
    "fifoThroughputLimit": "fifo_throughput_limit",
    "visibilityTimeout": "visibility_timeout_seconds",
    "receiveMessageWaitTime": "receive_wait_time_seconds",
    "messageRetentionPeriod": "message_retention_seconds",
}


def described(queue: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((INFRA.parent / "docs/contracts/asyncapi.yaml").read_text())
    bindings: dict[str, Any] = document["channels"]["output"]["bindings"]["sqs"][queue]
    return bindings


def test_the_asyncapi_file_describes_the_output_queue(plan: Plan) -> None:
    written = resources_of(INFRA / "modules/queue")["aws_sqs_queue.this"]
    made = plan["module.output_queue.aws_sqs_queue.this"]

    assert made["name"] == described("queue")["name"].replace("csv-pipeline", "csv-pipeline-dev")
    for name, value in described("queue").items():
        if NAMES.get(name) in made:
            assert made[NAMES[name]] == value, name
        elif name in NAMES:  # the offline provider does not know it, so it is not in the plan
            assert f'"{value}"' in written[NAMES[name]], name


def test_the_asyncapi_file_describes_its_dead_letter_queue(plan: Plan) -> None:
    (made,) = [
        queue
        for queue in plan.of_type("aws_sqs_queue").values()
        if queue.get("name") == described("deadLetterQueue")["name"].replace("csv-pipeline", "csv-pipeline-dev")
    ]

    assert made["fifo_queue"] is described("deadLetterQueue")["fifoQueue"]
    assert made["message_retention_seconds"] == described("deadLetterQueue")["messageRetentionPeriod"]
