"""`pipeline errors`: what was wrong with a batch, grouped by the kind of fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from boto3.dynamodb.types import TypeDeserializer
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.ledger import Ledger
from pipeline.model.data_model import FEEDBACK_PREFIX, REJECTS_SUFFIX, is_batch
from pipeline.model.items import batch_key
from pipeline.model.messages import ERROR_FIELDS

from pipeline_cli.deploy import target as targets
from pipeline_cli.output import terminal
from pipeline_cli.output.errors import UsageError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

UNKNOWN = "unknown"
"""Stands for the batch of files whose name tells none."""

Fault = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """All errors of one code in one file; `examples` are the first of them."""

    code: str
    file: str | None
    count: int
    examples: Sequence[Fault]


def find(dynamodb: DynamoDBClient, table: str, batch: str) -> list[Fault]:
    """Read the errors of a batch, by file and line."""
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
        ExpressionAttributeValues={
            ":pk": {"S": batch_key(None if batch == UNKNOWN else batch)},
            ":sk": {"S": "error#"},
        },
        ConsistentRead=True,
    )
    deserialize = TypeDeserializer().deserialize
    items = ({name: deserialize(value) for name, value in item.items()} for page in pages for item in page["Items"])
    faults = [{name: terminal.plain(item.get(name)) for name in ERROR_FIELDS} for item in items]
    return sorted(faults, key=lambda fault: (fault["file"] or "", fault["line"] or 0))


def group(faults: Iterable[Fault], examples: int, summary: Mapping[str, Any] | None = None) -> list[Group]:
    """Gather errors by code and file, the most frequent first.

    Only the first errors of a file have an item and a message of their own; a run's summary counts all of them.
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
    """List the keys of the files that hold every refused record of the batch's present set."""
    if entry is None or entry.version is None:
        return []
    keys = bucket.keys(f"{FEEDBACK_PREFIX}{entry.batch}/{entry.version}/")
    return [key for key in keys if key.endswith(REJECTS_SUFFIX)]


def download(bucket: Bucket, keys: Sequence[str], folder: Path) -> list[Path]:
    """Copy the rejects files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for key in keys:
        _, batch, _, name = key.split("/")
        path = folder / f"{batch}_{name}"
        if source := bucket.head(key):
            bucket.download(source, path)
        paths.append(path)
    return paths


def show(groups: Sequence[Group], *, more: bool = True) -> None:
    """Print the groups, each with its first examples and, with `more`, how many there are beyond them."""
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


def command(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="The day, YYYYMMDD; unknown: files without a day.")],
    examples: Annotated[int, typer.Option(min=0, metavar="N", help="How many examples of each code to show.")] = 3,
    folder: Annotated[
        Path | None, typer.Option("--download", metavar="DIR", help="Copy the files with all refused records there.")
    ] = None,
    env: terminal.EnvOption = "",
    as_json: terminal.JsonOption = False,
) -> None:
    """Show what was wrong with a batch: the errors by code with the first examples, and where the refused records are.

    Example: pipeline errors 20220131 --download /tmp/rejects

    Exit codes: 0 shown (also where there are none), 2 BATCH is no day.
    """
    if batch != UNKNOWN and not is_batch(batch):
        raise UsageError(f"BATCH is {batch!r}, but a day is written YYYYMMDD (or unknown, for files without a day).")
    target = targets.load(env)
    terminal.announce(target)
    dynamodb = target.client("dynamodb")
    table = Table(target.output("table_name"), dynamodb)
    bucket = Bucket(target.output("bucket_name"), target.client("s3"))
    entry = table.get_ledger(batch) if batch != UNKNOWN else None
    faults = find(dynamodb, table.name, batch)
    keys = rejects(bucket, entry)
    summary = entry.summary if entry else {}
    copies = download(bucket, keys, folder) if folder else []
    if as_json:
        terminal.print_json(
            {
                "batch": batch,
                "state": entry.state.value if entry else None,
                "errors": faults,
                "by_code": [{"code": g.code, "file": g.file, "count": g.count} for g in group(faults, 0, summary)],
                "rejects": [f"s3://{bucket.name}/{key}" for key in keys],
                "downloaded": [str(path) for path in copies],
            }
        )
        return
    show(group(faults, examples, summary))
    out = terminal.out()
    if entry and entry.cause:
        out.print(f"The run failed: {terminal.shown(entry.cause)}", soft_wrap=True)
    if not faults:
        known = "has no errors" if entry or batch == UNKNOWN else "is not known"
        out.print(f"Batch {batch} {known}." if batch != UNKNOWN else "No file without a day was reported.")
    for key in keys:
        out.print(f"All refused records, as they were read: s3://{bucket.name}/{key}", soft_wrap=True)
    for path in copies:
        out.print(f"Copied to {path}", soft_wrap=True)
