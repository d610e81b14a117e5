"""The rows of docs/runbook.md that an AWS in memory can act out, one scenario each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.tests.runbook import rows
from scripts.tests.runbook.acts import (
    ALL_BAD,
    FILES,
    ITEMS,
    ORDERS,
    SOME_BAD,
    a_correction_lacks_a_file,
    a_dead_letter_that_fails,
    a_file_under_another_name,
    changes_wait,
    completed,
    completed_and_counted,
    completed_without_a_dead_letter,
    consumers_fail,
    ends,
    fixes,
    intake_fails_for_a_while,
    lacks_a_setting,
    looks_once_more,
    many_records_are_bad,
    messages_wait,
    more_is_refused_than_usual,
    nobody_consumes,
    nothing_is_sent_again,
    sends,
    status_says,
    the_check_closes_a_run_late,
    the_report_is_written,
    the_table_throttles_once,
    the_verdict_names_them_and_they_arrive,
    two_files_are_due,
)
from scripts.tests.runbook.in_memory import World, world
from scripts.tests.runbook.scenario import Scenario
from scripts.tests.support import Run, Stack

SCENARIOS: list[Scenario[World]] = [
    Scenario(
        "runs-failed",
        "A file can't be used",
        create=sends({**FILES, ORDERS: b"<html></html>"}),
        metric="ExecutionsFailed",
        shows=status_says(f"{ORDERS}: html_file"),
        others=sends({ORDERS: FILES[ORDERS]}),
        says="the file is a web page",
        mended=completed,
    ),
    Scenario(
        "runs-failed",
        "Any other cause",
        create=lacks_a_setting("deliver"),
        metric="ExecutionsFailed",
        shows=status_says("SettingsError"),
        others=fixes,
        says="TABLE_NAME is not set",
        mended=completed,
    ),
    Scenario(
        "runs-timed-out",
        "Any other cause",
        create=ends("TIMED_OUT"),
        metric="ExecutionsTimedOut",
        shows=status_says("it took longer than a run may"),
        mended=completed,
    ),
    Scenario(
        "runs-stopped",
        create=ends("ABORTED"),
        metric="ExecutionsAborted",
        shows=status_says("it was stopped"),
        mended=completed,
    ),
    Scenario(
        "batches-held",
        "The partner corrects the file",
        create=sends({**FILES, ITEMS: ALL_BAD}),
        metric="BatchesHeld",
        shows=status_says("HELD"),
        others=sends({ITEMS: FILES[ITEMS]}),
        says="too many records",
        mended=completed,
    ),
    Scenario(
        "batches-held",
        "Records are missing",
        create=sends({**FILES, ITEMS: FILES[ITEMS].splitlines(keepends=True)[0]}),
        metric="BatchesHeld",
        shows=status_says("no_records"),
        others=sends({ITEMS: FILES[ITEMS]}),
        mended=completed,
    ),
    Scenario(
        "batches-held",
        "The files are right as they are",
        create=sends({**FILES, ITEMS: ALL_BAD}),
        metric="BatchesHeld",
        shows=status_says("HELD"),
        says="This delivers batch 20220131",
        mended=completed,
    ),
    Scenario(
        "files-missing",
        "Files have not arrived",
        create=two_files_are_due,
        metric="MissingFiles",
        shows=status_says("missing"),
        others=the_verdict_names_them_and_they_arrive,
        mended=completed,
    ),
    Scenario(
        "A batch waits",
        "A correction lacks a file",
        create=a_correction_lacks_a_file,
        others=sends({ITEMS: FILES[ITEMS]}),
        says="items_20220131.csv",
        mended=completed,
    ),
    Scenario(
        "no-batch-completed",
        "Files have other names",
        create=a_file_under_another_name,
        shows=status_says("1 file without a batch file's name", "make status"),
        others=sends({ITEMS: FILES[ITEMS]}),
        says="items_2022-01-31.csv",
        mended=completed_and_counted,
    ),
    Scenario(
        "A batch waits",
        "A set is complete but not noticed",
        create=sends(FILES, noticed=False),
        shows=status_says("not noticed yet"),
        others=sends({ITEMS: FILES[ITEMS]}),
        mended=completed,
    ),
    Scenario(
        "refused-share",
        create=many_records_are_bad,
        shows=more_is_refused_than_usual,
        others=sends({ITEMS: FILES[ITEMS]}),
        says="not_an_amount",
        mended=completed,
    ),
    Scenario(
        "ingest-dead-letters",
        create=lacks_a_setting("intake"),
        metric="ApproximateNumberOfMessagesVisible",
        shows=status_says("not noticed yet"),
        others=fixes,
        says="TABLE_NAME is not set",
        mended=completed,
    ),
    Scenario(
        "ingest-age",
        create=intake_fails_for_a_while,
        shows=status_says("not noticed yet"),
        others=fixes,
        says="TABLE_NAME is not set",
        mended=completed,
    ),
    Scenario(
        "output-dead-letters",
        create=consumers_fail,
        metric="ApproximateNumberOfMessagesVisible",
        mended=completed,
    ),
    Scenario(
        "output-age",
        create=nobody_consumes,
        shows=messages_wait,
        others=looks_once_more,
        says="c-5",
        mended=completed_without_a_dead_letter,
    ),
    Scenario(
        "publish-dead-letters",
        "They are in the dead-letter queue",
        create=lacks_a_setting("publish", lambda world: world.platform.give_up()),
        metric="ApproximateNumberOfMessagesVisible",
        others=fixes,
        says="publish could not send these changes",
        mended=completed,
    ),
    Scenario(
        "publish-dead-letters-lost",
        "They have expired or were lost",
        create=lacks_a_setting("publish", lambda world: world.platform.lose()),
        metric="DestinationDeliveryFailures",
        others=fixes,
        says="6 messages of batch 20220131 sent again",
        mended=completed,
    ),
    Scenario(
        "publish-dead-letters",
        "One fails each time",
        create=a_dead_letter_that_fails,
        metric="ApproximateNumberOfMessagesVisible",
        says='{"not": "a change"}',
        mended=completed,
    ),
    Scenario(
        "publish-iterator-age",
        create=lacks_a_setting("publish"),
        shows=changes_wait,
        others=fixes,
        says="TABLE_NAME is not set",
        mended=completed,
    ),
    Scenario(
        "*-events-dropped",
        create=ends("ABORTED", notice=False),
        shows=status_says("RUNNING", "make status"),
        mended=completed,
    ),
    Scenario(
        "runs-closed-late",
        "Any other cause",
        create=the_check_closes_a_run_late,
        metric="RunsClosedLate",
        shows=status_says("it was stopped"),
        says="the event about its end was lost",
        mended=completed,
    ),
    Scenario(
        "table-throttled-*",
        create=the_table_throttles_once,
        mended=completed,
    ),
    Scenario(
        "A partner or a consumer asks",
        "Why is this customer's total so low?",
        create=sends({**FILES, ITEMS: SOME_BAD}),
        shows=status_says("3 of 26 records refused"),
        says="not_an_amount",
        mended=the_report_is_written,
    ),
    Scenario(
        "A partner or a consumer asks",
        "Run the day again",
        create=sends(FILES),
        shows=status_says("COMPLETED"),
        mended=nothing_is_sent_again,
    ),
]


@pytest.fixture
def pipeline(stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    with world(stack, run, monkeypatch, tmp_path) as deployed:
        yield deployed


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_following_the_row_mends_the_situation(scenario: Scenario[World], pipeline: World) -> None:
    scenario.act_out(pipeline)


@pytest.mark.slow
def test_the_commands_with_which_the_runbook_begins_can_be_typed(pipeline: World) -> None:
    sends({**FILES, ITEMS: SOME_BAD})(pipeline)

    for command in rows.first_commands():
        pipeline.type(command)

    assert "Target: prod (AWS, eu-west-1)" in pipeline.printed
    assert "set transformed" in pipeline.printed
