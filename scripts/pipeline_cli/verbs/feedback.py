"""`pipeline feedback`: the verdict on a batch as the partner reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import boto3
import typer
from pipeline.aws.s3 import Bucket
from pipeline.ledger import BatchState

from pipeline_cli.deployment import batch_errors
from pipeline_cli.deployment.batch_errors import Group
from pipeline_cli.deployment.batches import STYLES
from pipeline_cli.deployment.feedback import download, files_of, find_verdict
from pipeline_cli.output import options, terminal
from pipeline_cli.output.summary import files_table, incomplete_totals, reconciliation
from pipeline_cli.terraform import target as targets

EXAMPLES = 3


def show(verdict: Mapping[str, Any], bucket: str) -> None:
    """Print a verdict for a person."""
    out = terminal.out()
    batch, state = verdict["batch"], BatchState(verdict["state"])
    moment = f", {verdict['finished_at'][:16].replace('T', ' ')} UTC" if verdict["finished_at"] else ""
    out.print(f"Batch {batch} [{STYLES[state]}]{state}[/]{moment}")
    out.print(f"[bold]What to do:[/] {terminal.shown(verdict['what_to_do'])}", soft_wrap=True)
    out.print(files_table({"files": {kind: _counted(file) for kind, file in verdict["files"].items()}}))
    if verdict["reconciliation"]:
        out.print(reconciliation(verdict), soft_wrap=True)
    if verdict["incomplete_customers"]:
        out.print(f"[yellow]{incomplete_totals(verdict['incomplete_customers'])}[/]")
    groups = [Group(g["code"], g["file"], g["count"], g["examples"][:EXAMPLES]) for g in verdict["errors"]]
    batch_errors.show(groups, more=False)
    for file in verdict["files"].values():
        if file["rejects"]:
            out.print(f"All refused records: s3://{bucket}/{terminal.shown(file['rejects'])}", soft_wrap=True)


def _counted(file: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a file of a verdict to the form of a summary, in which counts of unread files are 0, not null."""
    return {**file, **{name: file[name] or 0 for name in ("read", "counted", "refused")}}


def command(
    batch: options.Batch,
    folder: Annotated[
        Path | None, typer.Option("--download", metavar="DIR", help="Copy the verdict and the refused records there.")
    ] = None,
    bucket_name: Annotated[
        str,
        typer.Option("--bucket", metavar="NAME", help="The bucket, for partners, who have no deployment."),
    ] = "",
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Show the verdict on a batch: what was read, what was wrong, and what the partner has to do.

    The verdict is the file under feedback/ in the bucket. Partners can run this command with their own credentials and
    --bucket.

    Example: pipeline feedback 20220131 --download /tmp/feedback

    Exit codes: 0 shown, 1 there is no verdict yet, 2 BATCH is not a date.
    """
    bucket = Bucket(bucket_name, boto3.client("s3")) if bucket_name else targets.chosen(env).bucket
    verdict = find_verdict(bucket, batch)
    copies = download(bucket, files_of(verdict), folder) if folder else []
    if as_json:
        terminal.print_json(verdict)
    else:
        show(verdict, bucket.name)
    for path in copies:
        terminal.err().print(f"Copied to {path}", soft_wrap=True)
