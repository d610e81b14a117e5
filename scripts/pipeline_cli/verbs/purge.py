"""`pipeline purge`: empty the bucket, the queues and the table, and report anything that is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError
from pipeline.aws.backoff import Deadline
from pipeline.aws.clients import error_code
from pipeline.aws.dynamodb import Table
from pipeline.errors import PipelineError
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
PAGE = 1000
"""The most versions that one delete call takes (S3 API reference)."""
WRITE_SECONDS = 60.0


@dataclass(slots=True)
class Emptied:
    """The result for one bucket, queue or table: how much was removed, and why something is left."""

    name: str
    removed: int = 0
    problem: str = ""


def command(yes: options.Yes = False, env: options.Env = "") -> None:
    """Empty the bucket (all versions), all queues (dead-letter queues too) and the table.

    Asks for the environment's name first, except on local. The deployment itself stays: make tf-destroy removes it.

    Example: pipeline purge --env staging

    Exit codes: 0 everything is empty, 1 something is left (the command says what) or the answer was no.
    """
    target = targets.chosen(env)
    if not (yes or target.is_local):
        parts = f"{target.output('bucket_name')}, {target.output('table_name')} and all queues"
        terminal.confirm(target.name, f"This deletes everything in {target.description}: {parts}.")
    with terminal.spinner() as display:
        task = display.add_task("")
        results = purge(target, lambda part: display.update(task, description=f"{part.name}: {part.removed:,} removed"))
    terminal.out().print(f"{sum(result.removed for result in results):,} things removed.")
    if problems := [f"{result.name}: {result.problem}" for result in results if result.problem]:
        raise CommandError(f"Not empty: {'; '.join(problems)}.", "Run the command again once the cause is gone.")


def purge(target: Target, report: Callable[[Emptied], object] = lambda _: None) -> list[Emptied]:
    """Empty the table, the bucket and the queues; `report` gets each part after each step.

    The table comes first: a run whose ledger entry is gone stops writing. A part that can't be emptied does not stop
    the others.
    """
    s3, sqs, dynamodb = target.client("s3"), target.client("sqs"), target.client("dynamodb")
    table, bucket = target.output("table_name"), target.output("bucket_name")
    urls = [url for name, url in sorted(target.outputs.items()) if name.endswith("_queue_url") and url]
    parts = {
        f"table {table}": empty_table(dynamodb, table),
        f"bucket {bucket}": empty_bucket(s3, bucket),
        **{f"queue {queues.name(url)}": empty_queue(sqs, url) for url in urls},
    }
    results = [Emptied(name) for name in parts]
    for result, steps in zip(results, parts.values(), strict=True):
        try:
            for removed in steps:
                result.removed += removed
                report(result)
        except (ClientError, CommandError, PipelineError) as error:
            result.problem = str(error).rstrip(".")
    return results


def empty_table(dynamodb: DynamoDBClient, name: str) -> Iterator[int]:
    """Delete every item; yield how many were deleted, page by page."""
    keys: Any = {"ProjectionExpression": "#pk, #sk", "ExpressionAttributeNames": {"#pk": "pk", "#sk": "sk"}}
    for page in dynamodb.get_paginator("scan").paginate(TableName=name, ConsistentRead=True, **keys):
        requests = [{"DeleteRequest": {"Key": item}} for item in page["Items"]]
        yield Table(name, dynamodb).write(requests, Deadline.after(WRITE_SECONDS))


def empty_bucket(s3: S3Client, bucket: str) -> Iterator[int]:
    """Delete every version, delete marker and unfinished upload except code; yield how many, call by call."""
    together: list[Any] = []
    alone: list[Any] = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
            if not version["Key"].startswith(CODE_PREFIX):
                # A request for several is XML 1.0, which can't name keys with control characters: S3 would refuse it.
                group = together if version["Key"].isprintable() else alone
                group.append({"Key": version["Key"], "VersionId": version["VersionId"]})
    refused: list[Any] = []
    for start in range(0, len(together), PAGE):
        group = together[start : start + PAGE]
        errors = s3.delete_objects(Bucket=bucket, Delete={"Objects": group, "Quiet": True}).get("Errors", [])
        refused += errors
        yield len(group) - len(errors)
    for version in alone:
        s3.delete_object(Bucket=bucket, **version)
        yield 1
    for unfinished in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, EncodingType="url"):
        for upload in unfinished.get("Uploads", ()):
            # boto3 decodes the keys of other lists itself, but not of this one.
            key = unquote_plus(upload["Key"]) if unfinished.get("EncodingType") == "url" else upload["Key"]
            s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"])
            yield 1
    if refused:
        first = "{Key}: {Code} {Message}".format_map(refused[0])
        raise CommandError(f"{terminal.counted(len(refused), 'version')} could not be deleted, such as {first}")


def empty_queue(sqs: SQSClient, url: str) -> Iterator[int]:
    """Purge a queue and wait until it is empty, then yield how many messages it had.

    If another purge is in progress, wait for its end first.
    """
    before = queues.waiting(sqs, url)
    for _ in range(PURGE_QUEUE_SECONDS + 5):
        try:
            sqs.purge_queue(QueueUrl=url)
            break
        except ClientError as error:
            if not error_code(error).endswith("PurgeQueueInProgress"):
                raise
            time.sleep(1)
    for _ in range(PURGE_QUEUE_SECONDS):
        left = queues.waiting(sqs, url)
        if not left:
            yield before
            return
        time.sleep(1)
    raise CommandError(f"it still has {terminal.counted(left, 'message')}")
