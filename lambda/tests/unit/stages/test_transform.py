"""transform: the exact files of the set become chunks, and what earlier versions delivered is deleted."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from contracts import validator
from pipeline import ledger
from pipeline.aws.s3 import Bucket
from pipeline.errors import (
    DayTooLargeError,
    PreviousVersionLostError,
    SourceChangedError,
)
from pipeline.handlers import intake, transform
from pipeline.ledger import BatchState, Ledger
from pipeline.model.data_model import MODEL
from pipeline.settings import VerdictSettings, read_published
from pipeline.stages.scratch import scratch_folder
from support import BUCKET, Cloud, Context, queued, s3_event

CUSTOMERS = b"id,first_name,last_name,customer_reference,status\n1,Ada,Byron,c-1,Active\n2,Max,Born,c-2,Active\n"
ORDERS = (
    b"id,customer_reference,order_status,order_reference,order_timestamp\n"
    b"1,c-1,Delivered,o-1,1643646722\n2,c-1,Delivered,o-2,1643646723\n"
)
ITEMS = (
    b"id,order_reference,item_name,quantity,total_price\n"
    b"1,o-1,Pen,2,12.50\n2,o-2,Ink,1,75.00\n3,o-9,Ink,1,1.00\n4,o-2,Ink,x,1.00\n"
)
DAY = {"customers_20220131.csv": CUSTOMERS, "orders_20220131.csv": ORDERS, "items_20220131.csv": ITEMS}


def start(cloud: Cloud, context: Context, files: dict[str, bytes]) -> dict[str, Any]:
    """Upload a day and return what the state machine passes to transform for the newest run."""
    for name, content in files.items():
        cloud.upload(name, content)
    intake.handler(queued(s3_event("incoming/items_20220131.csv")), context)
    execution = cloud.entry().execution
    return {**cloud.executions()[str(execution)], "execution": execution}


def requests(cloud: Cloud, reply: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything that delivery will write, in order."""
    manifest = json.load(cloud.s3.get_object(Bucket=BUCKET, Key=reply["manifest"])["Body"])
    assert len(manifest) == reply["chunks"]
    found = [line for chunk in manifest for line in cloud.bucket.json_lines(chunk["key"])]
    assert sum(chunk["records"] for chunk in manifest) == len(found)
    return found


def deleted(cloud: Cloud, reply: dict[str, Any]) -> set[str]:
    found = [line["DeleteRequest"]["Key"] for line in requests(cloud, reply) if "DeleteRequest" in line]
    return {f"{key['pk']['S']} {key['sk']['S']}" for key in found}


def finish(cloud: Cloud, execution: str, state: BatchState = BatchState.COMPLETED) -> None:
    now = datetime.now(UTC)
    cloud.table.update_ledger("20220131", lambda entry: ledger.finish(entry, execution, state, now))


def test_a_day_becomes_results_and_errors(cloud: Cloud, context: Context) -> None:
    reply = transform.handler(start(cloud, context, DAY), context)

    assert reply["state"] == "READY"
    items = [line["PutRequest"]["Item"] for line in requests(cloud, reply)]
    assert items[0] == {
        "pk": {"S": "customer#c-1"},
        "sk": {"S": "batch#20220131"},
        "customer_reference": {"S": "c-1"},
        "number_of_orders": {"N": "2"},
        "total_amount_spent": {"N": "87.5"},
        "refused_records": {"N": "1"},
    }
    assert [item["code"]["S"] for item in items if "code" in item] == ["unknown_order", "not_an_integer"]
    assert (reply["summary"]["customers"], reply["summary"]["files"]["items"]["refused"]) == (2, 2)


def test_the_partner_can_read_the_settings_on_which_the_verdict_depends(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("MAX_REFUSED_PERCENT", "7")
    transform.handler(start(cloud, context, DAY), context)

    settings = cloud.bucket.get_json("feedback/settings.json")

    validator("settings.schema.json").validate(settings)
    assert read_published({**settings, "a_newer_one": True}) == VerdictSettings(max_refused_percent=7)


def test_a_file_replaced_during_the_run_is_read_in_its_old_version(cloud: Cloud, context: Context) -> None:
    event = start(cloud, context, DAY)
    cloud.upload("items_20220131.csv", b"rubbish")
    reply = transform.handler(event, context)
    assert reply["summary"]["total_amount"] == "87.5"


@pytest.mark.parametrize("has_versions", [False, True])
def test_a_file_that_was_replaced_in_a_bucket_without_versions_or_deleted_stops_the_run(
    cloud: Cloud, context: Context, *, has_versions: bool
) -> None:
    event = start(cloud, context, DAY)
    file = event["files"]["items"]
    if has_versions:
        cloud.s3.delete_object(Bucket=BUCKET, Key=file["key"], VersionId=file["version_id"])
    else:
        file["version_id"] = None
        cloud.upload("items_20220131.csv", b"rubbish")
    with pytest.raises(SourceChangedError, match=r"incoming/items_20220131\.csv"):
        transform.handler(event, context)


class SenderKey:
    """An S3 whose orders file is encrypted with a key of the sender's own, so that HeadObject answers 400."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)

    def head_object(self, **call: Any) -> Any:
        if "orders" in call["Key"]:
            raise ClientError({"Error": {"Code": "400", "Message": "Bad Request"}}, "HeadObject")
        return self._s3.head_object(**call)


def test_a_file_that_only_its_sender_can_read_refuses_the_batch_at_once(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch
) -> None:
    with environment.context() as only_here:
        only_here.setattr(intake, "Bucket", lambda name: Bucket(name, SenderKey(cloud.s3)))
        event = start(cloud, context, DAY)
    cloud.table.put({"pk": "batch#20220131", "sk": "error#items#0000000004#unknown_order"})

    reply = transform.handler(event, context)

    assert (reply["state"], reply["summary"]["files"]["orders"]["file_error"]) == ("REFUSED", "unreadable_file")
    error, stale = requests(cloud, reply)
    assert error["PutRequest"]["Item"]["message"]["S"] == (
        "orders_20220131.csv: the file can't be read, as it is encrypted with a key of the sender's own; send it in "
        "the standard storage class, without a key of your own"
    )
    assert stale["DeleteRequest"]["Key"]["sk"]["S"] == "error#items#0000000004#unknown_order"


def test_a_file_that_would_fill_the_disk_fails_the_run_and_says_what_to_change(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    packed = gzip.compress(ITEMS + b"5,o-1,Pen,1,1.00\n" * 100)
    event = start(
        cloud, context, {**{name: DAY[name] for name in DAY if "items" not in name}, "items_20220131.csv.gz": packed}
    )
    with pytest.raises(DayTooLargeError, match=r"items_20220131\.csv\.gz .*transform\.storage_mb; or set large_days"):
        transform.handler(event, context)
    assert list(cloud.bucket.keys("work/")) == []


def test_plain_files_may_fill_the_disk_nearly_to_the_last_byte_and_are_not_downloaded_otherwise(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch
) -> None:
    event, size = start(cloud, context, DAY), sum(map(len, DAY.values()))
    environment.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=size + 10))
    assert transform.handler(event, context)["state"] == "READY"
    environment.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=size - 1))
    with pytest.raises(DayTooLargeError, match=r"raise transform\.storage_mb; or set large_days"):
        transform.handler(event, context)


def test_what_a_killed_call_left_in_tmp_is_removed_before_the_next_one_measures_it(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needed = sum(map(len, DAY.values()))
    environment.setattr("tempfile.tempdir", str(tmp_path))
    environment.setattr(
        "shutil.disk_usage",
        lambda _: SimpleNamespace(free=2 * needed - sum(file.stat().st_size for file in tmp_path.rglob("*.*"))),
    )
    event = start(cloud, context, DAY)

    def fill_and_die(_batch: str, _files: object, directory: Path, *_: object) -> None:
        (directory / "spill.tmp").write_bytes(bytes(2 * needed))
        os.kill(os.getpid(), signal.SIGKILL)

    with environment.context() as only_here:
        only_here.setattr("pipeline.joining.customer_data_processor.process", fill_and_die)
        child = multiprocessing.get_context("fork").Process(target=transform.handler, args=(event, context))
        child.start()
        child.join()
    assert child.exitcode == -signal.SIGKILL
    assert [file.name for file in tmp_path.rglob("spill.tmp")] == ["spill.tmp"]

    assert transform.handler(event, context)["state"] == "READY"
    assert list(tmp_path.glob("*/")) == []


def test_the_folder_of_a_call_that_is_at_work_is_left_to_it(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder() as first, scratch_folder() as second:
        assert sorted(tmp_path.glob("*/")) == sorted([first, second])
    assert list(tmp_path.glob("*/")) == []


@pytest.mark.slow
def test_a_correction_deletes_what_it_no_longer_contains(cloud: Cloud, context: Context) -> None:
    first = start(cloud, context, DAY)
    for line in requests(cloud, transform.handler(first, context)):
        cloud.dynamodb.put_item(TableName=cloud.table.name, Item=line["PutRequest"]["Item"])
    finish(cloud, first["execution"])
    for key in list(cloud.bucket.keys("work/")):  # it may come after they have expired
        cloud.s3.delete_object(Bucket=BUCKET, Key=key)

    corrected = {
        "customers_20220131.csv": CUSTOMERS.replace(b"2,Max,Born,c-2,Active\n", b""),
        "items_20220131.csv": ITEMS.replace(b"o-2,Ink,x,1.00", b"o-2,Ink,1,1.00"),
    }
    reply = transform.handler(start(cloud, context, corrected), context)

    marker = next(line["PutRequest"]["Item"] for line in requests(cloud, reply) if "removed" in str(line))
    assert (marker["pk"]["S"], marker["removed"]) == ("customer#c-2", {"BOOL": True})
    assert deleted(cloud, reply) == {
        "customer#c-2 batch#20220131",
        "batch#20220131 error#items#0000000005#not_an_integer",
    }


@pytest.mark.slow
def test_lists_of_what_superseded_versions_delivered_do_not_pile_up(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch
) -> None:
    """Each version has one more customer of its own, and is superseded while it delivers."""
    fetched: list[str] = []
    fetch = Bucket.fetch
    environment.setattr(Bucket, "fetch", lambda bucket, key, path: (fetched.append(key), fetch(bucket, key, path))[1])
    most = 0
    for number in range(4):
        own = CUSTOMERS + f"3,Eve,Own,own-{number},Active\n".encode()
        event = start(cloud, context, {**DAY, "customers_20220131.csv": own})
        fetched.clear()
        reply = transform.handler(event, context)
        most = max(most, len(fetched))
        cloud.table.update_ledger("20220131", lambda entry: ledger.replace(entry, holder=None))
    assert most == 2
    kept = [key for key in cloud.bucket.keys("delivered/20220131/") if not key.endswith(".removed.parquet")]
    assert kept == [f"delivered/20220131/{event['version']}.parquet"]

    last = start(cloud, context, DAY | {"customers_20220131.csv": CUSTOMERS})
    reply = transform.handler(last, context)
    assert deleted(cloud, reply) >= {f"customer#own-{number} batch#20220131" for number in range(4)}


def test_what_a_lost_earlier_version_delivered_is_not_guessed(cloud: Cloud, context: Context) -> None:
    event = start(cloud, context, DAY)
    cloud.table.update_ledger("20220131", lambda entry: ledger.replace(entry, delivered=("lost",)))
    with pytest.raises(PreviousVersionLostError, match="lost"):
        transform.handler(event, context)


def test_a_newer_version_waits_for_the_older_run(cloud: Cloud, context: Context) -> None:
    older = start(cloud, context, DAY)
    transform.handler(older, context)
    newer = start(cloud, context, {"items_20220131.csv": ITEMS + b"5,o-1,Cap,1,1.00\n"})
    assert transform.handler(newer, context) == {"next": "WAIT", "wait_seconds": 10}
    finish(cloud, older["execution"])
    assert transform.handler(newer, context)["summary"]["total_amount"] == "88.5"


def test_a_run_that_ended_without_being_closed_is_waited_for_until_its_writers_have_ended(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch
) -> None:
    older = start(cloud, context, DAY)
    transform.handler(older, context)
    newer = start(cloud, context, {"items_20220131.csv": ITEMS + b"5,o-1,Cap,1,1.00\n"})
    cloud.stop(older["execution"])
    reply = transform.handler(newer, context)
    assert reply["next"] == "WAIT"
    assert 50 < reply["wait_seconds"] <= 60
    past = "2022-01-01T00:00:00+00:00"
    cloud.table.update_ledger("20220131", lambda entry: ledger.replace(entry, blocked_until=past))
    assert transform.handler(newer, context)["state"] == "READY"


def test_a_superseded_run_does_not_begin(cloud: Cloud, context: Context) -> None:
    older = start(cloud, context, DAY)
    start(cloud, context, {"items_20220131.csv": ITEMS + b"5,o-1,Cap,1,1.00\n"})
    reply = transform.handler(older, context)
    assert (reply["next"], reply["state"], reply["chunks"]) == ("DONE", "SUPERSEDED", 0)


def test_a_holder_that_step_functions_no_longer_knows_is_removed(cloud: Cloud, context: Context) -> None:
    event = start(cloud, context, DAY)
    cloud.table.update_ledger("20220131", lambda entry: ledger.replace(entry, holder="20220131-forgotten"))
    assert transform.handler(event, context)["state"] == "READY"


def deliver_days_before(cloud: Cloud, *batches: str, records: int) -> None:
    """Complete days of which each file had so many records."""
    for batch in batches:
        summary = {"files": {kind: {"read": records, "has_final_line_end": True} for kind in MODEL.kinds}}
        entry = Ledger(batch, execution="run")
        done = ledger.finish(entry, "run", BatchState.COMPLETED, datetime.now(UTC), summary=summary)
        cloud.table.update_ledger(batch, lambda _, done=done: done)


def test_a_day_is_compared_with_the_days_delivered_before_it(cloud: Cloud, context: Context) -> None:
    deliver_days_before(cloud, "20220117", "20220124", records=1000)

    reply = transform.handler(start(cloud, context, DAY), context)

    assert reply["state"] == "HELD"
    assert {file["file"]: file["held_by"] for file in reply["summary"]["files"].values()} == {
        name: ["day_too_small"] for name in DAY
    }


def test_a_release_accepts_this_version_and_no_other(cloud: Cloud, context: Context) -> None:
    deliver_days_before(cloud, "20220117", "20220124", records=1000)
    held = start(cloud, context, DAY)
    transform.handler(held, context)
    finish(cloud, held["execution"], BatchState.HELD)
    released = cloud.table.update_ledger(
        "20220131", lambda entry: ledger.release(entry, held["version"], datetime.now(UTC))
    )
    again = {**held, "execution": released.execution}

    assert transform.handler(again, context)["state"] == "READY"
    finish(cloud, str(released.execution))
    corrected = {"items_20220131.csv": ITEMS.replace(b"12.50", b"12.00")}
    assert transform.handler(start(cloud, context, corrected), context)["state"] == "HELD"
