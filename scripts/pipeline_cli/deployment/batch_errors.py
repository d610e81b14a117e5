"""The errors of a batch, grouped by error code and file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.model.batch_files import FEEDBACK_PREFIX, REJECTS_SUFFIX
from pipeline.model.items import batch_key
from pipeline.model.messages import ERROR_FIELDS

from pipeline_cli.output import terminal
from pipeline_cli.output.options import UNKNOWN

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from pipeline.aws.s3 import Bucket
    from pipeline.ledger import Ledger

Fault = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """All errors with one code in one file; `examples` are the first of them."""

    code: str
    file: str | None
    count: int
    examples: Sequence[Fault]


def find(dynamodb: DynamoDBClient, table: str, batch: str) -> list[Fault]:
    """Read the errors of a batch, in order of file and line."""
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
        ExpressionAttributeValues={
            ":pk": {"S": batch_key(None if batch == UNKNOWN else batch)},
            ":sk": {"S": "error#"},
        },
        ConsistentRead=True,
    )
    # Imported here: it brings boto3, which `pipeline check` does without.
    from pipeline.aws.dynamodb import plain_item

    items = (plain_item(item) for page in pages for item in page["Items"])
    faults = [{name: terminal.plain(item.get(name)) for name in ERROR_FIELDS} for item in items]
    return sorted(faults, key=lambda fault: (fault["file"] or "", fault["line"] or 0))


def group(faults: Iterable[Fault], examples: int, summary: Mapping[str, Any] | None = None) -> list[Group]:
    """Group errors by code and file, the most frequent first.

    Only the first errors of a file have an item in the table and a message. The run's summary counts all of them, so
    its counts are used where it has them.
    """
    files = (summary or {}).get("files", {}).values()
    counts = {
        (code, file["file"]): int(count) for file in files for code, count in file.get("refused_by_code", {}).items()
    }
    gathered: dict[tuple[str, str | None], list[Fault]] = {}
    for fault in faults:
        gathered.setdefault((fault["code"], fault["file"]), []).append(fault)
    groups = [
        Group(code, file, counts.get((code, file), len(found)), found[:examples])
        for (code, file), found in gathered.items()
    ]
    return sorted(groups, key=lambda found: (-found.count, found.code, found.file or ""))


def rejects(bucket: Bucket, entry: Ledger | None) -> list[str]:
    """List the keys of the files with all refused records of the batch's present set of files."""
    if entry is None or entry.version is None:
        return []
    keys = bucket.keys(f"{FEEDBACK_PREFIX}{entry.batch}/{entry.version}/")
    return [key for key in keys if key.endswith(REJECTS_SUFFIX)]


def show(groups: Sequence[Group], *, more: bool = True) -> None:
    """Print the groups with their examples; with `more`, also how many further errors each has."""
    out = terminal.out()
    for found in groups:
        out.print(
            f"[bold red]{found.count:>6,}[/] × [bold]{found.code}[/]  [dim]{terminal.shown(found.file or '')}[/]",
            soft_wrap=True,
        )
        for fault in found.examples:
            out.print(f"         {terminal.shown(fault['message'])}", soft_wrap=True)
        if more and found.count > len(found.examples):
            out.print(f"         [dim]… and {found.count - len(found.examples):,} more[/]")
