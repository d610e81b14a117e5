"""The demo after the deployment of the stack, which the end-to-end tests cover."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from pipeline import ledger
from pipeline.aws.backoff import Deadline
from pipeline.joining.customer_data_processor import messages
from pipeline.ledger import BatchState
from pipeline.model.data_model import MODEL
from pipeline.stages.feedback import publish_verdict
from pipeline_cli.deployment.following import wait
from pipeline_cli.verbs import check, demo
from pipeline_cli.verbs.sample import generate

from scripts.tests.support import Run, Stack

Pipeline = Callable[[Callable[[Stack], None]], Stack]


@pytest.fixture
def pipeline(stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipeline:
    """Returns a stack whose pipeline does its work while the demo waits."""
    monkeypatch.setattr(demo, "FOLDER", tmp_path)
    monkeypatch.setattr(demo, "deploy", lambda: stack.target)
    monkeypatch.setattr(demo.sample, "generate", functools.partial(generate, records=8, defects=0.1))

    def working(work: Callable[[Stack], None]) -> Stack:
        def works(*arguments: Any, **options: Any) -> Any:
            work(stack)
            return wait(*arguments, **options)

        monkeypatch.setattr(demo, "wait", works)
        return stack

    return working


def close(stack: Stack, state: BatchState, **facts: Any) -> None:
    def closed(entry: ledger.Ledger) -> ledger.Ledger:
        begun = ledger.begin(entry, str(entry.execution), datetime.now(UTC))
        return ledger.finish(begun, str(begun.execution), state, datetime.now(UTC), **facts)

    stack.table.update_ledger(demo.DAY, closed)


def claim(stack: Stack) -> ledger.Ledger:
    files = stack.bucket.find_set(demo.DAY)
    return stack.table.update_ledger(demo.DAY, functools.partial(ledger.claim, files=files, now=datetime.now(UTC)))


def process(stack: Stack) -> None:
    """Run the real transform and the real writes into the table."""
    if claim(stack).state is not BatchState.QUEUED:
        return
    with TemporaryDirectory() as directory:
        found = stack.bucket.download_all(dict(stack.bucket.find_set(demo.DAY).items()), Path(directory))
        paths = {
            MODEL.kind(name): path.rename(path.with_name(f"{name}_{demo.DAY}.csv")) for name, path in found.items()
        }
        outcome = check.run(demo.DAY, paths, Path(directory) / "work")
        for chunk in outcome.chunks:
            stack.table.write([json.loads(line) for line in chunk.path.read_text().splitlines()], Deadline.after(10))
        for number, body in enumerate(messages(outcome)):
            stack.send(json.loads(body), group=str(number))
    close(stack, BatchState.COMPLETED, summary=outcome.summary.as_dict())
    publish_verdict(stack.bucket, stack.table, demo.DAY)


def fail(stack: Stack) -> None:
    claim(stack)
    close(stack, BatchState.FAILED, cause="disk full")


def results(output: str) -> str:
    return output[output.index("Results in the DynamoDB table") :]


@pytest.mark.slow
def test_each_demo_shows_results_errors_messages_and_what_is_next(pipeline: Pipeline, run: Run) -> None:
    stack = pipeline(process)
    first, second = run("demo"), run("demo")
    for result in (first, second):
        assert result.exit_code == 0, result.output
        assert "COMPLETED" in result.stdout
        assert "10 of 59 records refused; 2 customers have incomplete totals." in result.stdout
        assert "Reconciled: " in result.stdout
        assert "the first 5 of 8" in result.stdout
        assert "(18 wait" in result.stdout
        assert "Correct the 10 refused records and send their files again" in result.stdout
        assert "make upload FILE=" in result.stdout
        for step in ("Upload its 3 files", "Validate, join, store and announce", "Wait for the messages"):
            assert step in result.stderr
    assert "Empty what the last demo left" in second.stderr
    assert results(second.stdout) == results(first.stdout)

    stack.put("incoming/customers_20220201.csv")
    third = run("demo")
    assert third.exit_code == 0, third.output
    assert "nothing was written and nothing was sent again" in third.stdout
    assert list(stack.bucket.keys("incoming/customers_20220201.csv")), "a demo touched another batch"


def test_a_demo_that_fails_says_where_to_look(pipeline: Pipeline, run: Run) -> None:
    pipeline(fail)
    result = run("demo")
    assert result.exit_code == 1
    assert "The demo's batch ended FAILED: disk full See: make logs BATCH=20220131" in result.stderr
    assert "✓ Upload" in result.stderr
    assert "✓ Validate" not in result.stderr


def test_the_demo_runs_on_the_local_target_only(run: Run) -> None:
    result = run("demo", "--env", "prod")
    assert result.exit_code == 2
    assert "on the local AWS only" in result.stderr
