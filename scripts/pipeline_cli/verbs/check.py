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
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from tempfile import mkstemp
from typing import Annotated, Any, Literal, cast

import typer
from pipeline.errors import SettingsError
from pipeline.events import ObjectCreated, foreign_file_error, missing_file_error
from pipeline.joining.chunks import put_items
from pipeline.joining.customer_data_processor import Options, Outcome, SourceFile, messages, process
from pipeline.joining.gate import Gate, why_held
from pipeline.ledger import BatchState, Ledger
from pipeline.model.batch_files import CONTROL, FEEDBACK_PREFIX, INCOMING_PREFIX, BatchFile, parse_file_name
from pipeline.model.data_model import MODEL
from pipeline.model.file_set import SourceObject, set_version
from pipeline.model.items import IDENTITY, REFUSED_RECORDS
from pipeline.model.messages import RESULT_TYPE, message_for
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.control_file import ControlTotal, control_file
from pipeline.reading.decimal_marks import DecimalMark
from pipeline.settings import VerdictSettings, read_published
from rich.text import Text

from pipeline_cli.deployment.feedback import REJECTS_BYTES, group, show
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError, UsageError
from pipeline_cli.output.files import open_whole, temporary_folder, write_whole
from pipeline_cli.output.program import JudgingCommand as Command  # noqa: F401 (what `app.load` makes of this module)
from pipeline_cli.output.summary import Numbers, files_table, reconciliation, show_remarks, totals_sentence

MEMORY_MB = 1024
STANDARD_OUTPUT = Path("-")
MAX_INCOMPLETE = 1000
"""Results with incomplete totals that --json names."""
Engine = Literal["duckdb", "spark"]
Write = Callable[[bytes], object]
_LINES_AROUND = 5
"""Of the terminal's lines: for the prompt and the command before, the sentence with the file and the prompt after."""
_RESULT = f'{{"type":"{RESULT_TYPE}",'
"""How the message of a result begins."""


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder with the files, .csv or .csv.gz.")],
    batch: Annotated[str, typer.Option("--batch", metavar="YYYYMMDD", help="The day, if DIR holds several.")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write one message per line there; - is stdout.")
    ] = None,
    memory: Annotated[
        int, typer.Option("--memory", min=128, metavar="MB", help="Memory for the join; beyond that it uses the disk.")
    ] = MEMORY_MB,
    as_json: options.Json = False,
    engine: Annotated[
        Engine,
        typer.Option("--engine", metavar="ENGINE", help="duckdb, or spark as for large days; the result is the same."),
    ] = "duckdb",
    report: Annotated[
        bool, typer.Option("--report", help="Write report_YYYYMMDD.html into this folder, and open it in the browser.")
    ] = False,
    settings_file: Annotated[
        Path | None,
        typer.Option("--settings", metavar="FILE", help="The pipeline's settings: its feedback/settings.json."),
    ] = None,
    decimal_mark: Annotated[
        DecimalMark | None,
        typer.Option("--decimal-mark", metavar="MARK", help="point or comma, or auto: as the files' amounts show it."),
    ] = None,
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
    named like a batch file, 3 the day would be held (too many records are refused, or a file has none). From 64 on
    nothing is said about the files: 64 the command was called wrongly, 70 the check could not be completed.
    """
    if out is None and not as_json and not sys.stdout.isatty():
        out = STANDARD_OUTPUT
    settings = _settings(settings_file, decimal_mark)
    found = look(folder, batch, [out] if out and out != STANDARD_OUTPUT else [], settings.control_file)
    if write_control:
        found = replace(found, files={kind: path for kind, path in found.files.items() if kind != CONTROL})
    outcome: Outcome | None = None
    with temporary_folder("check-") as directory:
        if found.batch and not found.missing:
            outcome = run(found.batch, found.files, directory, memory, engine, settings)
        with _opened(out) as write:
            errors = write_messages(outcome, found.notices(), write)
        incomplete = _incomplete(outcome) if outcome and outcome.summary.incomplete else {}
        page = _page(found, outcome, errors) if report and outcome else ""
    if write_control and outcome and outcome.state != "REFUSED":
        path = folder / f"{CONTROL}_{found.batch}.csv"
        path.write_text(control_file(_count(found.files, outcome)), encoding="utf-8")
        terminal.err().print(f"Control file written: {terminal.shown(path)}", soft_wrap=True)
    summary = outcome.summary.as_dict() | {"incomplete": incomplete} if outcome else {"state": "WAITING"}
    _show(found, summary, errors, out, as_json=as_json)
    if page:
        _open(page, Path(f"report_{found.batch}.html").absolute())
    raise typer.Exit(exit_code(found, outcome))


def _open(page: str, path: Path) -> None:
    """Write a page, and open it in a browser if there is one."""
    write_whole(path, page)
    terminal.err().print(f"Written: {terminal.shown(path)}", soft_wrap=True)
    webbrowser.open(path.as_uri())


def _page(found: DayFolder, outcome: Outcome, errors: Sequence[Mapping[str, Any]]) -> str:
    """Return the page of the day as HTML."""
    from pipeline_cli.report.sections import page_of_check, refused_records  # takes a moment to import

    sources = {}
    for kind, path in found.files.items():
        facts = path.stat()
        modified = datetime.fromtimestamp(facts.st_mtime, UTC).isoformat()
        sources[kind] = SourceObject(f"{INCOMING_PREFIX}{path.name}", "", facts.st_size, modified)
    state = {"READY": BatchState.COMPLETED, "HELD": BatchState.HELD}.get(outcome.state, BatchState.FAILED)
    summary = outcome.summary.as_dict()
    entry = Ledger(str(found.batch), state, sources, version=set_version(sources), summary=summary)
    rejects = []
    for kind, path in outcome.rejects.items():
        with path.open("rb") as file:
            rejects.append((str(kind), refused_records(file.read(REJECTS_BYTES))))
    return page_of_check(entry, errors, rejects)


def _settings(file: Path | None, decimal_mark: DecimalMark | None) -> VerdictSettings:
    """Return the settings of a file, or the defaults, with the decimal mark of the command line."""
    settings = VerdictSettings()
    if file:
        try:
            settings = read_published(dict(json.loads(file.read_text(encoding="utf-8"))))
        except (SettingsError, TypeError, ValueError) as error:
            raise UsageError(f"{file} is no settings.json of the pipeline: {error}.") from error
    return replace(settings, decimal_mark=decimal_mark) if decimal_mark else settings


@dataclass(frozen=True, slots=True)
class DayFolder:
    """The files of one day in a folder.

    `batch` is None if no file name contains a day. `replaced` has pairs of a file and the newer one of the same kind
    that is used instead. `foreign` has the files that are not named like batch files, `own` what this command wrote.
    """

    batch: str | None
    files: Mapping[RecordKind, Path]
    replaced: Sequence[tuple[Path, Path]]
    foreign: Sequence[Path]
    own: Sequence[Path] = ()
    control_file: str = "accepted"

    @property
    def missing(self) -> list[RecordKind]:
        """The kinds of files that are missing."""
        kinds = (*MODEL.kinds, CONTROL) if self.control_file == "required" else MODEL.kinds
        return [kind for kind in kinds if kind not in self.files] if self.batch else []

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


def look(folder: Path, batch: str = "", ignored: Iterable[Path] = (), control_file: str = "accepted") -> DayFolder:
    """Find the files of a batch in a folder; if `batch` is empty, of the only batch in it.

    Hidden files and those in `ignored` are left out; so is what this command wrote into the folder before.

    Raises
    ------
    UsageError
        `folder` is not a folder, `batch` is not a date, or `batch` is empty and the folder has no batch or several.
    """
    if batch:
        options.check_day(batch, "--batch")
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder.")
    given = {path.resolve() for path in ignored}
    paths = [path for path in folder.iterdir() if path.is_file() and path.resolve() not in given]
    known, own, foreign = dict[Path, BatchFile](), list[Path](), list[Path]()
    # The newer file wins; of two with the same time, the one with the greater name, as in Bucket.find_set.
    for path in sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name)):
        file = parse_file_name(path.name)
        if file and not (file.kind == CONTROL and control_file == "off"):
            known[path] = file
        elif not path.name.startswith("."):
            (own if _is_own(path) else foreign).append(path)
    batches = sorted({file.batch for file in known.values()})
    if not batch and len(batches) > 1:
        raise UsageError(f"{folder} holds several days: {', '.join(batches)}.", "Choose one with --batch.")
    if not batch and not batches and not foreign:
        _, *names = (f"{name}_…" for name in MODEL.kinds)
        raise UsageError(f"{folder} holds no file named like {MODEL.root}_YYYYMMDD.csv, {' or '.join(names)}.")
    day = batch or next(iter(batches), None)
    files, replaced = dict[RecordKind, Path](), list[tuple[Path, Path]]()
    for path, file in known.items():
        if file.batch == day:
            if file.kind in files:
                replaced.append((files[file.kind], path))
            files[file.kind] = path
    found = {kind: files[kind] for kind in (*MODEL.kinds, CONTROL) if kind in files}
    return DayFolder(day, found, replaced, sorted(foreign), own, control_file)


def _is_own(path: Path) -> bool:
    """Return whether a file has messages, as --out writes them, or is a page of --report."""
    if path.name.startswith("report_") and path.suffix == ".html":
        return True
    with path.open("rb") as file:
        return file.read(100).startswith((_RESULT.encode(), b'{"type":"error_message",'))


def run(
    batch: str,
    files: Mapping[RecordKind, Path],
    workdir: Path,
    memory_mb: int = MEMORY_MB,
    engine: Engine = "duckdb",
    settings: VerdictSettings | None = None,
) -> Outcome:
    """Transform the files exactly as the pipeline does."""
    settings = settings or VerdictSettings()
    chosen = Options(
        memory_mb=memory_mb,
        threads=os.cpu_count() or 1,
        max_error_messages=settings.max_error_messages,
        gate=Gate(settings.max_refused_percent, settings.min_day_percent, settings.max_removed_percent),
        decimal_mark=cast("DecimalMark", settings.decimal_mark),
        # The version needs a second pass over every byte, so it is computed only when an error text needs it.
        rejects_location=lambda: f"{FEEDBACK_PREFIX}{batch}/{_version(files)}/",
    )
    sources = {kind: SourceFile(path.name, path) for kind, path in files.items()}
    if engine == "duckdb":
        return process(batch, sources, workdir, chosen)
    if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
        raise CommandError(
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
    totals = {}
    for kind, path in files.items():
        amounts = {
            measure.column: outcome.summary.reconciliations[measure.name].scanned_amount
            for measure in MODEL.sums
            if measure.kind == kind
        }
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        amount = sum(amounts.values(), Decimal(0)) if amounts else None
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


def _incomplete(outcome: Outcome) -> dict[str, int]:
    """Return how many refused records the first incomplete results lack, by reference."""
    found = (item for item in put_items(outcome.chunks) if REFUSED_RECORDS in item)
    return {item[IDENTITY]: int(item[REFUSED_RECORDS]) for item in islice(found, MAX_INCOMPLETE)}


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
    for body in messages(outcome) if outcome else ():
        if body.startswith(_RESULT):
            write(_encoded(body))
        else:
            errors.append(_encoded(body))
    # The errors of each file are already in line order, and the sort is stable.
    found = sorted(((json.loads(line), line) for line in errors), key=lambda error: str(error[0]["file"]))
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


def show_summary(
    batch: str, summary: Mapping[str, Any], errors: Sequence[Mapping[str, Any]], examples: int = 3
) -> None:
    """Print the outcome for a person to read, with some examples of each error: what refuses a file first."""
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
        show_incomplete(summary.get("incomplete", {}))
    terminal.print_table(files_table(summary))
    if line := reconciliation(summary):
        out.print(line, soft_wrap=True)
    groups = group(errors, examples, summary)
    show(sorted(groups, key=lambda found: found.examples[0]["line"] is not None))  # what refuses or holds a whole file
    show_remarks(summary)


def show_incomplete(refused: Mapping[str, int], examples: int = 5) -> None:
    """Print the first results with incomplete totals; `refused` is how many records each lacks."""
    named = [f"{terminal.shown(name)} ({number} refused)" for name, number in islice(refused.items(), examples)]
    if named:
        more = ", …" if len(refused) > examples else ""
        terminal.out().print(f"Incomplete: {', '.join(named)}{more}", soft_wrap=True)


def _show(
    found: DayFolder, summary: Mapping[str, Any], errors: list[dict[str, Any]], out: Path | None, *, as_json: bool
) -> None:
    """Print the summary; it goes to standard error if the messages go to standard output."""
    if as_json:
        about_files = {
            "missing": found.missing,
            "foreign_files": [path.name for path in found.foreign],
            "replaced_files": [other.name for other, _ in found.replaced],
        }
        terminal.print_json({"batch": found.batch, **summary, **about_files})
        return
    note = terminal.err()
    for path in found.own:
        note.print(f"[dim]{terminal.shown(path.name)} is what this command wrote: left out.[/]", soft_wrap=True)
    for sentence in found.sentences():
        note.print(f"[yellow]{terminal.shown(sentence)}[/]", soft_wrap=True)
    if summary["state"] == "WAITING":
        waits = f"Batch {found.batch} would wait" if found.batch else "There would be no batch"
        note.print(f"{waits}: only the errors about files would be sent.")
    elif out == STANDARD_OUTPUT:
        note.print(f"Batch {found.batch}: {Numbers.of(summary).sentence()}")
    elif sys.stdout.isatty():
        _show_screenful(str(found.batch), summary, errors, out)
    else:
        show_summary(str(found.batch), summary, errors)


def _show_screenful(
    batch: str, summary: Mapping[str, Any], errors: Sequence[Mapping[str, Any]], out: Path | None
) -> None:
    """Print as much of the outcome as the terminal shows at once, and where the rest is: in `out`, or in a new file."""
    console = terminal.out()
    with terminal.captured(like_terminal=True) as screen:
        show_summary(batch, summary, errors)
    lines = Text.from_ansi(screen.getvalue()).wrap(console, console.width)
    room = console.height - _LINES_AROUND
    everything = len(errors) <= sum(len(found.examples) for found in group(errors, 3))
    for line in lines[: room if len(lines) > room else None]:
        console.print(line)
    if len(lines) <= room and everything:
        return
    if out is None:
        with terminal.captured() as text:
            show_summary(batch, summary, errors, len(errors))
        number, name = mkstemp(prefix=f"check-{batch}-", suffix=".txt")
        with os.fdopen(number, "wb") as file:
            file.write(text.getvalue().encode())
        out = Path(name)
    console.print(f"[bold]All of it:[/] {terminal.shown(out)}", soft_wrap=True)
