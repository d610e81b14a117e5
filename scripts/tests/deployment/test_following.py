"""Watching batches while they run, and what Step Functions tells about a run."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from pipeline import ledger
from pipeline.ledger import BatchState, Ledger
from pipeline_cli.deployment import following
from pipeline_cli.deployment.runs import Chunks, Runs, Stage, stages_of
from pipeline_cli.verbs.sample import generate

from scripts.tests.support import Run, Stack
from scripts.tests.verbs.test_upload import DAY, SUMMARY

NOW = datetime(2022, 2, 1, 6, 0, tzinfo=UTC)


class OneRun:
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


@pytest.fixture
def seen(day: Stack, run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Returns what `status` shows of the day, with these runs in Step Functions."""

    def look(runs: OneRun | None = None) -> str:
        monkeypatch.setattr(following, "Runs", lambda _: runs or OneRun())
        return " ".join(run("status").stdout.split())

    return look


def test_each_step_of_a_batch_is_shown(day: Stack, seen: Callable[..., str]) -> None:
    assert "WAITING all 3 files are there, not noticed yet" in seen()
    claim(day)
    assert "QUEUED" in seen()
    begin(day)
    assert "RUNNING read, validate, join" in seen(OneRun("Transform"))
    deliver(day)
    assert "write into the table, 0 of 3 chunks" in seen()
    assert "write into the table, 3 chunks" in seen(OneRun(total=0))
    finish(day)
    assert "COMPLETED 2 customers, 3 orders, 4 items; 1 of 5 records refused 1 1 min 15 s 02-01 06:01" in seen()
    day.put(f"incoming/items_{DAY}.csv", b"corrected")
    assert "newer files are there, not noticed yet" in seen()


def test_a_failure_shows_its_cause_as_text(day: Stack, seen: Callable[..., str]) -> None:
    claim(day)
    begin(day)
    finish(day, BatchState.FAILED, "[disk] full")
    assert "FAILED [disk] full" in seen()


def test_the_step_of_a_spark_job_is_shown(day: Stack, run: Run, seen: Callable[..., str]) -> None:
    claim(day)
    begin(day)
    change(day, lambda entry: ledger.submit_job(entry, str(entry.execution)))
    entry = day.table.get_ledger(DAY)
    assert entry is not None
    progress = {"execution": entry.execution, "step": "join", "number": 8, "of": 14}
    for content, step in [
        (None, "not begun yet"),
        ({**progress, "execution": "an earlier run"}, "not begun yet"),
        (progress, "step 8 of 14: join"),
    ]:
        if content:
            day.bucket.put_json(f"work/{DAY}/{entry.version}/large_day/progress.json", content)
        assert f"RUNNING read, validate, join in the Spark job, {step}" in seen(OneRun("TransformLargeDay"))
        assert f"The Spark job for large days: {step}." in run("status", DAY).stdout


def test_watching_ends_when_no_run_is_in_progress(day: Stack, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    steps: Iterator[Callable[[Stack], None]] = iter([claim, begin, deliver, finish])
    monkeypatch.setattr(following, "Runs", lambda _: OneRun())
    monkeypatch.setattr(following, "sleep", lambda _: next(steps)(day))

    result = run("status", "--watch")

    assert result.exit_code == 0
    assert "COMPLETED  2 customers, 3 orders, 4 items; 1 of 5 records refused" in result.stdout
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


# --- what Step Functions tells -------------------------------------------------------------------------------------


def event(second: float, kind: str, name: str = "") -> dict[str, Any]:
    side = "stateEnteredEventDetails" if kind.endswith("Entered") else "stateExitedEventDetails"
    return {"timestamp": NOW + timedelta(seconds=second), "type": kind, **({side: {"name": name}} if name else {})}


def waits(second: float) -> list[dict[str, Any]]:
    """Transform says to wait, for 8 seconds."""
    return [
        event(second, "TaskStateEntered", "Transform"),
        event(second + 1, "TaskStateExited", "Transform"),
        event(second + 1, "WaitStateEntered", "WaitForOlderRun"),
        event(second + 9, "WaitStateExited", "WaitForOlderRun"),
    ]


BEGUN = event(0, "ExecutionStarted"), event(1, "TaskStateEntered", "Transform")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param(
            [
                event(0, "ExecutionStarted"),
                event(0, "PassStateEntered", "Begin"),
                event(0, "PassStateExited", "Begin"),
                event(1, "TaskStateEntered", "Transform"),
                event(2, "TaskFailed"),
                event(4, "TaskSucceeded"),
                event(5, "TaskStateExited", "Transform"),
                event(5, "MapStateEntered", "Deliver"),
                event(7, "MapRunFailed"),
                event(8, "TaskStateEntered", "RunFailed"),
                event(9, "TaskStateExited", "RunFailed"),
                event(9, "ExecutionFailed"),
            ],
            [Stage("Transform", 1, 4, failures=1), Stage("Deliver", 5, 3, failures=1), Stage("RunFailed", 8, 1)],
            id="failures",
        ),
        pytest.param(BEGUN, [Stage("Transform", 1, 24, over=False)], id="the current stage has no end"),
        pytest.param([*BEGUN, event(5, "ExecutionAborted")], [Stage("Transform", 1, 4)], id="it ends with its run"),
        pytest.param(
            [BEGUN[0], *waits(1), *waits(10), *waits(19)[:-1]],
            [Stage("WaitForOlderRun", 1, 24, over=False)],
            id="all waits are one",
        ),
        pytest.param(
            [
                *(BEGUN[0], *waits(1), *waits(10), event(19, "TaskStateEntered", "Transform")),
                event(21, "TaskStateExited", "Transform"),
            ],
            [Stage("WaitForOlderRun", 1, 18), Stage("Transform", 19, 2)],
            id="then it works",
        ),
    ],
)
def test_stages_are_read_from_the_history(events: list[dict[str, Any]], expected: list[Stage]) -> None:
    assert stages_of(list(events), NOW + timedelta(seconds=25)) == expected


@pytest.mark.parametrize("code", ["ExecutionDoesNotExist", "ThrottlingException"])
def test_a_run_that_has_expired_is_not_known_and_other_errors_are_raised(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    def refuse(_: object, operation: str, given: object) -> None:
        raise ClientError({"Error": {"Code": code}}, operation)

    runs = Runs(stack.target)
    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    if code == "ExecutionDoesNotExist":
        assert (runs.stages("x", NOW), runs.chunks("x")) == ([], None)
    else:
        for ask in (lambda: runs.stages("x", NOW), lambda: runs.chunks("x")):
            with pytest.raises(ClientError):
                ask()


def test_the_chunks_of_a_run_are_counted_by_its_map_run(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"itemCounts": {"succeeded": 4, "total": 9}}
    replies: list[Any] = [{"mapRuns": [{"mapRunArn": "arn"}]}, counts, {"mapRuns": []}]
    runs = Runs(stack.target)
    monkeypatch.setattr(BaseClient, "_make_api_call", lambda *_: replies.pop(0))
    assert (runs.chunks("x"), runs.chunks("x")) == (Chunks(4, 9), None)
