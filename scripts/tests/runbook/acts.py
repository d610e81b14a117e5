"""What creates, shows and mends the situations of the runbook in memory: the sentences of its scenarios."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from faults import test_faults_in_memory as example
from faults.injection import Fault, Injector
from pipeline.handlers import finalize, intake
from pipeline.stages import failures
from support import load_event

from scripts.tests.runbook.in_memory import DAY, World

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
    (message,) = json.loads(world.command_line("dead-letters", "--json").stdout)
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
