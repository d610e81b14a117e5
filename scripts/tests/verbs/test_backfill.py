"""`backfill`: days whose files are in the bucket, but whose events never came."""

from __future__ import annotations

from typing import Any

import pytest
from pipeline import ledger
from pipeline.ledger import BatchState
from pipeline.model.data_model import MODEL
from pipeline_cli.deployment import batches
from pipeline_cli.verbs import backfill

from scripts.tests.report.support import close
from scripts.tests.support import Run, Stack


def lay(stack: Stack, *days: str, kinds: tuple[Any, ...] = MODEL.kinds) -> None:
    for day in days:
        for kind in kinds:
            stack.put(f"incoming/{kind}_{day}.csv", day.encode())


@pytest.fixture
def running(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The days that were followed together; each ends when it is followed."""
    blocks: list[list[str]] = []

    def follow(target: Any, look: Any) -> Any:
        found = [status.batch for status in look()]
        blocks.append(found)
        for day in found:
            entry = stack.table.get_ledger(day)
            assert entry is not None
            assert entry.state is BatchState.QUEUED
            assert str(entry.execution) in stack.cloud.executions()
            state = BatchState.HELD if day == "20220103" else BatchState.COMPLETED
            stack.table.update_ledger(day, lambda entry, end=state: end_of(entry, end))
        return look()

    monkeypatch.setattr(backfill, "follow", follow)
    return blocks


def end_of(entry: ledger.Ledger, state: BatchState) -> ledger.Ledger:
    now = ledger.datetime.fromisoformat(str(entry.queued_at))
    begun = ledger.begin(entry, str(entry.execution), now)
    return ledger.finish(begun, str(begun.execution), state, now, summary={})


def test_the_oldest_days_run_first_a_few_at_a_time_and_those_that_are_known_or_lack_a_file_do_not(
    stack: Stack, run: Run, running: list[list[str]]
) -> None:
    lay(stack, "20220104", "20220102", "20220105", "20220106", "20220101")
    lay(stack, "20220107", kinds=MODEL.kinds[:1])
    close(stack, {}, day="20220106")

    result = run("backfill", "--at-a-time", "3", "--to", "20220107")

    assert result.exit_code == 0, result.output
    assert running == [["20220101", "20220102", "20220104"], ["20220105"]]
    assert "waits for orders and items" in result.stdout
    assert "4 days ran, 4 of them COMPLETED." in result.stdout
    again = run("backfill")
    assert "There is nothing to start" in again.stdout
    assert len(running) == 2


def test_only_the_days_between_are_started_and_one_that_is_held_is_named(
    stack: Stack, run: Run, running: list[list[str]]
) -> None:
    lay(stack, "20220101", "20220102", "20220103", "20220104")
    result = run("backfill", "--from", "20220102", "--to", "20220103")
    assert result.exit_code == 1
    assert running == [["20220102", "20220103"]]
    assert "Batch 20220103 HELD" in result.stderr
    assert run("backfill", "--from", "20220105", "--to", "20220101").exit_code == 2
    assert run("backfill", "--from", "20220231").exit_code == 2


def test_files_that_came_while_the_trigger_was_off_run_as_a_newer_set(
    stack: Stack, run: Run, running: list[list[str]]
) -> None:
    lay(stack, "20220101")
    entry = close(stack, {}, day="20220101")
    stack.put("incoming/items_20220101.csv", b"corrected")
    assert "newer files" in run("backfill").stdout
    after = stack.table.get_ledger("20220101")
    assert after is not None
    assert after.version != entry.version
    assert batches.read(stack.target, ["20220101"])[0].corrected is False


def test_an_environment_asks_and_starts_nothing_on_another_answer(
    stack: Stack, run: Run, running: list[list[str]]
) -> None:
    lay(stack, "20220101")
    asked = run("backfill", "--env", "prod", answers="no\n")
    assert (asked.exit_code, "This starts 1 run, 5 at a time." in asked.stderr) == (1, True)
    assert stack.table.get_ledger("20220101") is None
    agreed = run("backfill", "--env", "prod", answers="prod\n")
    assert (agreed.exit_code, running) == (0, [["20220101"]]), agreed.output
