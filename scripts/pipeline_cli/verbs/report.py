"""`pipeline report`: write an HTML page about a day, or about all days, that can be sent by mail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError, UsageError
from pipeline_cli.report import day, overview
from pipeline_cli.report.gather import gather_day, gather_overview
from pipeline_cli.terraform import target as targets
from pipeline_cli.terraform.target import Target

STANDARD_OUTPUT = Path("-")
OVERVIEW = Path("report.html")


def page_name(batch: str) -> str:
    """Return the file name of a day's page."""
    return f"report_{batch}.html"


def write_days(target: Target, batches: list[str], home: Path) -> None:
    """Write a page for each day into the folder of `home`, the page of all days."""
    with terminal.bar() as display:
        for batch in display.track(batches, description="Days"):
            page = day.page(gather_day(target, batch), overview=home.name)
            home.with_name(page_name(batch)).write_text(page, encoding="utf-8")


def command(
    batch: options.BatchOrAll = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the page there; - is stdout. \\[default: report_BATCH.html, for all days report.html]",
        ),
    ] = None,
    every_day: Annotated[
        bool, typer.Option("--all", help="Without BATCH: also write a page for each day, into the same folder.")
    ] = False,
    env: options.Env = "",
) -> None:
    """Write one HTML page about a day, or about all days, to read in a browser, print or send by mail.

    The page of a day shows what arrived, what was refused and why, the totals and how they reconcile, how orders and
    amounts are distributed over the customers, how long each stage took, and every version. The page of all days shows
    held and failed days first, trends, and a row per day, which links to the page of the day if that is in the same
    folder. The pages need no network and contain no customer's name.

    Example: pipeline report 20220131 --out report.html; pipeline report --all

    Exit codes: 0 written, 1 no such batch, 2 BATCH is not a date, FILE can't be written, or --all with BATCH or stdout.
    """
    if every_day and (batch is not None or out == STANDARD_OUTPUT):
        raise UsageError("--all writes the pages of all days into files: give it no BATCH, and a file as --out.")
    target = targets.chosen(env)
    if batch is not None:
        found = gather_day(target, batch)
        if not found.known:
            raise CommandError(f"There is no batch {batch}: none of its files has arrived.")
        file, page = out or Path(page_name(batch)), day.page(found)
    else:
        file = out or OVERVIEW
        all_days = gather_overview(target)
        batches = [status.batch for status in all_days.days]
        if every_day:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_days(target, batches, file)
        names = {found: page_name(found) for found in batches if file.with_name(page_name(found)).exists()}
        page = overview.page(replace(all_days, pages=names if file != STANDARD_OUTPUT else {}))
    if file == STANDARD_OUTPUT:
        typer.echo(page, nl=False)
        return
    file.write_text(page, encoding="utf-8")
    terminal.out().print(f"Written: {file}", soft_wrap=True, markup=False)
