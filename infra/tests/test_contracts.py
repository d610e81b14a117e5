"""The AsyncAPI file says of the output queue what Terraform makes of it."""

from __future__ import annotations

from typing import Any

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


@pytest.mark.parametrize(("queue", "resource"), [("queue", "this"), ("deadLetterQueue", "dead_letter")])
def test_the_asyncapi_file_describes_the_queue(plan: Plan, queue: str, resource: str) -> None:
    document: dict[str, Any] = yaml.safe_load((INFRA.parent / "docs/contracts/asyncapi.yaml").read_text())
    described = document["channels"]["output"]["bindings"]["sqs"][queue]
    made = plan[f"module.output_queue.aws_sqs_queue.{resource}"]

    assert {name: made[NAMES[name]] for name in described if name in NAMES} == {
        name: value for name, value in described.items() if name in NAMES
    }
    assert made["name"] == described["name"].replace("csv-pipeline", "csv-pipeline-dev")
