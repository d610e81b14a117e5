"""The rows of docs/runbook.md that an AWS in memory can act out, one scenario each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from faults import test_faults_in_memory as example
from faults.injection import Fault, Injector
from pipeline.handlers import finalize, intake
from pipeline.stages import failures
from support import load_event

from scripts.tests.runbook import rows
from scripts.tests.runbook.in_memory import DAY, World, world
from scripts.tests.runbook.scenario import Scenario
from scripts.tests.support import Run, Stack

CUSTOMERS, ORDERS, ITEMS = (f"{kind}_{DAY}.csv" for kind in ("customers", "orders", "items"))
FILES = {**example.FILES, ITEMS: example.ITEMS.replace(b"o-8,", b"o-2,")}
"""A day without any error."""
EVERYBODY = {f"c-{number}" for number in range(6)}
SOME_BAD = FILES[ITEMS].replace(b",1,1", b",1,EUR 1")
ALL_BAD = FILES[ITEMS].replace(b".25", b".2.5")
Act = Callable[[World], None]


def sends(files: dict[str, bytes], *, noticed: bool = True) -> Act:
    """The partner sends files, and the pipeline does what it can."""

    def act(world: World) -> None:
        world.upload(files, noticed=noticed)
        world.platform.work()

    return act


def lacks_a_setting(function: str, then: Act = lambda _: None) -> Act:
    """A function fails while the partner sends a day."""

    def act(world: World) -> None:
        world.platform.broken.add(function)
        sends(FILES)(world)
        then(world)

    return act


def fixes(world: World) -> None:
    """The operator sets the function's variable again."""
    world.platform.broken.clear()


def ends(status: str, *, notice: bool = True) -> Act:
    """A run is stopped, or lasts too long."""

    def act(world: World) -> None:
        world.upload(FILES)
        world.platform.end(status, notice=notice)

    return act


def status_says(text: str, command: str = "make status BATCH=…") -> Act:
    """`make status` shows the situation."""

    def act(world: World) -> None:
        assert text in world.type(command)

    return act


def completed(world: World) -> None:
    """The day is complete, and consumers know each customer."""
    assert world.sent == EVERYBODY
    assert world.state == "COMPLETED"
    assert not any(world.stack.waiting(queue) for queue in ("ingest_dead_letter", "publish_dead_letter"))


# --- situations that need more than one sentence -------------------------------------------------------------------


def two_files_are_due(world: World) -> None:
    sends({CUSTOMERS: FILES[CUSTOMERS]})(world)
    world.platform.invoke("intake", intake.handler, load_event("scheduled"))


def the_verdict_names_them_and_they_arrive(world: World) -> None:
    verdict = world.stack.bucket.get_json(f"feedback/{DAY}/verdict.json")
    assert verdict["state"] == "WAITING"
    assert [name for name, file in verdict["files"].items() if not file["arrived"]] == ["orders", "items"]
    sends({name: FILES[name] for name in (ORDERS, ITEMS)})(world)


def a_correction_lacks_a_file(world: World) -> None:
    sends(FILES)(world)
    world.stack.client("s3").delete_object(Bucket=world.stack.bucket.name, Key=f"incoming/{ITEMS}")
    sends({ORDERS: FILES[ORDERS] + b"\n"})(world)


def a_file_under_another_name(world: World) -> None:
    named = {ITEMS: "items_2022-01-31.csv"}
    sends({named.get(name, name): content for name, content in FILES.items()})(world)
    assert not world.platform.metrics["BatchesCompleted"]


def completed_and_counted(world: World) -> None:
    completed(world)
    assert world.platform.metrics["BatchesCompleted"] == 1


def many_records_are_bad(world: World) -> None:
    folder = Path(world.values["DIR"])
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    sends({**FILES, ITEMS: SOME_BAD})(world)


def more_is_refused_than_usual(world: World) -> None:
    counted = world.platform.metrics
    assert 100 * counted["RecordsRefused"] / counted["RecordsRead"] > 10, (
        "twice what the alarm refused-share needs by default"
    )


def the_check_closes_a_run_late(world: World) -> None:
    ends("ABORTED", notice=False)(world)
    with pytest.MonkeyPatch.context() as environment:
        environment.setattr(failures, "GRACE", timedelta(0))
        world.platform.invoke("finalize", finalize.handler, load_event("scheduled"))


def intake_fails_for_a_while(world: World) -> None:
    world.platform.broken.add("intake")
    world.upload(FILES)
    world.platform.take_events()


def consumers_fail(world: World) -> None:
    """They receive each message without deleting it, until SQS moves it."""
    world.stack.limit_receives(2)
    sends(FILES)(world)
    sqs, url = world.stack.client("sqs"), world.stack.url("output")
    while sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0).get("Messages"):
        pass


def nobody_consumes(world: World) -> None:
    world.stack.limit_receives(5)
    sends(FILES)(world)


def messages_wait(world: World) -> None:
    assert world.stack.visible("output") == len(EVERYBODY)


def changes_wait(world: World) -> None:
    assert world.platform.changes_waiting() >= len(EVERYBODY)


def looks_once_more(world: World) -> None:
    assert "Do not look again" not in world.command_line("messages").stderr


def completed_without_a_dead_letter(world: World) -> None:
    completed(world)
    assert world.stack.waiting("output_dead_letter") == 0


def a_dead_letter_that_fails(world: World) -> None:
    sends(FILES)(world)
    world.stack.send({"not": "a change"}, queue="publish_dead_letter")
    (message,) = json.loads(world.command_line("redrive", "--list", "--json").stdout)
    world.values["ID"] = message["id"]


def the_table_throttles_once(world: World) -> None:
    injector = Injector(lambda: world.platform.stage, Fault("deliver", 3, "throttle"))
    sends(FILES)(world)
    assert injector.injected == 1
    assert injector.calls["deliver"][2] == "BatchWriteItem"


def the_report_is_written(world: World) -> None:
    assert "reconcil" in (world.stack.target.folder / f"report_{DAY}.html").read_text()


def nothing_is_sent_again(world: World) -> None:
    completed(world)
    assert len(world.platform.bodies) == len(EVERYBODY)


def row(name: str, case: str = "", *, mended: Act = completed, **facts: Any) -> Scenario[World]:
    """A scenario after which, if nothing else is said, the day is complete and consumers know each customer."""
    return Scenario(name, case, mended=mended, **facts)


# --- the rows ------------------------------------------------------------------------------------------------------

SCENARIOS: list[Scenario[World]] = [
    row(
        "runs-failed",
        "A file can't be used",
        create=sends({**FILES, ORDERS: b"<html></html>"}),
        metric="ExecutionsFailed",
        shows=status_says(f"{ORDERS}: html_file"),
        others=sends({ORDERS: FILES[ORDERS]}),
        says="the file is a web page",
    ),
    row(
        "runs-failed",
        "Any other cause",
        create=lacks_a_setting("deliver"),
        metric="ExecutionsFailed",
        shows=status_says("SettingsError"),
        others=fixes,
        says="TABLE_NAME is not set",
    ),
    row(
        "runs-timed-out",
        "Any other cause",
        create=ends("TIMED_OUT"),
        metric="ExecutionsTimedOut",
        shows=status_says("it took longer than a run may"),
    ),
    row("runs-stopped", create=ends("ABORTED"), metric="ExecutionsAborted", shows=status_says("it was stopped")),
    row(
        "batches-held",
        "The partner corrects the file",
        create=sends({**FILES, ITEMS: ALL_BAD}),
        metric="BatchesHeld",
        shows=status_says("HELD"),
        others=sends({ITEMS: FILES[ITEMS]}),
        says="too many records",
    ),
    row(
        "batches-held",
        "Records are missing",
        create=sends({**FILES, ITEMS: FILES[ITEMS].splitlines(keepends=True)[0]}),
        metric="BatchesHeld",
        shows=status_says("no_records"),
        others=sends({ITEMS: FILES[ITEMS]}),
    ),
    row(
        "batches-held",
        "The files are right as they are",
        create=sends({**FILES, ITEMS: ALL_BAD}),
        metric="BatchesHeld",
        shows=status_says("HELD"),
        says="This delivers batch 20220131",
    ),
    row(
        "files-missing",
        "Files have not arrived",
        create=two_files_are_due,
        metric="MissingFiles",
        shows=status_says("missing"),
        others=the_verdict_names_them_and_they_arrive,
    ),
    row(
        "A batch waits",
        "A correction lacks a file",
        create=a_correction_lacks_a_file,
        others=sends({ITEMS: FILES[ITEMS]}),
        says="items_20220131.csv",
    ),
    row(
        "no-batch-completed",
        "Files have other names",
        create=a_file_under_another_name,
        shows=status_says("1 file without a batch file's name", "make status"),
        others=sends({ITEMS: FILES[ITEMS]}),
        says="items_2022-01-31.csv",
        mended=completed_and_counted,
    ),
    row(
        "A batch waits",
        "A set is complete but not noticed",
        create=sends(FILES, noticed=False),
        shows=status_says("not noticed yet"),
        others=sends({ITEMS: FILES[ITEMS]}),
    ),
    row(
        "refused-share",
        create=many_records_are_bad,
        shows=more_is_refused_than_usual,
        others=sends({ITEMS: FILES[ITEMS]}),
        says="not_an_amount",
    ),
    row(
        "ingest-dead-letters",
        create=lacks_a_setting("intake"),
        metric="ApproximateNumberOfMessagesVisible",
        shows=status_says("not noticed yet"),
        others=fixes,
        says="TABLE_NAME is not set",
    ),
    row(
        "ingest-age",
        create=intake_fails_for_a_while,
        shows=status_says("not noticed yet"),
        others=fixes,
        says="TABLE_NAME is not set",
    ),
    row("output-dead-letters", create=consumers_fail, metric="ApproximateNumberOfMessagesVisible"),
    row(
        "output-age",
        create=nobody_consumes,
        shows=messages_wait,
        others=looks_once_more,
        says="c-5",
        mended=completed_without_a_dead_letter,
    ),
    row(
        "publish-dead-letters",
        "They are in the dead-letter queue",
        create=lacks_a_setting("publish", lambda world: world.platform.give_up()),
        metric="ApproximateNumberOfMessagesVisible",
        others=fixes,
        says="publish could not send these changes",
    ),
    row(
        "publish-dead-letters-lost",
        "They have expired or were lost",
        create=lacks_a_setting("publish", lambda world: world.platform.lose()),
        metric="DestinationDeliveryFailures",
        others=fixes,
        says="6 messages of batch 20220131 sent again",
    ),
    row(
        "publish-dead-letters",
        "One fails each time",
        create=a_dead_letter_that_fails,
        metric="ApproximateNumberOfMessagesVisible",
        says='{"not": "a change"}',
    ),
    row(
        "publish-iterator-age",
        create=lacks_a_setting("publish"),
        shows=changes_wait,
        others=fixes,
        says="TABLE_NAME is not set",
    ),
    row("*-events-dropped", create=ends("ABORTED", notice=False), shows=status_says("RUNNING", "make status")),
    row(
        "runs-closed-late",
        "Any other cause",
        create=the_check_closes_a_run_late,
        metric="RunsClosedLate",
        shows=status_says("it was stopped"),
        says="the event about its end was lost",
    ),
    row("table-throttled-*", create=the_table_throttles_once),
    row(
        "A partner or a consumer asks",
        "Why is this customer's total so low?",
        create=sends({**FILES, ITEMS: SOME_BAD}),
        shows=status_says("3 of 26 records refused"),
        says="not_an_amount",
        mended=the_report_is_written,
    ),
    row(
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
