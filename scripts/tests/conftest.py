"""A deployed stack in memory (moto) and a command line to drive on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pipeline_cli.terraform import target as targets
from support import REGION, Cloud, in_memory_aws
from typer.testing import CliRunner, Result

from scripts.tests.support import FUNCTIONS, QUEUES, MotoTarget, Run, Stack


@pytest.fixture
def stack(moto_active: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stack]:
    for name in ("ENV", "CALLED_BY"):
        monkeypatch.delenv(name, raising=False)
    with in_memory_aws(monkeypatch) as cloud:
        outputs = _outputs(cloud)

        def load(name: str) -> MotoTarget:
            endpoint = "http://127.0.0.1:1" if name == "local" else None
            return MotoTarget(name, REGION, endpoint, outputs, tmp_path / "build")

        monkeypatch.setattr(targets, "load", load)
        yield Stack(load("local"), cloud)


def _outputs(cloud: Cloud) -> dict[str, Any]:
    """Make the queues that only commands use, and return the outputs that Terraform would give."""
    fifo = {"FifoQueue": "true"}
    urls = {
        output: cloud.sqs.create_queue(QueueName=name, Attributes=fifo if name.endswith(".fifo") else {})["QueueUrl"]
        for output, name in QUEUES.items()
    }
    return {
        "region": REGION,
        "bucket_name": cloud.bucket.name,
        "table_name": cloud.table.name,
        "state_machine_arn": cloud.workflow.arn,
        "log_group_names": {function: f"/aws/lambda/{function}" for function in FUNCTIONS},
        "function_names": {function: function for function in FUNCTIONS},
        **urls,
    }


@pytest.fixture
def run() -> Run:
    """Run a command line: `run("status", "--json")`."""
    from pipeline_cli.app import app

    def invoke(*arguments: str, answers: str | None = None, columns: str = "160") -> Result:
        environment = {"COLUMNS": columns, "ENV": None, "YES": None}
        result = CliRunner().invoke(app, list(arguments), input=answers, env=environment)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke
