"""Empty the bucket, the queues and the table of a deployment, and count what is left."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from pipeline.aws.backoff import Deadline
from pipeline.aws.clients import error_code
from pipeline.aws.dynamodb import Table
from pipeline.errors import ThrottledError
from pipeline.model.batch_files import CODE_PREFIX
from rich.progress import TaskID

from pipeline_cli.deployment.messages import LOOKED_AT
from pipeline_cli.deployment.queues import name as queue_name
from pipeline_cli.deployment.queues import waiting
from pipeline_cli.output import terminal

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

    from pipeline_cli.terraform.target import Target

PURGE_QUEUE_SECONDS = 60
"""SQS allows one PurgeQueue per queue in 60 seconds, and needs up to 60 seconds to finish it (SQS API reference)."""
WRITE_SECONDS = 300.0
ROUNDS = 3
PAGE = 1000
"""The most versions that one list or delete call takes (S3 API reference)."""
NAMED = 5
"""How many keys an error sentence names."""
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""A character that XML 1.0 does not allow (its production 2, Char)."""

Version = tuple[str, str]
"""Key and version id of an object."""
Report = Callable[[int], None]
"""Is called with the number of things that have been removed so far."""


@dataclass(slots=True)
class Emptied:
    """The result for one bucket, queue or table."""

    name: str
    removed: int = 0
    left: int = 0
    problems: list[str] = field(default_factory=list)


def empty_bucket(s3: S3Client, bucket: str, report: Report) -> Emptied:
    """Delete every version, delete marker and unfinished upload except code, and count what is left.

    If a key has a character that XML does not allow, the emulator fails to list the versions of all objects. The
    current keys of this kind are then deleted one by one, and the versions are listed again.
    """
    result = Emptied(bucket)
    try:
        _delete_versions(s3, bucket, result, report)
    except (ClientError, ResponseParserError) as error:
        if not _is_unlistable(error):
            raise
        odd = [key for key in _current_keys(s3, bucket) if NOT_XML.search(key)]
        for key in odd:
            _delete_every_version(s3, bucket, key, result)
            report(result.removed)
        try:
            _delete_versions(s3, bucket, result, report)
        except (ClientError, ResponseParserError) as still:
            if not _is_unlistable(still):
                raise
            result.left += 1
            named = f"; its keys {', '.join(map(repr, odd[:NAMED]))} were removed" if odd else ""
            result.problems.append(
                "the service can't list the versions of its objects, as one has a key with a control character that "
                f"no list shows, such as a deleted one{named} ({still})"
            )
    _abort_uploads(s3, bucket, result)
    return result


def _is_unlistable(error: Exception) -> bool:
    """Return whether a list call failed because of a key in it: the answer is invalid XML, or a server error."""
    if isinstance(error, ClientError):
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"]) >= 500
    return isinstance(error, ResponseParserError)


def _current_keys(s3: S3Client, bucket: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [found["Key"] for page in pages for found in page.get("Contents", ())]


def _delete_every_version(s3: S3Client, bucket: str, key: str, result: Emptied) -> None:
    """Delete all versions of a key, newest first: after each deletion, HEAD returns the version before it."""
    while version := _newest_version(s3, bucket, key):
        s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
        result.removed += 1


def _newest_version(s3: S3Client, bucket: str, key: str) -> str | None:
    try:
        return s3.head_object(Bucket=bucket, Key=key).get("VersionId")
    except ClientError as error:
        # For a delete marker, the 404 response has its version id (S3 user guide, working with delete markers).
        return error.response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-version-id")


def _delete_versions(s3: S3Client, bucket: str, result: Emptied, report: Report) -> None:
    """Delete all listed versions, up to 1,000 per call."""
    asked: set[Version] = set()
    stuck: set[Version] = set()
    marker: dict[str, str] = {}
    while True:
        page = s3.list_object_versions(Bucket=bucket, MaxKeys=PAGE, **marker)  # type: ignore[arg-type]
        found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        there = {
            (version["Key"], version["VersionId"]) for version in found if not version["Key"].startswith(CODE_PREFIX)
        }
        stuck |= there & asked
        if asked := there - stuck:
            # Then list from the same marker again: one that names a deleted version would be invalid.
            result.problems += _delete_objects(s3, bucket, asked)
            result.removed += len(asked)
            report(result.removed)
        elif page.get("IsTruncated"):
            marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
        else:
            break
    result.left = len(stuck)
    result.removed -= len(stuck)


def _delete_objects(s3: S3Client, bucket: str, versions: Iterable[Version]) -> list[str]:
    """Delete up to 1,000 versions; return a sentence for each that S3 refuses to delete."""
    objects = [{"Key": key, "VersionId": version} for key, version in sorted(versions)]
    # The request is XML 1.0, which can't represent some characters: S3 would refuse the whole request.
    alone = [named for named in objects if NOT_XML.search(named["Key"])]
    together = [named for named in objects if named not in alone] if alone else objects
    problems = []
    if together:
        reply = s3.delete_objects(Bucket=bucket, Delete={"Objects": together, "Quiet": True})  # type: ignore[typeddict-item]
        problems = [
            f"{error.get('Key')}: {error.get('Code')} {error.get('Message')}" for error in reply.get("Errors", ())
        ]
    for named in alone:
        try:
            s3.delete_object(Bucket=bucket, Key=named["Key"], VersionId=named["VersionId"])
        except ClientError as error:
            problems.append(f"{named['Key']}: {error}")
    return problems


def _abort_uploads(s3: S3Client, bucket: str, result: Emptied) -> None:
    """Abort unfinished multipart uploads until a list (of up to 1,000) shows no more."""
    asked: set[str] = set()
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, EncodingType="url")
        uploads = [upload for upload in page.get("Uploads", ()) if upload["UploadId"] not in asked]
        if not uploads:
            return
        for upload in uploads:
            # boto3 decodes the keys of other lists itself, but not of this one.
            key = unquote_plus(upload["Key"]) if page.get("EncodingType") == "url" else upload["Key"]
            s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"])
            asked.add(upload["UploadId"])
            result.removed += 1


def empty_table(dynamodb: DynamoDBClient, name: str, report: Report) -> Emptied:
    """Delete every item, page by page, and count what is left."""
    result = Emptied(name)
    table = Table(name, dynamodb)
    keys = {"ProjectionExpression": "#pk, #sk", "ExpressionAttributeNames": {"#pk": "pk", "#sk": "sk"}}
    for page in dynamodb.get_paginator("scan").paginate(TableName=name, ConsistentRead=True, **keys):  # type: ignore[arg-type]
        try:
            requests = [{"DeleteRequest": {"Key": key}} for key in page["Items"]]
            result.removed += table.write(requests, Deadline.after(WRITE_SECONDS))
        except ThrottledError as error:
            result.problems.append(str(error))
        report(result.removed)
    result.left = dynamodb.scan(TableName=name, ConsistentRead=True, Select="COUNT")["Count"]
    return result


def empty_queue(sqs: SQSClient, url: str, report: Report, sleep: Callable[[float], None] = time.sleep) -> Emptied:
    """Purge a queue and wait until it is empty; if another purge is in progress, wait for its end first."""
    result = Emptied(queue_name(url))
    before = waiting(sqs, url).total
    _purge_queue(sqs, url, sleep)
    deadline = Deadline.after(PURGE_QUEUE_SECONDS)
    while (left := waiting(sqs, url).total) and deadline.remaining_seconds() > 0:
        sleep(1)
    result.removed, result.left = max(0, before - left), left
    report(result.removed)
    return result


def _purge_queue(sqs: SQSClient, url: str, sleep: Callable[[float], None]) -> None:
    deadline = Deadline.after(PURGE_QUEUE_SECONDS + 10)
    while True:
        try:
            sqs.purge_queue(QueueUrl=url)
        except ClientError as error:
            if not error_code(error).endswith("PurgeQueueInProgress") or deadline.remaining_seconds() <= 0:
                raise
            sleep(5)
        else:
            return


def purge(target: Target, report: Callable[[str, int, bool], None]) -> list[Emptied]:
    """Empty the table, the bucket and the queues; `report` gets a part's name, how much is removed, whether it is done.

    The table comes first: a run whose ledger entry is gone stops writing. Parts that received data meanwhile are
    emptied again in another round.
    """
    parts = _parts(target)
    results = {name: Emptied(name) for name in parts}
    todo = list(parts)
    for _ in range(ROUNDS):
        for name in todo:
            before = results[name].removed
            result = _guarded(parts[name], lambda count, name=name, before=before: report(name, before + count, False))  # type: ignore[misc]
            result.name, result.removed = name, before + result.removed
            results[name] = result
            report(name, result.removed, True)
        todo = [name for name in parts if results[name].left and not results[name].problems]
        if not todo:
            break
    (target.folder / LOOKED_AT).unlink(missing_ok=True)
    return list(results.values())


def _parts(target: Target) -> Mapping[str, Callable[[Report], Emptied]]:
    s3, sqs, dynamodb = target.client("s3"), target.client("sqs"), target.client("dynamodb")
    table, bucket = target.output("table_name"), target.output("bucket_name")
    urls = [url for name, url in sorted(target.outputs.items()) if name.endswith("_queue_url") and url]
    return {
        f"table {table}": lambda report: empty_table(dynamodb, table, report),
        f"bucket {bucket}": lambda report: empty_bucket(s3, bucket, report),
        **{f"queue {url.rsplit('/', 1)[-1]}": _queue_part(sqs, url) for url in urls},
    }


def _queue_part(sqs: SQSClient, url: str) -> Callable[[Report], Emptied]:
    return lambda report: empty_queue(sqs, url, report)


def _guarded(empty: Callable[[Report], Emptied], report: Report) -> Emptied:
    """Return an AWS error as a result, so that the other parts are still emptied."""
    try:
        return empty(report)
    except ClientError as error:
        return Emptied("", left=1, problems=[str(error)])


def purge_with_display(target: Target) -> list[Emptied]:
    """Purge and show the progress of each part."""
    with terminal.spinner() as display:
        tasks: dict[str, TaskID] = {}

        def report(name: str, removed: int, over: bool) -> None:
            if name not in tasks:
                tasks[name] = display.add_task("", total=1)
            display.update(tasks[name], description=f"{name}: {removed:,} removed", completed=int(over))

        return purge(target, report)
