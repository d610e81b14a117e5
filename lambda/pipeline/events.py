"""Parsing of the events that `intake` receives, whichever service delivers them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

from pipeline.errors import EventError
from pipeline.model.batch_files import INCOMING_PREFIX
from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import ErrorCode
from pipeline.model.items import notice_item
from pipeline.model.record_kinds import RecordKind
from pipeline.model.text import escape_controls

_OTHER_EVENTS = (
    "ObjectRemoved:", "ObjectRestore:", "ObjectTagging:", "ObjectAcl:", "Replication:", "LifecycleExpiration:",
    "LifecycleTransition", "IntelligentTiering", "ReducedRedundancyLostObject",
)  # fmt: skip
"""Beginnings of the names of other events (S3 user guide, "Supported event types for SQS, SNS, and Lambda")."""
_OTHER_DETAIL_TYPES = {
    "Object Deleted", "Object Restore Initiated", "Object Restore Completed", "Object Restore Expired",
    "Object Tags Added", "Object Tags Deleted", "Object ACL Updated", "Object Storage Class Changed",
    "Object Access Tier Changed",
}  # fmt: skip
"""Other events through EventBridge (S3 user guide, "Using EventBridge")."""


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """A stored object; `key` is decoded, `etag` has no quotes, `size` is in bytes."""

    bucket: str
    key: str
    etag: str
    size: int = 0

    @property
    def is_folder(self) -> bool:
        """Whether it is the empty object with a trailing slash that consoles create for a folder."""
        return self.key.endswith("/") and self.size == 0


def objects_created(event: Mapping[str, Any]) -> list[ObjectCreated]:
    """Return the objects that an S3 or EventBridge event reports as created.

    The list is empty for the test message that S3 sends when notifications are set up, and for S3's other events.

    Raises
    ------
    EventError
        The event has no form in which S3 sends events.
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
    name = str(record["eventName"])
    if not name.startswith(("ObjectCreated:", *_OTHER_EVENTS)):
        raise EventError(f"an S3 event with the unknown name {name!r}")
    return name.startswith("ObjectCreated:")


def _from_s3(notice: Mapping[str, Any]) -> ObjectCreated:
    # Keys in notifications are URL-encoded, with + for a space (S3 user guide, event message structure).
    stored = notice["object"]
    key = unquote_plus(stored["key"])
    return ObjectCreated(notice["bucket"]["name"], key, stored.get("eTag", ""), stored.get("size", 0))


def _from_event_bridge(event: Mapping[str, Any]) -> list[ObjectCreated]:
    detail_type = event["detail-type"]
    if detail_type in _OTHER_DETAIL_TYPES:
        return []
    if detail_type != "Object Created":
        raise EventError(f"an EventBridge event of S3 with the unknown type {detail_type!r}")
    # Keys in EventBridge events are not encoded; decoding them would turn a plus sign into a space.
    bucket, stored = event["detail"]["bucket"], event["detail"]["object"]
    return [ObjectCreated(bucket["name"], stored["key"], stored.get("etag", ""), stored.get("size", 0))]


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
    return any(record.get("eventSource") == "aws:sqs" for record in event.get("Records", ()))


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
    name = found.key.removeprefix(INCOMING_PREFIX) or found.key
    digest = hashlib.sha256(f"{found.key}\n{found.etag}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
    *others, last = (f"{kind}_YYYYMMDD.csv" for kind in MODEL.kinds)
    item = notice_item(
        None,
        "file",
        ErrorCode.UNKNOWN_FILE,
        f"{escape_controls(name)} was not processed: its name is not that of a batch file. Name it {', '.join(others)} "
        f"or {last} (or the same with .gz), with a day that exists and is not far in the future, and put it directly "
        f"under {INCOMING_PREFIX}",
        name,
    )
    return {**item, "sk": f"{item['sk']}#{digest}"}


def missing_file_error(
    batch: str, kind: RecordKind, *, is_correction: bool = False, tie: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the error item for a file that a set lacks; the run of the complete set deletes the item.

    Parameters
    ----------
    is_correction
        Whether the batch had a complete set before, so that the file is gone.
    tie
        Keys of files of which nobody knows which is the newer.
    """
    name = f"{kind}_{batch}.csv"
    if tie:
        problem = f"{' and '.join(tie)} were stored in the same second, so neither counts, as either may be the newer"
    elif is_correction:
        problem = f"{name} is gone, so the correction of batch {batch} waits, and what was delivered stays"
    else:
        problem = f"{name} has not arrived, so batch {batch} waits"
    advice = f"Send {name} (or {name}.gz); the batch is processed as soon as all its files are there"
    return notice_item(batch, kind, ErrorCode.MISSING_FILE, f"{problem}. {advice}", name)
