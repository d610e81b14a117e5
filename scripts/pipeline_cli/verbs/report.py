"""`pipeline report`: write an HTML page about a day, or about all days, that can be sent by mail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline_cli.deployment.batches import find_batches, read
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import UsageError
from pipeline_cli.output.files import write_whole
from pipeline_cli.report import day, overview
from pipeline_cli.terraform import target as targets

STANDARD_OUTPUT = Path("-")


def command(
    batch: options.BatchOrAll = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the page there; - is stdout. \\[default: report_BATCH.html or report.html in build/ENV]",
        ),
    ] = None,
    every_day: Annotated[
        bool, typer.Option("--all", help="Without BATCH: also write a page for each day, into the same folder.")
    ] = False,
    env: options.Env = "",
) -> None:
    """Write one HTML page about a day, or about all days, to read in a browser, print or send by mail.

    The page of a day shows what arrived, what was refused and why, the totals and how they reconcile, how long each
    stage took, and every version. The page of all days shows held and failed days first, trends, and a row per day,
    which links to the page of the day if that is in the same folder. The pages need no network and name nobody.

    Example: pipeline report 20220131 --out report.html

    Exit codes: 0 written, 1 no such batch, 2 BATCH is not a date, FILE can't be written, or --all with BATCH or stdout.
    """
    if every_day and (batch is not None or out == STANDARD_OUTPUT):
        raise UsageError("--all writes the pages of all days into files: give it no BATCH, and a file as --out.")
    target = targets.chosen(env)
    file = out or target.folder / (page_name(batch) if batch else "report.html")
    if out is None or every_day:
        file.parent.mkdir(parents=True, exist_ok=True)
    if batch:
        page = day.page(target, batch)
    else:
        batches, foreign = find_batches(target)
        if every_day:
            with terminal.bar() as display:
                for number, one in display.track(list(enumerate(batches)), description="Days"):
                    around = (
                        ("before", batches[number + 1 : number + 2]),
                        ("after", batches[max(number - 1, 0) : number]),
                    )
                    neighbours = [(word, other, page_name(other)) for word, others in around for other in others]
                    write_whole(file.with_name(page_name(one)), day.page(target, one, file.name, neighbours))
        links = {one: page_name(one) for one in batches if file.with_name(page_name(one)).exists()}
        days = read(target, batches)
        page = overview.page(target.name, days, len(foreign), {} if file == STANDARD_OUTPUT else links)
    if file == STANDARD_OUTPUT:
        typer.echo(page, nl=False)
        return
    write_whole(file, page)
    terminal.out().print(f"Written: {file}", soft_wrap=True, markup=False)


def page_name(batch: str) -> str:
    """Return the file name of a day's page."""
    return f"report_{batch}.html"
