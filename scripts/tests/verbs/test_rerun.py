"""Replay and release: what runs a batch once more, and when they refuse to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pipeline import ledger
from pipeline.aws.workflow import Workflow
from pipeline.ledger import BatchState, Ledger
from pipeline.model.data_model import MODEL
from pipeline_cli.output.errors import CommandError
from pipeline_cli.verbs.release import find_held, release
from pipeline_cli.verbs.replay import replay

from scripts.tests.support import Run, Stack
from scripts.tests.verbs.test_upload import DAY, run_batch

Change = Callable[[Ledger], Ledger]


@pytest.fixture
def workflow(stack: Stack) -> Workflow:
    """The state machine, and a complete set of files in the bucket."""
    for kind in MODEL.kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")
    return stack.target.workflow


def runs(stack: Stack) -> list[str]:
    return sorted(stack.cloud.executions())


def test_a_run_in_progress_is_not_restarted_but_an_aborted_one_is(stack: Stack, workflow: Workflow) -> None:
    run_batch(stack)
    first, _ = replay(stack.target, DAY)
    stack.table.update_ledger(DAY, lambda entry: ledger.begin(entry, str(first.execution), datetime.now(UTC)))
    at_work, started = replay(stack.target, DAY)
    assert (at_work.execution, started) == (first.execution, False)

    stack.client("stepfunctions").stop_execution(executionArn=workflow.execution_arn(str(first.execution)))
    again, started = replay(stack.target, DAY)
    assert started
    assert again.execution != first.execution
    assert again.holder == first.execution, "the new run itself takes the batch over, once writers have stopped"


@pytest.mark.parametrize(("kinds", "reason"), [([], "knows no such batch"), (["orders"], "lacks customers and items")])
def test_a_batch_that_never_was_complete_cannot_run(stack: Stack, run: Run, kinds: list[str], reason: str) -> None:
    for kind in kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")
        stack.table.update_ledger(DAY, lambda entry: ledger.observe(entry, stack.bucket.find_set(DAY)))
    result = run("replay", DAY)
    assert result.exit_code == 1
    assert reason in result.stderr
    assert runs(stack) == []


# --- release -------------------------------------------------------------------------------------------------------


@pytest.fixture
def held(stack: Stack, workflow: Workflow) -> Ledger:
    return run_batch(stack, BatchState.HELD, "items_20220131.csv: too_many_refused")


def test_a_release_says_what_it_delivers_and_removes_and_starts_the_same_set_without_the_gate(
    held: Ledger, stack: Stack, run: Run
) -> None:
    summary = {**held.summary, "removed_customers": 1000}
    stack.table.update_ledger(DAY, lambda entry: replace(entry, summary=summary))

    result = run("release", DAY, "--no-wait")

    assert result.exit_code == 0, result.output
    assert f"This delivers batch {DAY}: 2 customers, 3 orders, 4 items; 1 of 5 records refused" in result.stderr
    assert "This removes 1,000 customers that an earlier version delivered." in result.stderr
    entry = stack.table.get_ledger(DAY)
    assert entry is not None
    assert (entry.state, entry.version, entry.released) == (BatchState.QUEUED, held.version, held.version)
    assert entry.execution == f"{held.execution}-2"
    assert runs(stack) == [entry.execution]


def state(value: BatchState) -> Callable[[Stack], object]:
    return lambda stack: stack.table.update_ledger(DAY, lambda entry: replace(entry, state=value))


def correct(stack: Stack) -> None:
    stack.put(f"incoming/items_{DAY}.csv", b"corrected")


def delete(stack: Stack) -> None:
    stack.client("s3").delete_object(Bucket=stack.bucket.name, Key=f"incoming/items_{DAY}.csv")


@pytest.mark.parametrize(
    ("happened", "reason"),
    [
        (state(BatchState.COMPLETED), f"Batch {DAY} is COMPLETED, not HELD: there is nothing to release."),
        (state(BatchState.QUEUED), f"Batch {DAY} is QUEUED, not HELD"),
        (correct, "have changed since it was held: nothing was released"),
        (delete, "have changed since it was held: nothing was released"),
    ],
)
def test_only_a_batch_that_is_held_and_unchanged_is_released(
    held: Ledger, stack: Stack, run: Run, happened: Callable[[Stack], Any], reason: str
) -> None:
    happened(stack)
    before = stack.table.get_ledger(DAY)

    result = run("release", DAY)

    assert (result.exit_code, reason in result.stderr) == (1, True), result.stderr
    assert stack.table.get_ledger(DAY) == before
    assert "is not known, not HELD" in run("release", "20220201").stderr


def test_a_correction_that_comes_between_the_look_and_the_release_wins(held: Ledger, stack: Stack) -> None:
    found = find_held(stack.table, stack.bucket, DAY)
    correct(stack)
    claim = functools.partial(ledger.claim, files=stack.bucket.find_set(DAY), now=datetime.now(UTC))
    corrected = stack.table.update_ledger(DAY, claim)

    with pytest.raises(CommandError, match="nothing was released"):
        release(stack.table, stack.target.workflow, found)
    assert stack.table.get_ledger(DAY) == corrected
