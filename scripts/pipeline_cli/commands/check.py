"""`pipeline check`: run the pipeline's own transform over the three files of a folder, without AWS.

Partners use it before they send: it writes the very messages that the output queue would get.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Annotated, Any, BinaryIO

import typer
from pipeline.errors import PipelineError, ResourceLimitError
from pipeline.joining.customer_data_processor import Options, Outcome, SourceFile, process
from pipeline.joining.message_lines import CUSTOMER_MESSAGE, message_lines
from pipeline.ledger import SourceObject, set_version
from pipeline.model.data_model import FEEDBACK_PREFIX, Kind

from pipeline_cli.operations.batch_errors import group, show
from pipeline_cli.operations.day_folder import DayFolder, look
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.summary import Numbers, amount, files_table, reconciliation

MEMORY_MB = 1024
MAX_REFUSED_PERCENT = 20
"""As the pipeline does unless its max_refused_percent is set otherwise."""
STANDARD_OUTPUT = Path("-")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MORE_ROOM = "--memory gives it more memory (in MB), the variable TMPDIR another disk."


class NotCheckedError(CommandError):
    """The check itself could not be done: the files may be right."""

    exit_code = 4


class Engine(StrEnum):
    """What reads and joins the records."""

    DUCKDB = "duckdb"
    SPARK = "spark"


def run(
    batch: str,
    files: Mapping[Kind, Path],
    workdir: Path,
    memory_mb: int = MEMORY_MB,
    engine: Engine = Engine.DUCKDB,
) -> Outcome:
    """Transform the files just as the pipeline does.

    Raises
    ------
    NotCheckedError
        Memory or disk did not suffice, or the transform found a fault of its own.
    """
    chosen = Options(
        memory_mb=memory_mb,
        threads=os.cpu_count() or 1,
        max_refused_percent=MAX_REFUSED_PERCENT,
        # To know the version, every byte is read once more: only where a sentence names it.
        rejects_location=lambda: f"{FEEDBACK_PREFIX}{batch}/{_version(files)}/",
    )
    try:
        sources = {kind: SourceFile(path.name, path) for kind, path in files.items()}
        if engine is Engine.SPARK:
            return _on_spark(batch, sources, workdir, chosen)
        return process(batch, sources, workdir, chosen)
    except PipelineError as error:
        hint = _MORE_ROOM if isinstance(error, ResourceLimitError) else ""
        raise NotCheckedError(f"The check of {batch} was not finished: {error}.", hint) from error


def _on_spark(batch: str, sources: Mapping[Kind, SourceFile], workdir: Path, chosen: Options) -> Outcome:
    if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
        raise NotCheckedError(
            "Spark or Java is not installed here.",
            "Install Java 17 (Debian: openjdk-17-jre-headless); make test-spark installs Spark.",
        )
    from pipeline.large.local import local_session
    from pipeline.large.local import process as process_on_spark

    spark = local_session(os.cpu_count() or 1, workdir / "spark")
    try:
        return process_on_spark(spark, batch, sources, workdir, chosen)
    finally:
        spark.stop()


def _version(files: Mapping[Kind, Path]) -> str:
    """Foretell the version under which the pipeline will know the set: an object's ETag is its content's MD5."""
    sources = {}
    for kind, path in files.items():
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        sources[kind] = SourceObject(path.name, digest, path.stat().st_size, "")
    return set_version(sources)


@contextmanager
def enough_room(what: str) -> Iterator[None]:
    """Say in one sentence where the disk or the memory of this machine is full.

    Raises
    ------
    NotCheckedError
        It is.
    """
    try:
        yield
    except MemoryError as error:
        raise NotCheckedError(f"{what} was not finished: this machine has no memory left.", _MORE_ROOM) from error
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        where = error.filename or f"{gettempdir()} (or where the results go)"
        sentence = f"{what} was not finished: {where} has no room left ({error.strerror})."
        raise NotCheckedError(sentence, _MORE_ROOM) from error


def exit_code(folder: DayFolder, outcome: Outcome | None) -> int:
    """Return the greatest that applies of 0, 1 (records refused), 2 (files to put right) and 3 (the day is held)."""
    of_files = 0 if folder.is_sound else 2
    if outcome is None:
        return of_files
    of_state = {"REFUSED": 2, "HELD": 3}.get(outcome.state, 1 if outcome.summary.errors else 0)
    return max(of_files, of_state)


def write_messages(
    outcome: Outcome | None, notices: Iterable[str], out: BinaryIO | _Screen | None
) -> list[dict[str, Any]]:
    """Write the messages of a day, customers first, then errors by file and line, and return the errors.

    `notices` are the bodies of errors about files that are not part of the day's outcome.
    """
    errors = [_encoded(body) for body in notices]
    for block in message_lines(outcome.chunks) if outcome else ():
        if not block.startswith(CUSTOMER_MESSAGE):
            errors.append(block)
        elif out:
            out.write(block)
    # Those of a file are in the order of its lines already.
    found = sorted(((json.loads(line), line) for line in errors if line), key=lambda error: str(error[0]["file"]))
    if out:
        out.writelines(line for _, line in found)
    return [fields for fields, _ in found]


def _encoded(body: str) -> bytes:
    # A file name that is no UTF-8 has surrogates, which JSON can only escape.
    return f"{body}\n".encode(errors="backslashreplace")


class _Screen:
    """Standard output where it is a terminal: bodies are shown as JSON that it does not obey."""

    def write(self, lines: bytes) -> None:
        for line in lines.decode().split("\n")[:-1]:
            terminal.print_line(line)

    def writelines(self, blocks: Iterable[bytes]) -> None:
        for block in blocks:
            self.write(block)


@contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO | _Screen | None]:
    if path is None:
        yield None
    elif path != STANDARD_OUTPUT:
        with path.open("wb") as file:
            yield file
    elif sys.stdout.isatty():
        yield _Screen()
    else:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()


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
    memory: Annotated[
        int, typer.Option("--memory", min=128, metavar="MB", help="Memory for the join; beyond it, it uses the disk.")
    ] = MEMORY_MB,
    as_json: options.Json = False,
    engine: Annotated[
        Engine,
        typer.Option("--engine", metavar="ENGINE", help="duckdb, or spark: that of large days, the same result."),
    ] = Engine.DUCKDB,
) -> None:
    """Check the three files of a day before they are sent: the pipeline's own transform, without AWS.

    Shows a summary and the errors. Writes the messages that the output queue would get, one JSON object a line,
    to --out FILE, or to standard output where that is no terminal; also those about files that are missing or have
    another name than a batch file's.

    Example: pipeline check /tmp/day --batch 20220131 --out messages.jsonl

    Exit codes: 0 no errors, 1 some records are refused, 2 a file can't be used, is missing, is there twice or has a
    foreign name, 3 so many records are refused that the day would be held, 4 the check itself could not be done, as
    disk or memory ran out.
    """
    if out is None and not as_json and not sys.stdout.isatty():
        out = STANDARD_OUTPUT
    found = look(folder, batch, ignored=[out] if out and out != STANDARD_OUTPUT else [])
    what = f"The check of {found.batch or folder}"
    outcome: Outcome | None = None
    with enough_room(what), TemporaryDirectory(prefix="check-") as directory:
        if found.batch and not found.missing:
            outcome = run(found.batch, found.files, Path(directory), memory, engine)
        with _opened(out) as lines:
            errors = write_messages(outcome, found.notices(), lines)
        if rejects and outcome:
            rejects.mkdir(parents=True, exist_ok=True)
            for path in outcome.rejects.values():
                shutil.copy(path, rejects / f"{found.batch}_{path.name}")
    _show(found, outcome, errors, out, as_json=as_json)
    raise typer.Exit(exit_code(found, outcome))


def _show(
    found: DayFolder, outcome: Outcome | None, errors: list[dict[str, Any]], out: Path | None, *, as_json: bool
) -> None:
    """Print the summary, on standard error where standard output has the messages."""
    summary = outcome.summary.as_dict() if outcome else {"state": "WAITING"}
    if as_json:
        about_files = {
            "missing": found.missing,
            "foreign_files": [path.name for path in found.foreign],
            "replaced_files": [other.name for other, _ in found.replaced],
        }
        terminal.print_json({"batch": found.batch, **summary, **about_files})
        return
    note = terminal.err()
    for sentence in found.sentences():
        note.print(f"[yellow]{terminal.shown(sentence)}[/]", soft_wrap=True)
    if outcome is None:
        waits = f"Batch {found.batch} would wait" if found.batch else "There would be no batch"
        note.print(f"{waits}: only the errors about files would be sent.")
    elif out == STANDARD_OUTPUT:
        note.print(f"Batch {found.batch}: {Numbers.of(summary).sentence()}")
    else:
        show_summary(str(found.batch), summary, errors)
