"""The demo after the deployment of the stack, which the end-to-end tests cover."""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from pipeline import ledger
from pipeline.aws.backoff import Deadline
from pipeline.joining.customer_data_processor import messages
from pipeline.ledger import BatchState, Ledger
from pipeline.model.data_model import MODEL
from pipeline.stages.feedback import publish_verdict
from pipeline_cli.deployment.following import wait
from pipeline_cli.verbs import check, demo
from pipeline_cli.verbs.sample import generate

from scripts.tests.support import Run, Stack


@pytest.fixture
def pipeline(stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stack:
    """A stack whose pipeline works while the demo waits: the real transform, the real table writes."""
    monkeypatch.setattr(demo, "FOLDER", tmp_path)
    monkeypatch.setattr(demo, "deploy", lambda: stack.target)
    monkeypatch.setattr(demo.sample, "generate", functools.partial(generate, records=8, defects=0.1))

    def works(*arguments: Any, **options: Any) -> Any:
        work(stack)
        return wait(*arguments, **options)

    monkeypatch.setattr(demo, "wait", works)
    return stack


def work(stack: Stack) -> None:
    files = stack.bucket.find_set(demo.DAY)
    claim = functools.partial(ledger.claim, files=files, now=datetime.now(UTC))
    entry = stack.table.update_ledger(demo.DAY, claim)
    if entry.state is not BatchState.QUEUED:
        return
    with TemporaryDirectory() as directory:
        found = stack.bucket.download_all(dict(files.items()), Path(directory))
        paths = {
            MODEL.kind(name): path.rename(path.with_name(f"{name}_{demo.DAY}.csv")) for name, path in found.items()
        }
        outcome = check.run(demo.DAY, paths, Path(directory) / "work")
        for chunk in outcome.chunks:
            stack.table.write([json.loads(line) for line in chunk.path.read_text().splitlines()], Deadline.after(10))
        for number, body in enumerate(messages(outcome)):
            stack.send(json.loads(body), group=str(number))

    def close(known: Ledger) -> Ledger:
        begun = ledger.begin(known, str(known.execution), datetime.now(UTC))
        summary = outcome.summary.as_dict()
        return ledger.finish(begun, str(begun.execution), BatchState.COMPLETED, datetime.now(UTC), summary=summary)

    stack.table.update_ledger(demo.DAY, close)
    publish_verdict(stack.bucket, stack.table, demo.DAY)


def results(output: str) -> str:
    return output[output.index("Results in the DynamoDB table") :]


def test_the_demo_shows_results_errors_messages_and_what_is_next(pipeline: Stack, run: Run) -> None:
    result = run("demo")
    assert result.exit_code == 0, result.output
    assert "COMPLETED" in result.stdout
    assert "10 of 59 records refused; 2 customers have incomplete totals." in result.stdout
    assert "Reconciled: " in result.stdout
    assert "the first 5 of 8" in result.stdout
    assert "(18 wait" in result.stdout
    assert "incomplete: " in result.stdout
    assert "What the partner reads (feedback/20220131/verdict.json" in result.stdout
    assert "Correct the 10 refused records and send their files again" in result.stdout
    assert "make upload FILE=" in result.stdout
    for step in ("Upload its 3 files", "Validate, join, store and announce", "Wait for the messages"):
        assert step in result.stderr


@pytest.mark.slow
def test_a_second_demo_shows_the_same(pipeline: Stack, run: Run) -> None:
    first, second = run("demo"), run("demo")
    assert second.exit_code == 0, second.output
    assert "Empty what the last demo left" in second.stderr
    assert results(second.stdout) == results(first.stdout)


@pytest.mark.slow
def test_a_demo_does_not_touch_other_batches(pipeline: Stack, run: Run) -> None:
    run("demo")
    pipeline.put("incoming/customers_20220201.csv")
    result = run("demo")
    assert result.exit_code == 0, result.output
    assert "nothing was written and nothing was sent again" in result.stdout
    assert list(pipeline.bucket.keys("incoming/customers_20220201.csv"))


def test_a_demo_that_fails_says_where_to_look(pipeline: Stack, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(known: Ledger) -> Ledger:
        claimed = ledger.claim(known, pipeline.bucket.find_set(demo.DAY), datetime.now(UTC))
        begun = ledger.begin(claimed, str(claimed.execution), datetime.now(UTC))
        now = datetime.now(UTC)
        return ledger.finish(begun, str(begun.execution), BatchState.FAILED, now, cause="disk full")

    def waits(*arguments: Any, **options: Any) -> Any:
        pipeline.table.update_ledger(demo.DAY, fail)
        return wait(*arguments, **options)

    monkeypatch.setattr(demo, "wait", waits)
    result = run("demo")
    assert result.exit_code == 1
    assert "The demo's batch ended FAILED: disk full See: make logs BATCH=20220131" in result.stderr
    assert "✓ Upload" in result.stderr
    assert "✓ Validate" not in result.stderr


def test_the_demo_runs_on_the_local_target_only(run: Run) -> None:
    result = run("demo", "--env", "prod")
    assert result.exit_code == 2
    assert "on the local AWS only" in result.stderr
