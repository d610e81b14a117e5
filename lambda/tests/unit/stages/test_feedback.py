"""The verdict for the partner about each run, written when the run is closed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pipeline.handlers import finalize, intake, transform
from pipeline.ledger import BatchState, Ledger
from pipeline.stages.feedback import publish_missing, publish_verdict, verdict_on, what_to_do
from support import BUCKET, Cloud, Context, load_event
from unit.stages.test_transform import DAY, ITEMS, start

BATCH = "20220131"
UNREADABLE = ITEMS + b"".join(b"%d,o-1,Pen,1,1.2.3\n" % number for number in range(10, 40))


def verdict(cloud: Cloud, version: str | None = None) -> dict[str, Any]:
    folder = f"feedback/{BATCH}/" + (f"{version}/" if version else "")
    found: dict[str, Any] = cloud.bucket.get_json(f"{folder}verdict.json")
    return found


def run(cloud: Cloud, context: Context, files: dict[str, bytes], error: dict[str, str] | None = None) -> Ledger:
    """Run all stages of a day except the writes into the table."""
    event = start(cloud, context, files)
    end = {"error": error} if error else {"outcome": transform.handler(event, context)}
    finalize.handler({**event, **end}, context)
    return cloud.entry()


def test_a_completed_day_says_what_counts_what_was_wrong_and_where_the_refused_records_are(
    cloud: Cloud, context: Context
) -> None:
    entry = run(cloud, context, DAY)
    found = verdict(cloud)

    assert found == verdict(cloud, entry.version)
    assert (found["state"], found["version"], found["finished_at"]) == ("COMPLETED", entry.version, entry.finished_at)
    assert found["what_to_do"] == "Correct the 2 refused records and send their files again; all others were delivered."
    items = found["files"]["items"]
    assert (items["file"], items["read"], items["counted"], items["refused"]) == ("items_20220131.csv", 4, 2, 2)
    assert items["refused_by_code"] == {"not_an_integer": 1, "unknown_order": 1}
    assert (found["customers"], found["incomplete_customers"]) == (2, 1)
    assert found["reconciliation"]["delivered_amount"] == "87.5"
    assert [(group["code"], group["count"]) for group in found["errors"]] == [
        ("unknown_order", 1),
        ("not_an_integer", 1),
    ]
    assert found["errors"][0]["examples"] == [
        {"line": 4, "message": "items_20220131.csv line 4: order_reference 'o-9' is not in the orders file"}
    ]
    assert b"4,o-2,Ink,x,1.00" in cloud.s3.get_object(Bucket=BUCKET, Key=items["rejects"])["Body"].read()


def test_a_day_without_errors_requires_no_action(cloud: Cloud, context: Context) -> None:
    good = {**DAY, "items_20220131.csv": b"".join(ITEMS.splitlines(keepends=True)[:3])}
    run(cloud, context, good)

    found = verdict(cloud)
    assert found["what_to_do"] == "Nothing: every record was delivered."
    assert (found["errors"], [file["rejects"] for file in found["files"].values()]) == ([], [None, None, None])


def test_a_held_day_says_that_nothing_was_delivered(cloud: Cloud, context: Context) -> None:
    entry = run(cloud, context, {**DAY, "items_20220131.csv": UNREADABLE})
    found = verdict(cloud)

    assert (entry.state, entry.delivered, found["state"]) == (BatchState.HELD, (), "HELD")
    assert found["what_to_do"].startswith(
        "Nothing was delivered, as too many records of items_20220131.csv were refused"
    )
    assert found["files"]["items"]["too_many_refused"] is True
    assert found["errors"][0]["code"] == "too_many_refused"
    assert list(cloud.bucket.keys("delivered/")) == []


def test_a_refused_file_is_named_and_what_was_not_read_has_no_counts(cloud: Cloud, context: Context) -> None:
    run(cloud, context, {**DAY, "orders_20220131.csv": b""})
    found = verdict(cloud)

    assert (found["state"], found["files"]["orders"]["file_error"]) == ("FAILED", "empty_file")
    assert found["what_to_do"] == "Nothing was delivered, as orders_20220131.csv can't be used: correct and send again."
    assert [found["files"][kind]["read"] for kind in ("customers", "orders", "items")] == [None] * 3
    assert (found["customers"], found["reconciliation"]) == (None, None)
    assert found["errors"][0]["examples"][0]["message"].startswith("orders_20220131.csv: the file is empty")


def test_a_failed_run_requires_no_action_and_shows_no_internal_cause(cloud: Cloud, context: Context) -> None:
    run(cloud, context, DAY, error={"Error": "SomeError", "Cause": "secret"})
    found = verdict(cloud)

    assert found["state"] == "FAILED"
    assert found["what_to_do"].startswith("Nothing: the batch was not processed for a reason that is not in the files.")
    assert "secret" not in json.dumps(found)
    assert found["files"]["items"]["file"] == "items_20220131.csv"


def test_missing_files_are_named_until_the_complete_set_has_a_verdict(cloud: Cloud, context: Context) -> None:
    cloud.upload("orders_20220131.csv", DAY["orders_20220131.csv"])
    event = {**load_event("scheduled"), "time": "2022-02-01T12:00:00Z"}
    intake.handler(event, context)
    found = verdict(cloud)

    assert (found["state"], found["version"]) == ("WAITING", None)
    assert found["what_to_do"].startswith("Send customers_20220131.csv and items_20220131.csv:")
    assert {kind: file["arrived"] for kind, file in found["files"].items()} == {
        "customers": False,
        "orders": True,
        "items": False,
    }
    assert {group["code"] for group in found["errors"]} == {"missing_file"}
    run(cloud, context, DAY)
    assert verdict(cloud)["state"] == "COMPLETED"


def test_a_late_report_of_missing_files_does_not_replace_a_verdict(cloud: Cloud, context: Context) -> None:
    run(cloud, context, DAY)
    publish_missing(cloud.bucket, Ledger(BATCH))

    assert verdict(cloud)["state"] == "COMPLETED"


def test_a_run_that_writes_late_leaves_the_verdict_of_the_newer_run(
    cloud: Cloud, context: Context, environment: pytest.MonkeyPatch
) -> None:
    first = run(cloud, context, DAY)
    put_json, overtaken = cloud.bucket.put_json, []

    def overtake(key: str, value: Any) -> None:
        """Let the correction begin and end between the look at the ledger and the first write."""
        if not overtaken:
            overtaken.append(run(cloud, context, {"items_20220131.csv": ITEMS + b"5,o-1,Cap,1,1.00\n"}))
        put_json(key, value)

    environment.setattr(cloud.bucket, "put_json", overtake)
    publish_verdict(cloud.bucket, cloud.table, BATCH)

    assert overtaken[0].version != first.version
    assert verdict(cloud)["version"] == overtaken[0].version


def test_while_a_newer_run_is_in_progress_nothing_is_written(cloud: Cloud, context: Context) -> None:
    run(cloud, context, DAY)
    before = verdict(cloud)
    start(cloud, context, {"items_20220131.csv": ITEMS + b"5,o-1,Cap,1,1.00\n"})
    publish_verdict(cloud.bucket, cloud.table, BATCH)

    assert verdict(cloud) == before


def test_a_verdict_is_written_from_the_entry_of_an_older_release(cloud: Cloud) -> None:
    entry = Ledger(BATCH, state=BatchState.COMPLETED, version="v1", summary={"state": "READY", "files": {}})

    assert verdict_on(replace(entry, finished_at="x"), ())["incomplete_customers"] == 0


@pytest.mark.parametrize("cause", ["States.Timeout: ", "Sandbox.Timedout: Task timed out", "States.TIMED_OUT: x"])
def test_a_time_out_says_that_it_was_one(cause: str) -> None:
    entry = Ledger("20220131", state=BatchState.FAILED, cause=cause)

    assert "took longer than it may" in what_to_do(entry)
    assert "not in the files" in what_to_do(replace(entry, cause="SettingsError: x"))
