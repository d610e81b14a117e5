"""`pipeline check`: run the pipeline's own transform over the three files of a folder, without AWS.

Partners use it before they send: it writes the very messages that the output queue would get.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, TextIO

import typer
from pipeline.errors import PipelineError
from pipeline.joining.customer_data_processor import Options, Outcome, SourceFile, messages, process
from pipeline.ledger import SourceObject, set_version
from pipeline.model.data_model import FEEDBACK_PREFIX, Kind, parse_file_name

from pipeline_cli.operations.batch_errors import group, show
from pipeline_cli.output import terminal
from pipeline_cli.output.errors import UsageError
from pipeline_cli.output.summary import Numbers, amount, files_table, reconciliation

MEMORY_MB = 1024
MAX_REFUSED_PERCENT = 20
"""As the pipeline does unless its max_refused_percent is set otherwise."""
STANDARD_OUTPUT = Path("-")


def find_files(folder: Path, batch: str = "") -> tuple[str, dict[Kind, Path]]:
    """Find the three files of a batch in a folder; without a name, of the only batch that is there.

    Raises
    ------
    UsageError
        The folder holds no batch, several, not all three files of it, or one of them twice.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder.")
    known = [(path, parse_file_name(path.name)) for path in sorted(folder.iterdir()) if path.is_file()]
    batches = sorted({file.batch for _, file in known if file})
    if not batch:
        if len(batches) > 1:
            raise UsageError(f"{folder} holds several days: {', '.join(batches)}.", "Choose one with --batch.")
        if not batches:
            raise UsageError(f"{folder} holds no file named like customers_YYYYMMDD.csv, orders_… or items_….")
        (batch,) = batches
    found: dict[Kind, Path] = {}
    for path, file in known:
        if file is None or file.batch != batch:
            continue
        if file.kind in found:
            raise UsageError(f"{found[file.kind]} and {path} are the same file twice.", "Remove one of them.")
        found[file.kind] = path
    missing = [f"{kind}_{batch}.csv" for kind in Kind if kind not in found]
    if missing:
        raise UsageError(f"The set of {batch} is not complete: {folder} has no {' and no '.join(missing)} (nor .gz).")
    return batch, found


def run(batch: str, files: Mapping[Kind, Path], workdir: Path) -> Outcome:
    """Transform the files just as the pipeline does.

    Raises
    ------
    UsageError
        The transform itself failed.
    """
    options = Options(
        memory_mb=MEMORY_MB,
        threads=os.cpu_count() or 1,
        max_refused_percent=MAX_REFUSED_PERCENT,
        rejects_location=f"{FEEDBACK_PREFIX}{batch}/{_version(files)}/",
    )
    try:
        return process(batch, {kind: SourceFile(path.name, path) for kind, path in files.items()}, workdir, options)
    except PipelineError as error:
        raise UsageError(f"The files of {batch} could not be checked: {error}.") from error


def _version(files: Mapping[Kind, Path]) -> str:
    """Foretell the version under which the pipeline will know the set: an object's ETag is its content's MD5."""
    sources = {}
    for kind, path in files.items():
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        sources[kind] = SourceObject(path.name, digest, path.stat().st_size, "")
    return set_version(sources)


def exit_code(outcome: Outcome) -> int:
    """0 where all is well, 1 where records were refused, 2 where a file could not be used, 3 where the day is held."""
    if outcome.state == "REFUSED":
        return 2
    if outcome.state == "HELD":
        return 3
    return 1 if outcome.summary.errors else 0


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO | None]:
    if path is None:
        yield None
    elif path == STANDARD_OUTPUT:
        yield sys.stdout
    else:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            yield file


def show_summary(batch: str, summary: Mapping[str, Any], errors: Iterable[Mapping[str, Any]]) -> None:
    """Print what came out, for a person."""
    out = terminal.out()
    if summary["state"] == "REFUSED":
        out.print(f"Batch {batch} [bold red]would be refused[/]: a file can't be used.")
    elif summary["state"] == "HELD":
        held = " and ".join(
            terminal.shown(file["file"]) for file in summary["files"].values() if file["too_many_refused"]
        )
        out.print(
            f"Batch {batch} [bold red]would be held[/], as too many records of {held} are refused: "
            f"nothing but the errors would be delivered. {Numbers.of(summary).sentence()}",
            soft_wrap=True,
        )
    else:
        style = "yellow" if summary["errors"] else "green"
        out.print(f"Batch {batch}: [{style}]{Numbers.of(summary).sentence()}[/]")
        out.print(f"Customers spent {amount(summary['total_amount'])} in all.")
    out.print(files_table(summary))
    if line := reconciliation(summary):
        out.print(line, soft_wrap=True)
    show(group(errors, 3, summary))


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder with the three files, .csv or .csv.gz.")],
    batch: Annotated[str, typer.Option("--batch", metavar="YYYYMMDD", help="The day, where DIR holds several.")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the messages there, one a line; - is stdout.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option("--rejects", metavar="DIR", help="Write the refused records, as read, there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Check the three files of a day before they are sent: the pipeline's own transform, without AWS.

    Shows a summary and the errors. Writes the messages that the output queue would get, one JSON object a line,
    to --out FILE, or to standard output where that is no terminal.

    Example: pipeline check /tmp/day --batch 20220131 --out messages.jsonl

    Exit codes: 0 no errors, 1 some records are refused, 2 a file can't be used or is missing,
    3 so many records are refused that the day would be held.
    """
    day, files = find_files(folder, batch)
    if out is None and not as_json and not sys.stdout.isatty():
        out = STANDARD_OUTPUT
    with TemporaryDirectory(prefix="check-") as directory:
        outcome = run(day, files, Path(directory))
        errors: list[dict[str, Any]] = []
        with _opened(out) as lines:
            for body in messages(outcome):
                if lines:
                    lines.write(body + "\n")
                if body.startswith('{"type":"error_message"'):
                    errors.append(json.loads(body))
        if rejects:
            rejects.mkdir(parents=True, exist_ok=True)
            for path in outcome.rejects.values():
                shutil.copy(path, rejects / f"{day}_{path.name}")
    if as_json:
        terminal.print_json({"batch": day, **outcome.summary.as_dict()})
    elif out != STANDARD_OUTPUT:
        show_summary(day, outcome.summary.as_dict(), errors)
    else:
        terminal.err().print(f"Batch {day}: {Numbers.of(outcome.summary.as_dict()).sentence()}")
    raise typer.Exit(exit_code(outcome))
