"""Watching batches while they run."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pipeline import ledger
from pipeline.ledger import BatchState, Ledger
from pipeline_cli.deployment import following
from pipeline_cli.deployment.batches import read
from pipeline_cli.deployment.runs import Chunks, Stage
from pipeline_cli.verbs.sample import generate
from rich.console import Console

from scripts.tests.support import Run, Stack
from scripts.tests.verbs.test_upload import DAY, SUMMARY

NOW = datetime(2022, 2, 1, 6, 0, tzinfo=UTC)


class Runs:
    """Step Functions with one run in progress; each call returns one more delivered chunk."""

    def __init__(self, stage: str = "Deliver", total: int = 3) -> None:
        self.stage, self.total, self.done = stage, total, -1

    def stages(self, *_: object) -> list[Stage]:
        return [Stage(self.stage, 1, 2, over=False)]

    def chunks(self, _: str) -> Chunks | None:
        self.done += 1
        return Chunks(self.done, self.total) if self.total else None


@pytest.fixture
def day(stack: Stack, tmp_path: Any) -> Stack:
    for path in generate(tmp_path, DAY, records=3).files.values():
        stack.put(f"incoming/{path.name}", path.read_bytes())
    return stack


def change(stack: Stack, step: Callable[[Ledger], Ledger]) -> None:
    stack.table.update_ledger(DAY, step)


def claim(stack: Stack) -> None:
    change(stack, functools.partial(ledger.claim, files=stack.bucket.find_set(DAY), now=NOW))


def begin(stack: Stack) -> None:
    change(stack, lambda entry: ledger.begin(entry, str(entry.execution), NOW))


def deliver(stack: Stack) -> None:
    change(stack, lambda entry: ledger.deliver(entry, str(entry.execution), chunks=3))


def finish(stack: Stack, state: BatchState = BatchState.COMPLETED, cause: str | None = None) -> None:
    end = NOW + timedelta(seconds=75)
    change(stack, lambda entry: ledger.finish(entry, str(entry.execution), state, end, summary=SUMMARY, cause=cause))


def seen(stack: Stack, runs: Runs, waited: float = 0) -> str:
    statuses, console = read(stack.target, [DAY]), Console(width=200)
    with console.capture() as captured:
        now = NOW + timedelta(seconds=5)
        console.print(following.table(stack.target, statuses, runs, now, waited))  # type: ignore[arg-type]
    return " ".join(captured.get().split())


def test_each_step_of_a_batch_is_shown(day: Stack) -> None:
    def shows(runs: Runs | None = None) -> str:
        return seen(day, runs or Runs())

    assert "WAITING files are there, about to be noticed" in shows()
    claim(day)
    assert "QUEUED 5.0 s" in shows()
    begin(day)
    assert "RUNNING read, validate, join 5.0 s" in shows(Runs("Transform"))
    deliver(day)
    assert "write into the table, 0 of 3 chunks" in shows()
    assert "write into the table, 3 chunks" in shows(Runs(total=0))
    finish(day)
    assert "COMPLETED 2 customers; 1 of 5 records refused 1 1 min 15 s" in shows()


def test_the_step_of_a_spark_job_is_shown(day: Stack) -> None:
    claim(day)
    begin(day)
    change(day, lambda entry: ledger.submit_job(entry, str(entry.execution)))
    entry = day.table.get_ledger(DAY)
    assert entry is not None
    runs = Runs("TransformLargeDay")

    assert "RUNNING read, validate, join in the Spark job, not begun yet" in seen(day, runs)
    key = f"work/{DAY}/{entry.version}/large_day/progress.json"
    day.bucket.put_json(key, {"execution": entry.execution, "step": "join", "number": 8, "of": 14})
    assert "RUNNING read, validate, join in the Spark job, step 8 of 14: join" in seen(day, runs)
    day.bucket.put_json(key, {"execution": "an earlier run", "step": "join", "number": 8, "of": 14})
    assert "step" not in seen(day, runs)


def test_a_failure_shows_its_cause_as_text(day: Stack) -> None:
    claim(day)
    begin(day)
    finish(day, BatchState.FAILED, "[disk] full")
    assert "FAILED [disk] full" in seen(day, Runs())


def test_watching_ends_when_no_run_is_in_progress(day: Stack, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    steps: Iterator[Callable[[Stack], None]] = iter([claim, begin, deliver, finish])
    monkeypatch.setattr(following, "Runs", lambda _: Runs())
    monkeypatch.setattr(following, "sleep", lambda _: next(steps)(day))

    result = run("status", "--watch")

    assert result.exit_code == 0
    assert "COMPLETED  2 customers; 1 of 5 records refused" in result.stdout
    with pytest.raises(StopIteration):
        next(steps)


def test_watching_one_batch_waits_for_its_missing_files(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    stack.put(f"incoming/orders_{DAY}.csv")

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(following, "sleep", stop)
    assert "waits for customers and items" in run("status", "--watch").stdout

    result = run("status", DAY, "--watch", "--json")
    assert result.exit_code == 0
    assert "waits for customers and items" in result.stderr
    assert json.loads(result.stdout)["missing"] == ["customers", "items"]


def test_files_that_are_not_noticed_for_long_are_said_to_be_late(day: Stack) -> None:
    assert "unusually long" not in seen(day, Runs())
    assert "this takes unusually long: .venv/bin/pipeline logs" in seen(day, Runs(), waited=61)
