"""intake: files in any order and events of any form and number start exactly one run for their set."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from contracts import check_verdict
from pipeline import ledger
from pipeline.errors import EventError, SettingsError
from pipeline.handlers import finalize, intake
from pipeline.ledger import BatchState
from pipeline.model.data_model import MODEL
from pipeline.settings import IntakeSettings, read_settings
from pipeline.stages.intake import Intake
from support import BUCKET, Cloud, Context, load_event, queued, s3_event

KINDS = ("customers", "orders", "items")


def reported(cloud: Cloud) -> list[dict[str, Any]]:
    """The errors in the table, in DynamoDB JSON."""
    return [item for (_, sk), item in cloud.items().items() if sk.startswith("error#")]


def arrive(context: Context, kind: str, batch: str = "20220131") -> Any:
    return intake.handler(queued(s3_event(f"incoming/{kind}_{batch}.csv")), context)


@pytest.mark.parametrize("order", list(itertools.permutations(MODEL.kinds)))
def test_the_last_file_of_a_day_starts_one_run_in_any_order_of_arrival(
    cloud: Cloud, context: Context, order: tuple[str, ...]
) -> None:
    for kind in order:
        assert cloud.executions() == {}
        cloud.upload(f"{kind}_20220131.csv", kind.encode())
        assert arrive(context, kind) == {"batchItemFailures": []}

    entry = cloud.table.get_ledger("20220131")
    assert entry is not None
    assert entry.state is BatchState.QUEUED
    assert list(cloud.executions()) == [f"20220131-{entry.version}"] == [entry.execution]


def test_an_incomplete_set_waits_and_the_ledger_shows_what_is_missing(cloud: Cloud, context: Context) -> None:
    cloud.upload("customers_20220131.csv")
    cloud.upload("items_20220131.csv")
    arrive(context, "customers")
    arrive(context, "items")

    entry = cloud.table.get_ledger("20220131")
    assert entry is not None
    assert (entry.state, entry.missing) == (BatchState.WAITING, ["orders"])
    assert cloud.executions() == {}


def test_the_run_gets_the_exact_object_versions_of_its_set(cloud: Cloud, context: Context) -> None:
    cloud.upload_day()
    arrive(context, "orders")

    (run,) = cloud.executions().values()
    heads = {kind: cloud.s3.head_object(Bucket=BUCKET, Key=f"incoming/{kind}_20220131.csv") for kind in MODEL.kinds}
    assert run["batch"] == "20220131"
    assert {kind: file["version_id"] for kind, file in run["files"].items()} == {
        kind: head["VersionId"] for kind, head in heads.items()
    }
    assert {kind: file["etag"] for kind, file in run["files"].items()} == {
        kind: head["ETag"].strip('"') for kind, head in heads.items()
    }


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
        entry = cloud.table.get_ledger("20220131")
        assert entry is not None
        names.append(entry.execution)

    assert names[2] == f"{names[0]}-2"
    assert set(cloud.executions()) == set(names)


def test_the_younger_of_a_plain_and_a_compressed_file_counts(cloud: Cloud, context: Context) -> None:
    cloud.upload_day()
    cloud.set_age("items_20220131.csv", 1)
    cloud.upload("items_20220131.csv.gz", b"compressed")
    arrive(context, "items")

    (run,) = cloud.executions().values()
    assert run["files"]["items"]["key"] == "incoming/items_20220131.csv.gz"


def stored_in_the_same_second(cloud: Cloud) -> None:
    cloud.upload("items_20220131.csv", b"corrected")
    cloud.upload("items_20220131.csv.gz", b"older")
    for name in ("items_20220131.csv", "items_20220131.csv.gz"):
        cloud.set_age(name, 5)


def errors(cloud: Cloud) -> dict[str, str]:
    return {sk: item["message"]["S"] for (_, sk), item in cloud.items().items() if sk.startswith("error#")}


def verdict(cloud: Cloud) -> dict[str, Any]:
    found: dict[str, Any] = cloud.bucket.get_json("feedback/20220131/verdict.json")
    return found


def test_of_two_files_that_were_stored_in_the_same_second_neither_counts_in_silence(
    cloud: Cloud, context: Context
) -> None:
    cloud.upload_day()
    stored_in_the_same_second(cloud)
    for _ in range(2):
        arrive(context, "items")

    assert cloud.executions() == {}
    (message,) = errors(cloud).values()
    assert message.startswith(
        "incoming/items_20220131.csv and incoming/items_20220131.csv.gz were stored in the same second"
    )
    assert verdict(cloud)["state"] == "WAITING"

    cloud.upload("items_20220131.csv", b"corrected, sent again")
    arrive(context, "items")
    (run,) = cloud.executions().values()
    assert run["files"]["items"]["key"] == "incoming/items_20220131.csv"


def completed(cloud: Cloud, context: Context) -> str:
    """Let a day be delivered, and return its run."""
    cloud.upload_day()
    arrive(context, "items")
    (run,) = cloud.executions()
    now = datetime.now(UTC)
    cloud.table.update_ledger("20220131", lambda entry: ledger.begin(entry, run, now))
    finalize.handler({"batch": "20220131", "execution": run, "outcome": {"state": "READY"}}, context)
    return run


def test_a_correction_of_a_set_of_which_a_file_is_gone_is_reported_and_waits(cloud: Cloud, context: Context) -> None:
    run = completed(cloud, context)
    cloud.s3.delete_object(Bucket=BUCKET, Key="incoming/customers_20220131.csv")
    cloud.upload("items_20220131.csv", b"corrected")
    for _ in range(2):
        arrive(context, "items")

    (error,) = errors(cloud).items()
    assert error[0] == "error#customers#0000000000#missing_file"
    assert error[1].startswith("customers_20220131.csv is gone, so the correction of batch 20220131 waits")
    found = verdict(cloud)
    assert (found["state"], found["files"]["customers"]["arrived"]) == ("WAITING", False)
    assert found["what_to_do"].startswith("Send customers_20220131.csv: ")
    assert found["what_to_do"].endswith("Until then, what was delivered before stays.")
    entry = cloud.table.get_ledger("20220131")
    assert entry is not None
    assert (entry.state, entry.execution, set(cloud.executions())) == (BatchState.COMPLETED, run, {run})

    cloud.upload("customers_20220131.csv", b"customers")
    arrive(context, "customers")
    assert len(cloud.executions()) == 2
    entry = cloud.table.get_ledger("20220131")
    assert entry is not None
    assert (entry.state, entry.correction) == (BatchState.QUEUED, {})


def test_a_late_event_of_a_delivered_set_of_which_a_file_was_deleted_says_nothing(
    cloud: Cloud, context: Context
) -> None:
    completed(cloud, context)
    before = cloud.items(), verdict(cloud)
    cloud.s3.delete_object(Bucket=BUCKET, Key="incoming/customers_20220131.csv")
    arrive(context, "items")
    assert (cloud.items(), verdict(cloud)) == before


def test_a_file_of_0_bytes_is_not_there_until_its_day_is_due(cloud: Cloud, context: Context) -> None:
    batch = datetime.now(UTC).strftime("%Y%m%d")
    cloud.upload_day(batch)
    cloud.upload(f"items_{batch}.csv", b"")
    arrive(context, "items", batch)
    assert (cloud.executions(), errors(cloud)) == ({}, {})

    cloud.upload(f"items_{batch}.csv", b"content")
    arrive(context, "items", batch)
    assert len(cloud.executions()) == 1


def test_a_file_of_0_bytes_when_its_day_is_due_is_processed_as_it_is(cloud: Cloud, context: Context) -> None:
    now = datetime.now(UTC)
    batch = now.strftime("%Y%m%d")
    cloud.upload_day(batch)
    cloud.upload(f"items_{batch}.csv", b"")
    arrive(context, "items", batch)
    tomorrow = (now + timedelta(days=1)).isoformat()
    intake.handler({**load_event("scheduled"), "time": tomorrow}, context)

    (run,) = cloud.executions().values()
    assert run["files"]["items"]["size"] == 0
    cloud.upload(f"orders_{batch}.csv", b"")
    arrive(context, "orders", batch)
    assert len(cloud.executions()) == 2, "a correction of 0 bytes, after the check"


def test_an_older_set_seen_late_does_not_replace_a_newer_one(cloud: Cloud, context: Context) -> None:
    cloud.upload_day()
    old = cloud.bucket.find_set("20220131")
    cloud.upload_day(suffix=" corrected")
    arrive(context, "items")
    newer = cloud.table.get_ledger("20220131")

    looks = iter([old, old])

    class LateLook:
        """Sees the bucket as it was for the first two looks."""

        name = BUCKET

        def find_set(self, batch: str) -> Any:
            return next(looks, None) or cloud.bucket.find_set(batch)

    settings = read_settings(IntakeSettings)
    Intake(LateLook(), cloud.table, cloud.workflow, settings).receive(s3_event("incoming/items_20220131.csv"))  # type: ignore[arg-type]
    arrive(context, "items")

    entry = cloud.table.get_ledger("20220131")
    assert entry is not None
    assert newer is not None
    assert entry.version == newer.version


def test_after_a_crash_between_claim_and_start_the_next_delivery_starts_the_run(
    cloud: Cloud, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.upload_day()
    with monkeypatch.context() as broken:
        broken.setattr("pipeline.aws.workflow.Workflow.start", lambda *_: 1 / 0)
        with pytest.raises(BatchProcessingError):
            arrive(context, "items")
    assert cloud.executions() == {}

    arrive(context, "items")

    assert len(cloud.executions()) == 1


@pytest.mark.parametrize("name", ["s3_put", "event_bridge_object_created"])
def test_events_directly_from_s3_or_event_bridge_are_accepted(cloud: Cloud, context: Context, name: str) -> None:
    cloud.upload_day()
    assert intake.handler(load_event(name), context) == {}
    assert len(cloud.executions()) == 1


@pytest.mark.parametrize(
    "event",
    [
        load_event("s3_test_event"),
        s3_event("incoming/", size=0),
        s3_event("incoming/2022/", size=0),
        s3_event("work/20220131/customers_20220131.csv"),
        {**load_event("event_bridge_object_created"), "detail-type": "Object Deleted"},
        {"Records": [{**s3_event("incoming/items_20220131.csv")["Records"][0], "eventName": "ObjectRemoved:Delete"}]},
    ],
    ids=["test event", "folder", "subfolder", "own work file", "EventBridge deletion", "S3 deletion"],
)
def test_events_other_than_a_stored_file_are_ignored(cloud: Cloud, context: Context, event: dict[str, Any]) -> None:
    assert intake.handler(queued(event), context) == {"batchItemFailures": []}
    assert cloud.items() == {}
    assert cloud.executions() == {}


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("incoming/customers_20220230.csv", "customers_20220230.csv"),
        ("incoming/report+of+May.pdf", "report of May.pdf"),
        ("incoming/100%25+%2B1.csv", "100% +1.csv"),
        ("incoming/K%C3%A4ufer.csv", "Käufer.csv"),
        ("incoming/sub/customers_20220131.csv", "sub/customers_20220131.csv"),
        ("incoming/Customers_20220131.csv", "Customers_20220131.csv"),
        ("incoming/customers_20220131.csv/", "customers_20220131.csv/"),
        ("incoming/", "incoming/"),
    ],
)
def test_a_file_of_a_foreign_name_is_reported_once_by_its_name(
    cloud: Cloud, context: Context, key: str, name: str
) -> None:
    cloud.upload(unquote_plus(key), b"x", prefix="")
    for _ in range(2):
        assert intake.handler(queued(s3_event(key)), context) == {"batchItemFailures": []}

    (item,) = reported(cloud)
    assert item["file"]["S"] == name
    assert name in item["message"]["S"]
    assert item["batch"] == {"NULL": True}
    for verdict in ("unknown/verdict.json", f"unknown/{item['sk']['S'].rpartition('#')[2]}/verdict.json"):
        found = cloud.bucket.get_json(f"feedback/{verdict}")
        check_verdict(found)
        assert found["what_to_do"] == item["message"]["S"], verdict


def test_objects_of_foreign_names_are_reported_one_by_one_whatever_their_content(
    cloud: Cloud, context: Context
) -> None:
    for key, etag in (("incoming/a.pdf", "e"), ("incoming/b.pdf", "e"), ("incoming/a.pdf", "f")):
        cloud.upload(key, b"x", prefix="")
        intake.handler(queued(s3_event(key, eTag=etag)), context)

    assert sorted(item["file"]["S"] for item in reported(cloud)) == ["a.pdf", "a.pdf", "b.pdf"]


def test_an_event_about_a_foreign_object_that_does_not_exist_makes_no_message(cloud: Cloud, context: Context) -> None:
    intake.handler(queued(s3_event("incoming/a.pdf")), context)

    assert cloud.items() == {}


def test_only_so_many_foreign_names_a_day_make_a_message_and_each_expires(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("MAX_ERROR_MESSAGES", "2")
    for name in ("a.pdf", "b.pdf", "a.pdf", "c.pdf", "d.pdf"):
        cloud.upload(name, b"x")
        intake.handler(queued(s3_event(f"incoming/{name}")), context)

    assert sorted(item["file"]["S"] for item in reported(cloud)) == ["a.pdf", "b.pdf"]
    in_a_week = datetime.now(UTC).timestamp() + 7 * 86_400
    assert all(int(item["expires_at"]["N"]) > in_a_week for item in cloud.items().values())


def test_a_day_too_far_in_the_past_is_a_foreign_name(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("DAYS_BACK", "30")
    last, before = ((datetime.now(UTC) - timedelta(days=days)).strftime("%Y%m%d") for days in (30, 31))
    for day in (last, before):
        cloud.upload_day(day)
        intake.handler(queued(s3_event(f"incoming/items_{day}.csv")), context)

    assert [item["file"]["S"] for item in reported(cloud)] == [f"items_{before}.csv"]
    assert [name[:8] for name in cloud.executions()] == [last]


CONTROL = b"file,records\nitems_20220131.csv,1\n"


def test_a_control_file_belongs_to_the_set_and_a_later_one_starts_a_new_version(cloud: Cloud, context: Context) -> None:
    cloud.upload_day()
    arrive(context, "items")
    cloud.upload("control_20220131.csv", CONTROL)
    arrive(context, "control")
    arrive(context, "control")

    without, with_it = sorted(cloud.executions().values(), key=lambda run: len(run["files"]))
    assert without["version"] != with_it["version"]
    assert set(with_it["files"]) - set(without["files"]) == {"control"}


def test_a_set_waits_for_a_control_file_only_if_it_is_required(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("CONTROL_FILE", "required")
    cloud.upload_day()
    arrive(context, "items")
    entry = cloud.table.get_ledger("20220131")
    assert entry is not None
    assert entry.missing == ["control"]
    assert cloud.executions() == {}

    cloud.upload("control_20220131.csv", CONTROL)
    arrive(context, "control")

    (run,) = cloud.executions().values()
    assert "control" in run["files"]


def test_a_control_file_is_a_foreign_name_where_it_is_switched_off(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("CONTROL_FILE", "off")
    cloud.upload("control_20220131.csv", CONTROL)
    cloud.upload_day()
    arrive(context, "control")
    arrive(context, "items")

    (item,) = reported(cloud)
    assert item["file"]["S"] == "control_20220131.csv"
    (run,) = cloud.executions().values()
    assert "control" not in run["files"]


def test_event_bridge_keys_are_not_url_decoded(cloud: Cloud, context: Context) -> None:
    event = load_event("event_bridge_object_created")
    event["detail"]["object"]["key"] = "incoming/a+b%20c.csv"
    cloud.upload("a+b%20c.csv", b"x")
    intake.handler(event, context)
    (item,) = reported(cloud)
    assert item["file"]["S"] == "a+b%20c.csv"


def test_a_file_deleted_before_it_is_listed_leaves_the_set_incomplete(cloud: Cloud, context: Context) -> None:
    assert arrive(context, "items") == {"batchItemFailures": []}
    entry = cloud.table.get_ledger("20220131")
    assert entry is not None
    assert entry.missing == list(MODEL.kinds)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "[]",
        "null",
        "{}",
        '{"Records": 1}',
        '{"Records": [{"eventSource": "aws:sns"}]}',
        '{"source": "aws.s3"}',
        json.dumps({**load_event("event_bridge_object_created"), "detail-type": "AWS API Call via CloudTrail"}),
        json.dumps({"Records": [{**s3_event("incoming/a")["Records"][0], "eventName": "s3:ObjectCreated:Put"}]}),
        json.dumps({"Type": "Notification", "Message": json.dumps(s3_event("incoming/items_20220131.csv"))}),
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


def test_an_event_of_another_bucket_is_refused(cloud: Cloud, context: Context) -> None:
    event = load_event("s3_put")
    event["Records"][0]["s3"]["bucket"]["name"] = "other"
    with pytest.raises(EventError, match="other"):
        intake.handler(event, context)


def test_missing_settings_are_named_all_at_once(environment: pytest.MonkeyPatch, context: Context) -> None:
    for name in ("BUCKET_NAME", "TABLE_NAME", "STATE_MACHINE_ARN"):
        environment.delenv(name, raising=False)
    with pytest.raises(SettingsError, match=r"TABLE_NAME is not set; BUCKET_NAME is not set; STATE_MACHINE_ARN"):
        intake.handler({}, context)


def test_files_that_are_due_and_missing_are_reported_once_each(cloud: Cloud, context: Context) -> None:
    cloud.upload("orders_20220131.csv")
    for _ in range(2):
        assert intake.handler(load_event("scheduled"), context) == {}

    errors = {sk: item for (_, sk), item in cloud.items().items() if sk != "ledger"}
    assert set(errors) == {f"error#{kind}#0000000000#missing_file" for kind in ("customers", "items")}
    assert all("has not arrived" in item["message"]["S"] for item in errors.values())


def test_a_complete_set_whose_event_was_lost_is_started_by_the_check(cloud: Cloud, context: Context) -> None:
    cloud.upload_day()
    intake.handler(load_event("scheduled"), context)
    assert len(cloud.executions()) == 1
    assert not any(sk.startswith("error#") for _, sk in cloud.items())


def test_how_many_days_after_a_batch_its_files_are_due_is_a_setting(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("DUE_DAYS", "0")
    intake.handler(load_event("scheduled"), context)
    assert {pk for pk, _ in cloud.items()} == {"batch#20220201"}


def test_how_far_in_the_future_a_batch_may_lie_is_a_setting(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch
) -> None:
    near, far = ((datetime.now(UTC) + timedelta(days=days)).strftime("%Y%m%d") for days in (2, 5))
    environment.setenv("DAYS_AHEAD", "3")
    for batch in (near, far):
        name = f"orders_{batch}.csv"
        cloud.upload(name)
        intake.handler(s3_event(f"incoming/{name}"), context)

    assert cloud.table.get_ledger(near) is not None
    assert cloud.table.get_ledger(far) is None
    assert any(item.get("file", {}).get("S") == f"orders_{far}.csv" for item in cloud.items().values())


def test_a_scheduled_event_without_a_time_is_refused(cloud: Cloud, context: Context) -> None:
    with pytest.raises(EventError, match="without its time"):
        intake.handler({"detail-type": "Scheduled Event"}, context)


def test_the_same_files_after_a_purge_run_again_under_the_next_name(cloud: Cloud, context: Context) -> None:
    cloud.upload_day()
    arrive(context, "items")
    (first,) = cloud.executions()
    cloud.stepfunctions.stop_execution(executionArn=cloud.workflow.execution_arn(first))
    for pk, sk in cloud.items():
        cloud.dynamodb.delete_item(TableName=cloud.table.name, Key={"pk": {"S": pk}, "sk": {"S": sk}})

    cloud.upload_day()
    arrive(context, "items")
    arrive(context, "items")

    assert set(cloud.executions()) == {first, f"{first}-2"}
    entry = cloud.table.get_ledger("20220131")
    assert entry is not None
    assert entry.execution == f"{first}-2"
