"""Parsing of the events that `intake` receives, whichever service delivers them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

from pipeline.errors import EventError
from pipeline.model.batch_files import INCOMING_PREFIX
from pipeline.model.error_codes import ErrorCode
from pipeline.model.items import notice_item
from pipeline.model.text import escape_controls


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """A stored object; `key` is decoded, `etag` has no quotes."""

    bucket: str
    key: str
    etag: str

    @property
    def is_folder(self) -> bool:
        """Whether it is the empty object with a trailing slash that consoles create for a folder."""
        return self.key.endswith("/")


def objects_created(event: Mapping[str, Any]) -> list[ObjectCreated]:
    """Return the objects that an S3 or EventBridge event reports as created.

    The list is empty for the test message that S3 sends when notifications are set up, and for other kinds of events.

    Raises
    ------
    EventError
        The event comes neither from S3 nor from EventBridge for S3.
    """
    if event.get("Event") == "s3:TestEvent":
        return []
    try:
        if event.get("source") == "aws.s3":
            return _from_event_bridge(event)
        return [_from_s3(record["s3"]) for record in event["Records"] if _is_creation(record)]
    except (KeyError, TypeError, AttributeError) as fault:
        raise EventError(f"not an S3 event: {type(fault).__name__} at {fault}") from fault


def _is_creation(record: Mapping[str, Any]) -> bool:
    if record["eventSource"] != "aws:s3":
        raise EventError(f"an event of {record['eventSource']}, not of S3")
    return str(record["eventName"]).startswith("ObjectCreated:")


def _from_s3(notice: Mapping[str, Any]) -> ObjectCreated:
    # Keys in notifications are URL-encoded, with + for a space (S3 user guide, event message structure).
    key = unquote_plus(notice["object"]["key"])
    return ObjectCreated(notice["bucket"]["name"], key, notice["object"].get("eTag", ""))


def _from_event_bridge(event: Mapping[str, Any]) -> list[ObjectCreated]:
    if event["detail-type"] != "Object Created":
        return []
    detail = event["detail"]
    # Keys in EventBridge events are not encoded; decoding them would turn a plus sign into a space.
    return [ObjectCreated(detail["bucket"]["name"], detail["object"]["key"], detail["object"].get("etag", ""))]


def due_batch(event: Mapping[str, Any], due_days: int) -> str | None:
    """Return the batch that a scheduled event checks: the one whose files are due; None for other events.

    `due_days` is the number of days from the batch's day to the day of the check, in UTC.

    Raises
    ------
    EventError
        The event has no time.
    """
    if event.get("detail-type") != "Scheduled Event":
        return None
    try:
        checked = datetime.fromisoformat(event["time"])
    except (KeyError, TypeError, ValueError) as fault:
        raise EventError(f"a scheduled event without its time: {fault}") from fault
    return (checked - timedelta(days=due_days)).strftime("%Y%m%d")


def is_from_queue(event: Mapping[str, Any]) -> bool:
    """Return whether an event contains messages of an SQS queue."""
    records = event.get("Records")
    return bool(
        isinstance(records, list)
        and records
        and isinstance(records[0], dict)
        and records[0].get("eventSource") == "aws:sqs"
    )


def parse_body(body: str) -> Mapping[str, Any]:
    """Read the body of an ingest message.

    Raises
    ------
    EventError
        The body is not a JSON object.
    """
    try:
        event = json.loads(body)
    except ValueError as fault:
        raise EventError(f"the message is no JSON: {fault}") from fault
    if not isinstance(event, dict):
        raise EventError(f"the message is no JSON object but a {type(event).__name__}")
    return event


def foreign_file_error(found: ObjectCreated) -> dict[str, Any]:
    """Return the error item for an object under `incoming/` whose name is not that of a batch file.

    The same object always gives the same item, so a repeated event does not report it again.
    """
    name = found.key.removeprefix(INCOMING_PREFIX)
    digest = hashlib.sha256(f"{found.key}\n{found.etag}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
    item = notice_item(
        None,
        "file",
        ErrorCode.UNKNOWN_FILE,
        f"{escape_controls(name)} was not processed: its name is not that of a batch file. Name it "
        "customers_YYYYMMDD.csv, orders_YYYYMMDD.csv or items_YYYYMMDD.csv (or the same with .gz), with a day that "
        f"exists and is not far in the future, and put it directly under {INCOMING_PREFIX}",
        name,
    )
    return {**item, "sk": f"{item['sk']}#{digest}"}


def missing_file_error(batch: str, kind: str) -> dict[str, Any]:
    """Return the error item for a file that is due and missing; the run of the complete set deletes the item."""
    name = f"{kind}_{batch}.csv"
    return notice_item(
        batch,
        kind,
        ErrorCode.MISSING_FILE,
        f"{name} has not arrived, so batch {batch} waits. Send {name} (or {name}.gz); the batch is processed as "
        "soon as its three files are there",
        name,
    )
