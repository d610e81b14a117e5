"""`pipeline feedback`: the verdict on a batch as the partner reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import boto3
import typer
from pipeline.aws.s3 import Bucket
from pipeline.model.batch_files import FEEDBACK_PREFIX
from pipeline.model.data_model import MODEL

from pipeline_cli.deployment import feedback
from pipeline_cli.deployment.feedback import Group
from pipeline_cli.output import options, terminal
from pipeline_cli.output.summary import files_table, incomplete_totals, reconciliation, show_remarks
from pipeline_cli.terraform import target as targets

EXAMPLES = 3


def command(
    batch: options.BatchOrUnknown,
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

    Example: pipeline feedback 20220131 --download feedback

    Exit codes: 0 shown, 1 there is no verdict yet, 2 BATCH is not a date.
    """
    bucket = Bucket(bucket_name, boto3.client("s3")) if bucket_name else targets.chosen(env).bucket
    verdict = feedback.find_verdict(bucket, batch)
    if as_json:
        terminal.print_json(verdict)
    else:
        show(verdict, bucket.name)
    if folder:
        keys = [file["rejects"] for file in verdict["files"].values() if file["rejects"]]
        for path in feedback.download(bucket, [f"{FEEDBACK_PREFIX}{batch}/verdict.json", *keys], folder):
            terminal.err().print(f"Copied to {path}", soft_wrap=True)


def show(verdict: Mapping[str, Any], bucket: str) -> None:
    """Print a verdict for a person."""
    out = terminal.out()
    moment = f", {terminal.minute(verdict['finished_at'])} UTC" if verdict["finished_at"] else ""
    out.print(f"Batch {verdict['batch']} {terminal.state(verdict['state'])}{moment}")
    out.print(f"[bold]What to do:[/] {terminal.shown(verdict['what_to_do'])}", soft_wrap=True)
    terminal.print_table(files_table(verdict))
    if verdict["reconciliation"]:
        out.print(reconciliation(verdict), soft_wrap=True)
    if verdict[f"incomplete_{MODEL.root}"]:
        out.print(f"[yellow]{incomplete_totals(verdict[f'incomplete_{MODEL.root}'])}[/]")
    show_remarks(verdict)
    groups = [Group(g["code"], g["file"], g["count"], g["examples"][:EXAMPLES]) for g in verdict["errors"]]
    feedback.show(groups, more=False)
    for file in verdict["files"].values():
        if file["rejects"]:
            out.print(f"All refused records: s3://{bucket}/{terminal.shown(file['rejects'])}", soft_wrap=True)
