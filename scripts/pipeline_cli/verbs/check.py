"""`pipeline check`: run the pipeline's transform on the files of a day in a folder, without AWS.

Partners run it before they send files: it writes exactly the messages that would go to the output queue.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated, Any

import typer
from pipeline.errors import PipelineError, ResourceLimitError
from pipeline.events import ObjectCreated, foreign_file_error, missing_file_error
from pipeline.joining.customer_data_processor import Options, Outcome, SourceFile, process
from pipeline.joining.gate import Gate, why_held
from pipeline.joining.message_lines import RESULT_MESSAGE, message_lines
from pipeline.model.batch_files import CONTROL, FEEDBACK_PREFIX, INCOMING_PREFIX, parse_file_name
from pipeline.model.data_model import MODEL
from pipeline.model.file_set import SourceObject, set_version
from pipeline.model.messages import message_for
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.control_file import ControlTotal, control_file

from pipeline_cli.deployment.feedback import group, show
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError, UsageError
from pipeline_cli.output.explain import NO_ROOM
from pipeline_cli.output.files import open_whole, temporary_folder
from pipeline_cli.output.summary import Numbers, files_table, reconciliation, show_remarks, totals_sentence

MEMORY_MB = 1024
STANDARD_OUTPUT = Path("-")
Write = Callable[[bytes], object]
_MORE_ROOM = "--memory gives it more memory (in MB), the variable TMPDIR another disk."


class NotCheckedError(CommandError):
    """The check could not be completed; this says nothing about the files."""

    exit_code = 4


class Engine(StrEnum):
    """The engine that reads and joins the records."""

    DUCKDB = "duckdb"
    SPARK = "spark"


class DecimalMarkOption(StrEnum):
    """What the decimal mark of amounts is."""

    AUTO = "auto"
    POINT = "point"
    COMMA = "comma"


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder with the files, .csv or .csv.gz.")],
    batch: Annotated[str, typer.Option("--batch", metavar="YYYYMMDD", help="The day, if DIR holds several.")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write one message per line there; - is stdout.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option("--rejects", metavar="DIR", help="Write the refused records there, as read.")
    ] = None,
    memory: Annotated[
        int, typer.Option("--memory", min=128, metavar="MB", help="Memory for the join; beyond that it uses the disk.")
    ] = MEMORY_MB,
    as_json: options.Json = False,
    engine: Annotated[
        Engine,
        typer.Option("--engine", metavar="ENGINE", help="duckdb, or spark as for large days; the result is the same."),
    ] = Engine.DUCKDB,
    decimal_mark: Annotated[
        DecimalMarkOption,
        typer.Option("--decimal-mark", metavar="MARK", help="point or comma, or auto: as the files' amounts show it."),
    ] = DecimalMarkOption.AUTO,
    write_control: Annotated[
        bool, typer.Option("--write-control", help="Write a control file for the files into DIR, to be sent with them.")
    ] = False,
) -> None:
    """Check the files of a day before they are sent, with the pipeline's own transform and without AWS.

    Shows a summary and the errors. Writes the messages that would go to the output queue, one JSON object per line, to
    --out FILE, or to standard output if that is not a terminal. They include the errors about files that are missing
    or whose names are not those of batch files.

    Example: pipeline check day --batch 20220131 --out messages.jsonl

    Exit codes: 0 no errors, 1 some records are refused, 2 a file can't be used, is missing, is there twice or is not
    named like a batch file, 3 the day would be held (too many records are refused, or a file has none), 4 the
    check could not be completed because disk space or memory ran out.
    """
    if out is None and not as_json and not sys.stdout.isatty():
        out = STANDARD_OUTPUT
    found = look(folder, batch, ignored=[out] if out and out != STANDARD_OUTPUT else [])
    if write_control:
        found = replace(found, files={kind: path for kind, path in found.files.items() if kind != CONTROL})
    what = f"The check of {found.batch or folder}"
    outcome: Outcome | None = None
    with enough_room(what), temporary_folder("check-") as directory:
        if found.batch and not found.missing:
            outcome = run(found.batch, found.files, directory, memory, engine, decimal_mark)
        with _opened(out) as write:
            errors = write_messages(outcome, found.notices(), write)
        if rejects and outcome:
            rejects.mkdir(parents=True, exist_ok=True)
            for path in outcome.rejects.values():
                shutil.copy(path, rejects / f"{found.batch}_{path.name}")
    if write_control and outcome and outcome.state != "REFUSED":
        path = folder / f"{CONTROL}_{found.batch}.csv"
        path.write_text(control_file(_count(found.files, outcome)))
        terminal.err().print(f"Control file written: {terminal.shown(path)}", soft_wrap=True)
    _show(found, outcome, errors, out, as_json=as_json)
    raise typer.Exit(exit_code(found, outcome))


@dataclass(frozen=True, slots=True)
class DayFolder:
    """The files of one day in a folder.

    `batch` is None if no file name contains a day. `replaced` has pairs of a file and the newer one of the same kind
    that is used instead. `foreign` has the files that are not named like batch files.
    """

    batch: str | None
    files: Mapping[RecordKind, Path]
    replaced: Sequence[tuple[Path, Path]]
    foreign: Sequence[Path]

    @property
    def missing(self) -> list[RecordKind]:
        """The kinds of files that are missing."""
        return [kind for kind in MODEL.kinds if kind not in self.files] if self.batch else []

    @property
    def is_sound(self) -> bool:
        """Whether each file is there exactly once, and nothing else is."""
        return not (self.missing or self.replaced or self.foreign)

    def notices(self) -> list[str]:
        """Return the bodies of the error messages about missing and foreign files, in order of file name.

        They are the messages that the functions would send, for a missing file once it is due.
        """
        items = [missing_file_error(self.batch, kind) for kind in self.missing] if self.batch else []
        items += [
            foreign_file_error(ObjectCreated(bucket="", key=INCOMING_PREFIX + path.name, etag=""))
            for path in self.foreign
        ]
        found = (message_for(item) for item in sorted(items, key=lambda item: str(item["file"])))
        return [message.body for message in found if message]

    def sentences(self) -> list[str]:
        """Return a sentence for each problem with the files, for a person to read."""
        return [
            *(f"{kind}_{self.batch}.csv (or .csv.gz) is missing." for kind in self.missing),
            *(f"{path.name} is not a batch file's name." for path in self.foreign),
            *(
                f"{other.name} and {path.name} are the same file twice. The pipeline takes the one that is sent last; "
                f"the younger, {path.name}, is checked here. Remove the other."
                for other, path in self.replaced
            ),
        ]


def look(folder: Path, batch: str = "", ignored: Iterable[Path] = ()) -> DayFolder:
    """Find the files of a batch in a folder; if `batch` is empty, of the only batch in it.

    Hidden files and those in `ignored` (output of the command itself) are left out.

    Raises
    ------
    UsageError
        `folder` is not a folder, `batch` is not a date, or `batch` is empty and the folder has no batch or several.
    """
    if batch:
        options.check_day(batch, "--batch")
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder.")
    own = {path.resolve() for path in ignored}
    paths = [path for path in sorted(folder.iterdir()) if path.is_file() and path.resolve() not in own]
    known = {path: parse_file_name(path.name) for path in paths if not path.name.startswith(".")}
    batches = sorted({file.batch for file in known.values() if file})
    foreign = [path for path, file in known.items() if file is None]
    if not batch and len(batches) > 1:
        raise UsageError(f"{folder} holds several days: {', '.join(batches)}.", "Choose one with --batch.")
    if not batch and not batches and not foreign:
        first, *names = MODEL.kinds
        others = " or ".join([", ".join(f"{name}_…" for name in names[:-1]), *(f"{name}_…" for name in names[-1:])])
        raise UsageError(f"{folder} holds no file named like {first}_YYYYMMDD.csv, {others}.")
    day = batch or next(iter(batches), None)
    files: dict[RecordKind, Path] = {}
    replaced = []
    # The newer file wins; of two with the same time, the one with the greater name, as in Bucket.find_set.
    for path in sorted(known, key=lambda path: (path.stat().st_mtime_ns, path.name)):
        file = known[path]
        if file and file.batch == day:
            if file.kind in files:
                replaced.append((files[file.kind], path))
            files[file.kind] = path
    kinds = (*MODEL.kinds, CONTROL)
    return DayFolder(day, {kind: files[kind] for kind in kinds if kind in files}, replaced, foreign)


def run(
    batch: str,
    files: Mapping[RecordKind, Path],
    workdir: Path,
    memory_mb: int = MEMORY_MB,
    engine: Engine = Engine.DUCKDB,
    decimal_mark: DecimalMarkOption = DecimalMarkOption.AUTO,
) -> Outcome:
    """Transform the files exactly as the pipeline does.

    Raises
    ------
    NotCheckedError
        There was not enough memory or disk space, or the transform itself failed.
    """
    chosen = Options(
        memory_mb=memory_mb,
        threads=os.cpu_count() or 1,
        gate=Gate(),
        decimal_mark=decimal_mark.value,
        # The version needs a second pass over every byte, so it is computed only when an error text needs it.
        rejects_location=lambda: f"{FEEDBACK_PREFIX}{batch}/{_version(files)}/",
    )
    try:
        sources = {kind: SourceFile(path.name, path) for kind, path in files.items()}
        if engine is Engine.SPARK:
            if decimal_mark is not DecimalMarkOption.AUTO:
                raise NotCheckedError("--decimal-mark needs --engine duckdb.")
            return _on_spark(batch, sources, workdir, chosen)
        return process(batch, sources, workdir, chosen)
    except PipelineError as error:
        hint = _MORE_ROOM if isinstance(error, ResourceLimitError) else ""
        raise NotCheckedError(f"The check of {batch} was not finished: {error}.", hint) from error


def _on_spark(batch: str, sources: Mapping[RecordKind, SourceFile], workdir: Path, chosen: Options) -> Outcome:
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


def _count(files: Mapping[RecordKind, Path], outcome: Outcome) -> dict[str, ControlTotal]:
    """Return the control totals of the files of a day, by file name."""
    amounts = {
        (measure.kind, measure.column): Decimal(outcome.summary.reconciliations[measure.name].scanned_amount)
        for measure in MODEL.sums
    }
    totals = {}
    for kind, path in files.items():
        of_kind = [amount for (measured, _), amount in amounts.items() if measured == kind]
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        amount = sum(of_kind, Decimal(0)) if of_kind else None
        totals[path.name] = ControlTotal(outcome.summary.files[kind].read, amount, digest)
    return totals


def _version(files: Mapping[RecordKind, Path]) -> str:
    """Compute the version that the pipeline will give the set, from MD5 sums: the ETags that S3 will report."""
    sources = {}
    for kind, path in files.items():
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        sources[kind] = SourceObject(path.name, digest, path.stat().st_size, "")
    return set_version(sources)


@contextmanager
def enough_room(what: str) -> Iterator[None]:
    """Turn a lack of memory or disk space inside the block into an error that names `what` and the place.

    Raises
    ------
    NotCheckedError
        Memory or disk space ran out.
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
    """Return the highest code that applies: 0, 1 (records refused), 2 (files to correct) or 3 (the day is held)."""
    of_files = 0 if folder.is_sound else 2
    if outcome is None:
        return of_files
    of_state = {"REFUSED": 2, "HELD": 3}.get(outcome.state, 1 if outcome.summary.errors else 0)
    return max(of_files, of_state)


def write_messages(outcome: Outcome | None, notices: Iterable[str], write: Write) -> list[dict[str, Any]]:
    """Write the messages of a day, results first, then errors by file and line; return the errors.

    `notices` are the bodies of further error messages about files, which the outcome does not include.
    """
    errors = [_encoded(body) for body in notices]
    for block in message_lines(outcome.chunks) if outcome else ():
        if block.startswith(RESULT_MESSAGE):
            write(block)
        else:
            errors.append(block)
    # The errors of each file are already in line order, and the sort is stable.
    found = sorted(((json.loads(line), line) for line in errors if line), key=lambda error: str(error[0]["file"]))
    for _, line in found:
        write(line)
    return [fields for fields, _ in found]


def _encoded(body: str) -> bytes:
    # A file name that is not valid UTF-8 contains surrogates, which can only be written escaped.
    return f"{body}\n".encode(errors="backslashreplace")


def _print_lines(block: bytes) -> None:
    for line in block.decode().split("\n")[:-1]:
        terminal.print_line(line)


@contextmanager
def _opened(path: Path | None) -> Iterator[Write]:
    """Open the file for the messages; on a terminal, control characters are escaped."""
    if path is None:
        yield lambda _: None
    elif path != STANDARD_OUTPUT:
        with open_whole(path) as file:
            yield file.write
    elif sys.stdout.isatty():
        yield _print_lines
    else:
        sys.stdout.flush()
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()


def show_summary(batch: str, summary: Mapping[str, Any], errors: Iterable[Mapping[str, Any]]) -> None:
    """Print the outcome for a person to read."""
    out = terminal.out()
    if summary["state"] == "REFUSED":
        out.print(f"Batch {batch} [bold red]would be refused[/]: a file can't be used.")
    elif summary["state"] == "HELD":
        out.print(
            f"Batch {batch} [bold red]would be held[/], as {terminal.shown(why_held(summary))}: "
            f"nothing but the errors would be delivered. {Numbers.of(summary).sentence()}",
            soft_wrap=True,
        )
    else:
        style = "yellow" if summary["errors"] else "green"
        out.print(f"Batch {batch}: [{style}]{Numbers.of(summary).sentence()}[/]")
        out.print(f"In all: {totals_sentence(summary)}.")
    terminal.print_table(files_table(summary))
    if line := reconciliation(summary):
        out.print(line, soft_wrap=True)
    show_remarks(summary)
    show(group(errors, 3, summary))


def _show(
    found: DayFolder, outcome: Outcome | None, errors: list[dict[str, Any]], out: Path | None, *, as_json: bool
) -> None:
    """Print the summary; it goes to standard error if the messages go to standard output."""
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
