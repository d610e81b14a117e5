"""The AsyncAPI file describes the output queue as Terraform creates it."""

from __future__ import annotations

import pytest
import yaml

from infra.tests.support import INFRA, Plan

pytestmark = pytest.mark.terraform

NAMES = {
    "fifoQueue": "fifo_queue",
    "deduplicationScope": "deduplication_scope",
    "fifoThroughputLimit": "fifo_throughput_limit",
    "visibilityTimeout": "visibility_timeout_seconds",
    "receiveMessageWaitTime": "receive_wait_time_seconds",
    "messageRetentionPeriod": "message_retention_seconds",
}


@pytest.mark.parametrize(("queue", "resource"), [("queue", "this"), ("deadLetterQueue", "dead_letter[0]")])
def test_the_asyncapi_file_describes_the_output_queue(plan: Plan, queue: str, resource: str) -> None:
    document = yaml.safe_load((INFRA.parent / "docs/contracts/asyncapi.yaml").read_text())
    described = document["channels"]["output"]["bindings"]["sqs"][queue]
    made = plan[f"module.output_queue.aws_sqs_queue.{resource}"]

    assert made["name"] == described["name"].replace("csv-pipeline", "csv-pipeline-dev")
    assert {name: made[NAMES[name]] for name in described if name in NAMES} == {
        name: value for name, value in described.items() if name in NAMES
    }
