"""`pipeline purge`: empty the bucket, the queues and the table, and report anything that is left."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from pipeline.aws.clients import error_code
from pipeline.model.batch_files import CODE_PREFIX

from pipeline_cli.deployment import queues
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import target as targets

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

    from pipeline_cli.terraform.target import Target

PURGE_QUEUE_SECONDS = 60
"""SQS allows one PurgeQueue per queue in 60 seconds, and needs up to 60 seconds to finish it (SQS API reference)."""
ROUNDS = 3
PAGE = 1000
"""The most versions that one list or delete call takes (S3 API reference)."""
WRITES = 25
"""The most requests that one BatchWriteItem takes (DynamoDB API reference)."""
PROBLEMS_SHOWN = 20
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""A character that XML 1.0 does not allow (its production 2, Char)."""

Report = Callable[[int], None]
"""Is called with the number of things that have been removed so far."""


@dataclass(slots=True)
class Emptied:
    """The result for one bucket, queue or table."""

    name: str
    removed: int = 0
    left: int = 0
    problems: list[str] = field(default_factory=list)


def command(
    yes: options.Yes = False,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Empty the bucket (all versions), all queues (dead-letter queues too) and the table.

    Asks for the environment's name first, except on local. The deployment itself stays: make tf-destroy removes it.

    Example: pipeline purge --env staging

    Exit codes: 0 everything is empty, 1 something is left (it is listed) or the answer was no.
    """
    target = targets.chosen(env)
    kept = f"{target.output('bucket_name')}, {target.output('table_name')} and all queues"
    if not (yes or target.is_local):
        terminal.confirm(target.name, f"This deletes everything in {target.description}: {kept}.")
    with terminal.spinner() as display:
        tasks = {name: display.add_task(name, total=1) for name in _parts(target)}
        results = purge(
            target, lambda name, removed: display.update(tasks[name], description=f"{name}: {removed:,} removed")
        )
        for result in results:
            display.update(tasks[result.name], completed=not (result.left or result.problems))
    if as_json:
        terminal.print_json([asdict(result) for result in results])
    else:
        terminal.out().print(f"{sum(result.removed for result in results):,} things removed.")
    problems = [f"{result.name}: {problem}" for result in results for problem in result.problems]
    for problem in problems[:PROBLEMS_SHOWN]:
        terminal.err().print(f"[red]{terminal.shown(problem)}[/]", soft_wrap=True)
    if unfinished := [result.name for result in results if result.left or result.problems]:
        raise CommandError(f"Not empty: {', '.join(unfinished)}.", "Run the command again once the cause is gone.")


def purge(target: Target, report: Callable[[str, int], None] = lambda *_: None) -> list[Emptied]:
    """Empty the table, the bucket and the queues; `report` gets a part's name and how much is removed.

    The table comes first: a run whose ledger entry is gone stops writing. Parts that received data meanwhile are
    emptied again in another round.
    """
    parts = _parts(target)
    results = {name: Emptied(name, left=1) for name in parts}
    for _ in range(ROUNDS):
        for name, empty in parts.items():
            result = results[name]
            if result.left and not result.problems:
                result.left = 0
                try:
                    empty(result, partial(report, name))
                except (ClientError, ResponseParserError) as error:  # the other parts are emptied all the same
                    result.left, result.problems = 1, [str(error)]
    return list(results.values())


def _parts(target: Target) -> dict[str, Callable[[Emptied, Report], None]]:
    """Return what empties each part of a deployment, by the part's name."""
    s3, sqs, dynamodb = target.client("s3"), target.client("sqs"), target.client("dynamodb")
    table, bucket = target.output("table_name"), target.output("bucket_name")
    urls = [url for name, url in sorted(target.outputs.items()) if name.endswith("_queue_url") and url]
    return {
        f"table {table}": partial(empty_table, dynamodb, table),
        f"bucket {bucket}": partial(empty_bucket, s3, bucket),
        **{f"queue {queues.name(url)}": partial(empty_queue, sqs, url) for url in urls},
    }


def empty_bucket(s3: S3Client, bucket: str, result: Emptied, report: Report) -> None:
    """Delete every version, delete marker and unfinished upload except code, up to 1,000 per call."""
    asked: set[tuple[str, str]] = set()
    stuck: set[tuple[str, str]] = set()
    marker: dict[str, Any] = {}
    while True:
        page = s3.list_object_versions(Bucket=bucket, MaxKeys=PAGE, **marker)
        found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        there = {
            (version["Key"], version["VersionId"]) for version in found if not version["Key"].startswith(CODE_PREFIX)
        }
        stuck |= there & asked
        if asked := there - stuck:
            # Then list from the same marker again: one that names a deleted version would be invalid.
            result.problems += _delete_versions(s3, bucket, asked)
            result.removed += len(asked)
            report(result.removed)
        elif page.get("IsTruncated"):
            marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
        else:
            break
    result.left = len(stuck)
    result.removed += _abort_uploads(s3, bucket) - len(stuck)


def _delete_versions(s3: S3Client, bucket: str, versions: Iterable[tuple[str, str]]) -> list[str]:
    """Delete up to 1,000 versions; return a sentence for each that S3 refuses to delete."""
    objects: list[Any] = [{"Key": key, "VersionId": version} for key, version in sorted(versions)]
    # The request is XML 1.0, which can't represent some characters: S3 would refuse the whole request.
    together = [named for named in objects if not NOT_XML.search(named["Key"])]
    problems = []
    if together:
        reply = s3.delete_objects(Bucket=bucket, Delete={"Objects": together, "Quiet": True})
        problems = [
            f"{error.get('Key')}: {error.get('Code')} {error.get('Message')}" for error in reply.get("Errors", ())
        ]
    for named in objects:
        if named not in together:
            s3.delete_object(Bucket=bucket, **named)
    return problems


def _abort_uploads(s3: S3Client, bucket: str) -> int:
    """Abort unfinished multipart uploads until a list (of up to 1,000) shows no more; return how many there were."""
    asked: set[str] = set()
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, EncodingType="url")
        uploads = [upload for upload in page.get("Uploads", ()) if upload["UploadId"] not in asked]
        if not uploads:
            return len(asked)
        for upload in uploads:
            # boto3 decodes the keys of other lists itself, but not of this one.
            key = unquote_plus(upload["Key"]) if page.get("EncodingType") == "url" else upload["Key"]
            s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"])
            asked.add(upload["UploadId"])


def empty_table(dynamodb: DynamoDBClient, name: str, result: Emptied, report: Report) -> None:
    """Delete every item, page by page, and count what is left."""
    keys: Any = {"ProjectionExpression": "#pk, #sk", "ExpressionAttributeNames": {"#pk": "pk", "#sk": "sk"}}
    for page in dynamodb.get_paginator("scan").paginate(TableName=name, ConsistentRead=True, **keys):
        requests: list[Any] = [{"DeleteRequest": {"Key": item}} for item in page["Items"]]
        result.removed += len(requests)
        while requests:
            reply = dynamodb.batch_write_item(RequestItems={name: requests[:WRITES]})
            unprocessed = reply.get("UnprocessedItems", {}).get(name, [])
            requests = [*unprocessed, *requests[WRITES:]]
            if unprocessed:
                time.sleep(0.1)
        report(result.removed)
    result.left = dynamodb.scan(TableName=name, ConsistentRead=True, Select="COUNT")["Count"]


def empty_queue(
    sqs: SQSClient, url: str, result: Emptied, report: Report, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Purge a queue and wait until it is empty; if another purge is in progress, wait for its end first."""
    before = queues.waiting(sqs, url).total
    for _ in range(PURGE_QUEUE_SECONDS // 5 + 2):
        try:
            sqs.purge_queue(QueueUrl=url)
            break
        except ClientError as error:
            if not error_code(error).endswith("PurgeQueueInProgress"):
                raise
            sleep(5)
    for _ in range(PURGE_QUEUE_SECONDS):
        result.left = queues.waiting(sqs, url).total
        if not result.left:
            break
        sleep(1)
    result.removed += max(0, before - result.left)
    report(result.removed)
