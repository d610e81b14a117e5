"""`pipeline sample`: generate realistic partner files for a day, of any size, with some bad records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pipeline.model.batch_files import today
from pipeline.model.data_model import MODEL

from pipeline_cli.deployment.sample import generate
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import UsageError


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write the three files.")],
    day: Annotated[str, typer.Option("--date", metavar="YYYYMMDD", help="The day.", show_default="today")] = "",
    customers: Annotated[int, typer.Option(min=0, metavar="N", help="How many customers.")] = 200,
    defects: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Share of records that are bad, from 0 to 1.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(metavar="N", help="The seed of the random customers and orders.")] = 1,
    compress: Annotated[bool, typer.Option("--gzip", help="Write .csv.gz files.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    as_json: options.Json = False,
) -> None:
    """Generate the files of a realistic day with some bad records; the same arguments give the same files.

    Example: pipeline sample /tmp/day --date 20220131 --customers 1000 --defects 0.02

    Exit codes: 0 written, 2 a file exists already.
    """
    day = options.check_day(day or today(), "--date")
    in_the_way = [path for kind in MODEL.kinds for path in folder.glob(f"{kind}_{day}.csv*")]
    if in_the_way and not force:
        raise UsageError(f"{in_the_way[0]} is there already.", "Use --force to overwrite it.")
    for path in in_the_way:
        path.unlink()
    sample = generate(folder, day, customers, defects, seed, compress=compress)
    if as_json:
        terminal.print_json(
            {
                "files": {kind: str(path) for kind, path in sample.files.items()},
                "records": sample.records,
                "defects": sample.defects,
            }
        )
        return
    out = terminal.out()
    for kind, path in sample.files.items():
        out.print(f"{path}  {sample.records[kind]:,} records")
    out.print(
        f"{sample.defects:,} of them are wrong on purpose. Try: {hints.program()} check {folder} --batch {day}",
        soft_wrap=True,
    )
