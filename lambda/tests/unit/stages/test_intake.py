"""intake: files in any order and events of any form and number start exactly one run for their set."""

from __future__ import annotations

import functools
import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from contracts import check_verdict
from pipeline import ledger
from pipeline.aws import backoff
from pipeline.aws.backoff import Deadline
from pipeline.aws.workflow import RunStatus, Workflow
from pipeline.errors import EventError, LedgerConflictError
from pipeline.handlers import finalize, intake
from pipeline.ledger import BatchState
from pipeline.model.data_model import MODEL
from pipeline.model.file_set import set_version
from pipeline.settings import IntakeSettings, read_settings
from pipeline.stages import intake as intake_stage
from pipeline.stages.intake import Intake, start_run
from support import BUCKET, Cloud, Context, load_event, queued, s3_event


def errors(cloud: Cloud) -> dict[str, dict[str, Any]]:
    """The errors in the table by sort key, in DynamoDB JSON."""
    return {sk: item for (_, sk), item in cloud.items().items() if sk.startswith("error#")}


def arrive(context: Context, kind: str, batch: str = "20220131") -> Any:
    return intake.handler(queued(s3_event(f"incoming/{kind}_{batch}.csv")), context)


def verdict(cloud: Cloud) -> dict[str, Any]:
    found: dict[str, Any] = cloud.bucket.get_json("feedback/20220131/verdict.json")
    return found


@pytest.mark.parametrize("order", list(itertools.permutations(MODEL.kinds)))
def test_the_last_file_of_a_day_starts_one_run_in_any_order_of_arrival(
    cloud: Cloud, context: Context, order: tuple[str, ...]
) -> None:
    for place, kind in enumerate(order):
        assert cloud.executions() == {}
        cloud.upload(f"{kind}_20220131.csv", kind.encode())
        assert arrive(context, kind) == {"batchItemFailures": []}
        assert set(cloud.entry().missing) == set(order[place + 1 :])

    entry = cloud.entry()
    assert entry.state is BatchState.QUEUED
    assert list(cloud.executions()) == [f"20220131-{entry.version}"] == [entry.execution]


def test_the_same_event_again_and_the_same_files_again_start_nothing_new(cloud: Cloud, context: Context) -> None:
    for _ in range(2):
        cloud.upload_day()
        for kind in MODEL.kinds:
            arrive(context, kind)
            arrive(context, kind)

    assert len(cloud.executions()) == 1


def test_a_corrected_file_starts_a_new_version_and_going_back_starts_a_second_attempt_of_the_first(
    cloud: Cloud, context: Context
) -> None:
    names = []
    for suffix in ("", " corrected", ""):
        cloud.upload_day(suffix=suffix)
        arrive(context, "items")
        names.append(cloud.entry().execution)

    assert names[2] == f"{names[0]}-2"
    assert set(cloud.executions()) == set(names)


def test_the_younger_of_a_plain_and_a_compressed_file_counts(cloud: Cloud, context: Context) -> None:
    cloud.upload_day()
    cloud.set_age("items_20220131.csv", 1)
    cloud.upload("items_20220131.csv.gz", b"compressed")
    arrive(context, "items")

    (run,) = cloud.executions().values()
    assert run["files"]["items"]["key"] == "incoming/items_20220131.csv.gz"


def test_of_two_files_that_were_stored_in_the_same_second_neither_counts_in_silence(
    cloud: Cloud, context: Context
) -> None:
    cloud.upload_day()
    for name in ("items_20220131.csv", "items_20220131.csv.gz"):
        cloud.upload(name, name.encode())
        cloud.set_age(name, 5)
    arrive(context, "items")

    assert cloud.executions() == {}
    (error,) = errors(cloud).values()
    assert error["message"]["S"].startswith(
        "incoming/items_20220131.csv and incoming/items_20220131.csv.gz were stored in the same second"
    )
    assert verdict(cloud)["state"] == "WAITING"

    cloud.upload("items_20220131.csv", b"sent again")
    arrive(context, "items")
    (run,) = cloud.executions().values()
    assert run["files"]["items"]["key"] == "incoming/items_20220131.csv"


def test_a_correction_of_a_set_of_which_a_file_is_gone_is_reported_and_waits(cloud: Cloud, context: Context) -> None:
    cloud.upload_day()
    arrive(context, "items")
    (run,) = cloud.executions()
    cloud.table.update_ledger("20220131", functools.partial(ledger.begin, execution=run, now=datetime.now(UTC)))
    finalize.handler({"batch": "20220131", "execution": run, "outcome": {"state": "READY"}}, context)
    cloud.s3.delete_object(Bucket=BUCKET, Key="incoming/customers_20220131.csv")
    cloud.upload("items_20220131.csv", b"corrected")
    for _ in range(2):
        arrive(context, "items")

    ((key, error),) = errors(cloud).items()
    assert key == "error#customers#0000000000#missing_file"
    assert error["message"]["S"].startswith("customers_20220131.csv is gone, so the correction of batch 20220131 waits")
    found = verdict(cloud)
    assert (found["state"], found["files"]["customers"]["arrived"]) == ("WAITING", False)
    assert found["what_to_do"].startswith("Send customers_20220131.csv: ")
    assert found["what_to_do"].endswith("Until then, what was delivered before stays.")
    assert (cloud.entry().state, set(cloud.executions())) == (BatchState.COMPLETED, {run})

    cloud.upload("customers_20220131.csv", b"customers")
    arrive(context, "customers")
    assert len(cloud.executions()) == 2
    assert (cloud.entry().state, cloud.entry().correction) == (BatchState.QUEUED, {})


def test_a_file_of_0_bytes_is_not_there_until_its_day_is_due(cloud: Cloud, context: Context) -> None:
    now = datetime.now(UTC)
    batch = now.strftime("%Y%m%d")
    cloud.upload_day(batch)
    cloud.upload(f"items_{batch}.csv", b"")
    arrive(context, "items", batch)
    assert (cloud.executions(), errors(cloud)) == ({}, {})

    intake.handler({**load_event("scheduled"), "time": (now + timedelta(days=1)).isoformat()}, context)
    (run,) = cloud.executions().values()
    assert run["files"]["items"]["size"] == 0
    cloud.upload(f"orders_{batch}.csv", b"")
    arrive(context, "orders", batch)
    assert len(cloud.executions()) == 2, "a correction of 0 bytes, after the check"


@pytest.mark.parametrize("name", ["s3_put", "event_bridge_object_created"])
def test_events_directly_from_s3_or_event_bridge_are_accepted(cloud: Cloud, context: Context, name: str) -> None:
    cloud.upload_day()
    assert intake.handler(load_event(name), context) == {}
    assert len(cloud.executions()) == 1


@pytest.mark.parametrize(
    "event",
    [
        load_event("s3_test_event"),
        s3_event("incoming/2022/", size=0),
        s3_event("work/20220131/customers_20220131.csv"),
        {**load_event("event_bridge_object_created"), "detail-type": "Object Deleted"},
        {"Records": [{**s3_event("incoming/items_20220131.csv")["Records"][0], "eventName": "ObjectRemoved:Delete"}]},
    ],
    ids=["test event", "folder", "own work file", "EventBridge deletion", "S3 deletion"],
)
def test_events_other_than_a_stored_file_are_ignored(cloud: Cloud, context: Context, event: dict[str, Any]) -> None:
    assert intake.handler(queued(event), context) == {"batchItemFailures": []}
    assert (cloud.items(), cloud.executions()) == ({}, {})


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("incoming/customers_20220230.csv", "customers_20220230.csv"),
        ("incoming/100%25+%2B1.csv", "100% +1.csv"),
        ("incoming/K%C3%A4ufer.csv", "Käufer.csv"),
        ("incoming/sub/customers_20220131.csv", "sub/customers_20220131.csv"),
        ("incoming/customers_20220131.csv/", "customers_20220131.csv/"),
    ],
)
def test_a_file_of_a_foreign_name_is_reported_once_by_its_name(
    cloud: Cloud, context: Context, key: str, name: str
) -> None:
    cloud.upload(unquote_plus(key), b"x", prefix="")
    for _ in range(2):
        assert intake.handler(queued(s3_event(key)), context) == {"batchItemFailures": []}

    ((sort_key, item),) = errors(cloud).items()
    assert item["file"]["S"] == name
    assert name in item["message"]["S"]
    assert item["batch"] == {"NULL": True}
    for place in ("unknown/verdict.json", f"unknown/{sort_key.rpartition('#')[2]}/verdict.json"):
        found = cloud.bucket.get_json(f"feedback/{place}")
        check_verdict(found)
        assert found["what_to_do"] == item["message"]["S"], place


def test_event_bridge_keys_are_not_url_decoded_and_name_foreign_files(cloud: Cloud, context: Context) -> None:
    event = load_event("event_bridge_object_created")
    event["detail"]["object"]["key"] = "incoming/a+b%20c.csv"
    cloud.upload("a+b%20c.csv", b"x")
    intake.handler(event, context)
    (item,) = errors(cloud).values()
    assert item["file"]["S"] == "a+b%20c.csv"


def test_objects_of_foreign_names_are_reported_one_by_one_whatever_their_content(
    cloud: Cloud, context: Context
) -> None:
    for key, etag in (("incoming/a.pdf", "e"), ("incoming/b.pdf", "e"), ("incoming/a.pdf", "f")):
        cloud.upload(key, b"x", prefix="")
        intake.handler(queued(s3_event(key, eTag=etag)), context)
    intake.handler(queued(s3_event("incoming/does-not-exist.pdf")), context)

    assert sorted(item["file"]["S"] for item in errors(cloud).values()) == ["a.pdf", "a.pdf", "b.pdf"]


def test_only_so_many_foreign_names_a_day_make_a_message_and_each_expires(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("MAX_ERROR_MESSAGES", "2")
    for name in ("a.pdf", "b.pdf", "a.pdf", "c.pdf"):
        cloud.upload(name, b"x")
        intake.handler(queued(s3_event(f"incoming/{name}")), context)

    assert sorted(item["file"]["S"] for item in errors(cloud).values()) == ["a.pdf", "b.pdf"]
    in_a_week = datetime.now(UTC).timestamp() + 7 * 86_400
    assert all(int(item["expires_at"]["N"]) > in_a_week for item in cloud.items().values())


@pytest.mark.parametrize(("setting", "last", "too_far"), [("DAYS_BACK", -30, -31), ("DAYS_AHEAD", 30, 31)])
def test_a_day_too_far_in_the_past_or_in_the_future_is_a_foreign_name(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch, setting: str, last: int, too_far: int
) -> None:
    environment.setenv(setting, "30")
    known, foreign = ((datetime.now(UTC) + timedelta(days=days)).strftime("%Y%m%d") for days in (last, too_far))
    for day in (known, foreign):
        cloud.upload_day(day)
        arrive(context, "items", day)

    assert [item["file"]["S"] for item in errors(cloud).values()] == [f"items_{foreign}.csv"]
    assert [name[:8] for name in cloud.executions()] == [known]


@pytest.mark.parametrize(
    ("setting", "runs", "reported"),
    [
        ("accepted", [set(), {"control"}], []),
        ("required", [{"control"}], []),
        ("off", [set()], ["control_20220131.csv"]),
    ],
)
def test_a_control_file_makes_a_new_version_or_is_waited_for_or_has_a_foreign_name(
    cloud: Cloud,
    context: Context,
    environment: pytest.MonkeyPatch,
    setting: str,
    runs: list[set[str]],
    reported: list[str],
) -> None:
    environment.setenv("CONTROL_FILE", setting)
    cloud.upload_day()
    arrive(context, "items")
    assert cloud.entry().missing == (["control"] if setting == "required" else [])
    cloud.upload("control_20220131.csv", b"file,records\nitems_20220131.csv,1\n")
    for _ in range(2):
        arrive(context, "control")

    found = sorted((set(run["files"]) - set(MODEL.kinds) for run in cloud.executions().values()), key=len)
    assert found == runs
    assert [item["file"]["S"] for item in errors(cloud).values()] == reported


@pytest.mark.parametrize(
    "body",
    [
        "hello",
        "[]",
        "{}",
        '{"Records": [{"eventSource": "aws:sns"}]}',
        '{"source": "aws.s3"}',
        json.dumps({**load_event("event_bridge_object_created"), "detail-type": "AWS API Call via CloudTrail"}),
        json.dumps({"Records": [{**s3_event("incoming/a")["Records"][0], "eventName": "s3:ObjectCreated:Put"}]}),
    ],
)
def test_an_unknown_message_fails_so_that_it_ends_in_the_dead_letter_queue(
    cloud: Cloud, context: Context, body: str
) -> None:
    with pytest.raises(BatchProcessingError):
        intake.handler(queued(body), context)


def test_one_bad_message_does_not_block_the_others_of_its_batch(cloud: Cloud, context: Context) -> None:
    cloud.upload_day()
    reply = intake.handler(queued("hello", s3_event("incoming/items_20220131.csv")), context)
    assert reply == {"batchItemFailures": [{"itemIdentifier": "message-0"}]}
    assert len(cloud.executions()) == 1


def test_an_event_of_another_bucket_and_a_check_without_a_time_are_refused(cloud: Cloud, context: Context) -> None:
    event = load_event("s3_put")
    event["Records"][0]["s3"]["bucket"]["name"] = "other"
    with pytest.raises(EventError, match="other"):
        intake.handler(event, context)
    with pytest.raises(EventError, match="without its time"):
        intake.handler({"detail-type": "Scheduled Event"}, context)


def test_files_that_are_due_and_missing_are_reported_once_each(cloud: Cloud, context: Context) -> None:
    cloud.upload("orders_20220131.csv")
    for _ in range(2):
        assert intake.handler(load_event("scheduled"), context) == {}

    assert errors(cloud).keys() == {f"error#{kind}#0000000000#missing_file" for kind in ("customers", "items")}
    assert all("has not arrived" in item["message"]["S"] for item in errors(cloud).values())


@pytest.mark.parametrize(("due_days", "batch"), [("1", "20220131"), ("0", "20220201")])
def test_a_complete_set_whose_event_was_lost_is_started_by_the_check_so_many_days_later(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch, due_days: str, batch: str
) -> None:
    environment.setenv("DUE_DAYS", due_days)
    cloud.upload_day(batch)
    intake.handler(load_event("scheduled"), context)
    assert [name[:8] for name in cloud.executions()] == [batch]
    assert errors(cloud) == {}


def test_the_same_files_after_a_purge_run_again_under_the_next_name(cloud: Cloud, context: Context) -> None:
    cloud.upload_day()
    arrive(context, "items")
    (first,) = cloud.executions()
    cloud.stop(first)
    for pk, sk in cloud.items():
        cloud.dynamodb.delete_item(TableName=cloud.table.name, Key={"pk": {"S": pk}, "sk": {"S": sk}})

    cloud.upload_day()
    arrive(context, "items")
    arrive(context, "items")

    assert set(cloud.executions()) == {first, f"{first}-2"}
    assert cloud.entry().execution == f"{first}-2"


def test_a_run_that_ended_between_the_look_at_the_ledger_and_its_start_is_not_started_again(
    cloud: Cloud, context: Context
) -> None:
    cloud.upload_day()
    arrive(context, "items")
    seen = cloud.entry()
    (name,) = cloud.executions()
    cloud.stop(name)
    cloud.table.update_ledger("20220131", lambda _: replace(seen, state=BatchState.COMPLETED))

    assert not start_run(cloud.table, cloud.workflow, seen)
    assert set(cloud.executions()) == {name}


def test_a_run_that_step_functions_does_not_show_yet_is_not_started_under_another_name(
    cloud: Cloud, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DescribeExecution is eventually consistent: right after a start by somebody else the run may be unknown."""
    cloud.upload_day()
    arrive(context, "items")
    seen = cloud.entry()
    monkeypatch.setattr(Workflow, "start", lambda *_: False)
    monkeypatch.setattr(Workflow, "status", lambda *_: RunStatus())

    assert not start_run(cloud.table, cloud.workflow, seen)
    assert cloud.entry().execution == seen.execution


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


def weather(cloud: Cloud, looks: int, deadline: float, *, same: bool = False) -> None:
    """Let a complete day arrive during a storm."""
    cloud.upload_day()
    storm: Any = Storm(cloud, looks, same=same)
    stage = Intake(storm, cloud.table, cloud.workflow, read_settings(IntakeSettings), Deadline.after(deadline))
    stage.receive(s3_event("incoming/items_20220131.csv"))


def test_files_that_keep_changing_are_waited_for_in_the_same_invocation(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_stage, "attempts", functools.partial(backoff.attempts, sleep=lambda _: None))
    weather(cloud, looks=9, deadline=50)

    entry = cloud.entry()
    assert entry.version == set_version(cloud.bucket.find_set("20220131"))
    assert str(entry.execution) in cloud.executions()


def test_files_that_change_until_the_time_is_up_fail_the_invocation_so_that_the_event_is_retried(cloud: Cloud) -> None:
    with pytest.raises(LedgerConflictError, match="the files of batch 20220131 kept changing"):
        weather(cloud, looks=1_000, deadline=0)
    assert cloud.executions() == {}


def test_files_with_the_same_content_are_not_waited_for_and_change_nothing(cloud: Cloud) -> None:
    weather(cloud, looks=1_000, deadline=0, same=True)
    before = cloud.entry()
    weather(cloud, looks=1_000, deadline=0, same=True)
    assert len(cloud.executions()) == 1
    assert cloud.entry() == before
