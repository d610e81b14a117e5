"""Intake while others change what it reads: storms of uploads, concurrent writes to the ledger, late answers."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
from pipeline.aws import backoff, dynamodb
from pipeline.aws.backoff import Deadline
from pipeline.aws.workflow import RunStatus, Workflow
from pipeline.errors import LedgerConflictError
from pipeline.ledger import BatchState
from pipeline.model.file_set import set_version
from pipeline.settings import IntakeSettings
from pipeline.stages import intake as intake_stage
from pipeline.stages.intake import Intake, start_run
from support import BUCKET, Cloud, Context, s3_event
from unit.stages.test_intake import arrive

EVENT = s3_event("incoming/items_20220131.csv")
SETTINGS = IntakeSettings(bucket_name="", table_name="", state_machine_arn="", days_back=36_500)


def test_a_run_that_ended_meanwhile_is_not_started_again(cloud: Cloud, context: Context) -> None:
    """Between our reading of the ledger and our start the run began and completed."""
    cloud.upload_day()
    arrive(context, "items")
    (name,) = cloud.executions()
    seen = cloud.table.get_ledger("20220131")
    assert seen is not None
    cloud.stepfunctions.stop_execution(executionArn=cloud.workflow.execution_arn(name))
    done = replace(seen, state=BatchState.COMPLETED)
    cloud.table.update_ledger("20220131", lambda _: done)

    assert not start_run(cloud.table, cloud.workflow, seen)
    assert set(cloud.executions()) == {name}


@pytest.mark.slow
def test_a_storm_of_the_same_file_changes_nothing_in_the_ledger(cloud: Cloud, context: Context) -> None:
    """Each upload is another version of the object, with the same bytes."""
    cloud.upload_day()
    arrive(context, "items")
    before = cloud.table.get_ledger("20220131")

    for _ in range(40):
        cloud.upload_day()
        assert arrive(context, "items") == {"batchItemFailures": []}

    assert cloud.table.get_ledger("20220131") == before
    assert len(cloud.executions()) == 1


def test_a_storm_of_the_same_file_of_an_incomplete_set_changes_nothing_either(cloud: Cloud, context: Context) -> None:
    for _ in range(5):
        cloud.upload("items_20220131.csv")
        arrive(context, "items")
    entry = cloud.table.get_ledger("20220131")
    assert entry is not None
    assert (entry.revision, entry.missing) == (1, ["customers", "orders"])


class Storm:
    """A bucket in which a file is stored once more between any two looks, for so many looks."""

    name = BUCKET

    def __init__(self, cloud: Cloud, looks: int, *, same: bool) -> None:
        self._cloud, self._looks, self._same = cloud, looks, same

    def find_set(self, batch: str) -> Any:
        if self._looks:
            self._looks -= 1
            self._cloud.upload("items_20220131.csv", b"same" if self._same else str(self._looks).encode())
        return self._cloud.bucket.find_set(batch)


@pytest.mark.slow
def test_files_that_keep_changing_are_waited_for_in_the_same_invocation(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(intake_stage, "attempts", functools.partial(backoff.attempts, sleep=pauses.append))
    cloud.upload_day()
    storm = Storm(cloud, looks=60, same=False)

    Intake(storm, cloud.table, cloud.workflow, SETTINGS, Deadline.after(50)).receive(EVENT)  # type: ignore[arg-type]

    entry = cloud.table.get_ledger("20220131")
    assert entry is not None
    assert entry.version == set_version(cloud.bucket.find_set("20220131"))
    assert str(entry.execution) in cloud.executions()
    assert len(pauses) >= 50
    assert max(pauses) <= backoff.CAP_SECONDS


def test_files_that_change_until_the_time_is_up_fail_the_invocation_so_that_the_event_is_retried(cloud: Cloud) -> None:
    cloud.upload_day()
    storm = Storm(cloud, looks=1_000, same=False)
    with pytest.raises(LedgerConflictError, match="the files of batch 20220131 kept changing"):
        Intake(storm, cloud.table, cloud.workflow, SETTINGS, Deadline.after(0)).receive(EVENT)  # type: ignore[arg-type]
    assert cloud.executions() == {}


def test_files_with_the_same_content_are_not_waited_for(cloud: Cloud) -> None:
    cloud.upload_day()
    storm = Storm(cloud, looks=1_000, same=True)
    Intake(storm, cloud.table, cloud.workflow, SETTINGS, Deadline.after(0)).receive(EVENT)  # type: ignore[arg-type]
    assert len(cloud.executions()) == 1


def test_a_ledger_entry_that_others_keep_changing_is_retried_until_the_invocation_ends(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a storm of events, each in an invocation of its own, all for one entry: 40 writes come too late."""
    monkeypatch.setattr(dynamodb, "attempts", functools.partial(backoff.attempts, sleep=lambda _: None))
    cloud.upload_day()
    put = cloud.table._put_ledger
    late = iter(range(40))
    monkeypatch.setattr(cloud.table, "_put_ledger", lambda *arguments: next(late, None) is None and put(*arguments))

    Intake(cloud.bucket, cloud.table, cloud.workflow, SETTINGS, Deadline.after(50)).receive(EVENT)

    assert len(cloud.executions()) == 1


def test_a_conflict_that_outlasts_the_invocation_fails_it_so_that_the_event_is_retried(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud.table, "_put_ledger", lambda *arguments: False)
    cloud.upload_day()
    with pytest.raises(LedgerConflictError, match="20220131 kept changing"):
        Intake(cloud.bucket, cloud.table, cloud.workflow, SETTINGS, Deadline.after(0)).receive(EVENT)
    assert cloud.executions() == {}


def test_a_run_that_step_functions_does_not_show_yet_is_not_started_under_another_name(
    cloud: Cloud, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DescribeExecution is eventually consistent: right after a start by somebody else the run may be unknown."""
    cloud.upload_day()
    arrive(context, "items")
    (name,) = cloud.executions()
    seen = cloud.table.get_ledger("20220131")
    assert seen is not None
    monkeypatch.setattr(Workflow, "start", lambda *_: False)
    monkeypatch.setattr(Workflow, "status", lambda *_: RunStatus())

    assert not start_run(cloud.table, cloud.workflow, seen)

    entry = cloud.table.get_ledger("20220131")
    assert entry is not None
    assert entry.execution == name
