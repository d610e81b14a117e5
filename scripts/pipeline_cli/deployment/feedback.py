"""What was wrong with a batch: its errors in the table, and the verdict and refused records under `feedback/`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.model.batch_files import FEEDBACK_PREFIX, REJECTS_SUFFIX
from pipeline.model.items import batch_key
from pipeline.model.messages import ERROR_FIELDS

from pipeline_cli.output import terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.options import UNKNOWN

if TYPE_CHECKING:
    from pipeline.aws.s3 import Bucket
    from pipeline.ledger import Ledger

    from pipeline_cli.terraform.target import Target

ErrorRow = Mapping[str, Any]
REJECTS_BYTES = 64 * 1024
"""How much of a rejects file is read for its first records."""


@dataclass(frozen=True, slots=True)
class Group:
    """All errors with one code in one file; `examples` are the first of them."""

    code: str
    file: str | None
    count: int
    examples: Sequence[ErrorRow]


def find(target: Target, batch: str) -> list[ErrorRow]:
    """Read the errors of a batch, in order of file and line."""
    # Imported here: it brings boto3, which `pipeline check` does without.
    from pipeline.aws.dynamodb import plain_item

    pages = (
        target.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=target.table.name,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues={
                ":pk": {"S": batch_key(None if batch == UNKNOWN else batch)},
                ":sk": {"S": "error#"},
            },
            ConsistentRead=True,
        )
    )
    items = (plain_item(item) for page in pages for item in page["Items"])
    rows = [{name: terminal.plain(item.get(name)) for name in ERROR_FIELDS} for item in items]
    return sorted(rows, key=lambda row: (row["file"] or "", row["line"] or 0))


def group(rows: Iterable[ErrorRow], examples: int, summary: Mapping[str, Any] | None = None) -> list[Group]:
    """Group errors by code and file, the most frequent first.

    Only the first errors of a file have an item in the table and a message. The run's summary counts all of them, so
    its counts are used where it has them.
    """
    files = (summary or {}).get("files", {}).values()
    counts = {
        (code, file["file"]): int(count) for file in files for code, count in file.get("refused_by_code", {}).items()
    }
    gathered: dict[tuple[str, str | None], list[ErrorRow]] = {}
    for row in rows:
        gathered.setdefault((row["code"], row["file"]), []).append(row)
    groups = [
        Group(code, file, counts.get((code, file), len(found)), found[:examples])
        for (code, file), found in gathered.items()
    ]
    return sorted(groups, key=lambda found: (-found.count, found.code, found.file or ""))


def show(groups: Sequence[Group], *, more: bool = True) -> None:
    """Print the groups with their examples; with `more`, also how many further errors each has."""
    out = terminal.out()
    for found in groups:
        file = terminal.shown(found.file or "")
        out.print(f"[bold red]{found.count:>6,}[/] × [bold]{found.code}[/]  [dim]{file}[/]", soft_wrap=True)
        for row in found.examples:
            out.print(f"         {terminal.shown(row['message'])}", soft_wrap=True)
        if more and found.count > len(found.examples):
            out.print(f"         [dim]… and {found.count - len(found.examples):,} more[/]")


def rejects(bucket: Bucket, entry: Ledger | None) -> list[str]:
    """List the keys of the files with all refused records of the batch's present set of files."""
    if entry is None or entry.version is None:
        return []
    keys = bucket.keys(f"{FEEDBACK_PREFIX}{entry.batch}/{entry.version}/")
    return [key for key in keys if key.endswith(REJECTS_SUFFIX)]


def first_refused(beginning: bytes, number: int) -> list[dict[str, str]]:
    """Return the first rows of a rejects file: `line`, `code`, `reason` and `record`, which the end may cut short."""
    rows = csv.DictReader(StringIO(beginning.decode(errors="replace"), newline=""))
    return list(islice((row for row in rows if row["record"] is not None), number))


def find_verdict(bucket: Bucket, batch: str) -> dict[str, Any]:
    """Read the verdict on the newest run of a batch.

    Raises
    ------
    CommandError
        There is none yet.
    """
    key = f"{FEEDBACK_PREFIX}{batch}/verdict.json"
    verdict: dict[str, Any] | None = bucket.find_json(key)
    if verdict is None:
        raise CommandError(
            f"There is no verdict on batch {batch} yet.", "It is written when its run is over, or files are overdue."
        )
    return verdict


def download(bucket: Bucket, keys: Iterable[str], folder: Path) -> list[Path]:
    """Copy files of `feedback/<batch>/` into a folder, as `<batch>_<file name>`."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = ((key, key.split("/")) for key in keys)
    return [bucket.fetch(key, folder / f"{batch}_{rest[-1]}") for key, (_, batch, *rest) in parts]
