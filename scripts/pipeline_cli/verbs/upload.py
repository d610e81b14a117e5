"""`pipeline upload`: send partner files to `incoming/` and follow their batch until it is done."""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pipeline.model.batch_files import INCOMING_PREFIX, BatchFile, parse_file_name, today
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.dialect import RefusedFileError
from pipeline.reading.header import Header, read_header
from rich.progress import DownloadColumn

from pipeline_cli.deployment.batches import BatchStatus, headline, read
from pipeline_cli.deployment.following import FOLLOW_SECONDS, follow, raise_unless_completed
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import UsageError
from pipeline_cli.output.files import temporary_folder
from pipeline_cli.output.summary import DELIMITERS
from pipeline_cli.terraform import target as targets

if TYPE_CHECKING:
    from pipeline_cli.terraform.target import Target

HEADER_BYTES = 64 * 1024
GZIP_MAGIC = b"\x1f\x8b"
PART_BYTES = 64 * 1024 * 1024
"""Files of this size or more are sent in parts of it; S3's maximum of 10,000 parts is more than its 5 TB limit."""


class UnrecognisedError(UsageError):
    """The kind of a file can't be recognised from its header."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A local file and what it is sent as; `note` gives the reason if that is not the file's own name."""

    path: Path
    file: BatchFile
    note: str | None = None

    @property
    def name(self) -> str:
        """Its name in `incoming/`."""
        return self.file.name

    @property
    def key(self) -> str:
        """The object key."""
        return INCOMING_PREFIX + self.name


def command(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE... | DIR", help="Files, or a folder of files.")],
    date: Annotated[
        str,
        typer.Option("--date", metavar="YYYYMMDD", help="The day of files without a date in their name; else today."),
    ] = "",
    no_wait: options.NoWait = False,
    env: options.Env = "",
) -> None:
    """Send files to incoming/ and follow their batch until it is done.

    A file that is not named like a batch file (KIND_YYYYMMDD.csv, also .gz) is recognised by its header and sent under
    the right name; if that fails, nothing is sent. Ctrl-C says what was sent.

    Example: pipeline upload build/day --date 20220131

    Exit codes: 0 sent (and COMPLETED, or waiting for missing files), 1 the batch FAILED, is HELD or takes over an hour,
    2 a file was refused.
    """
    uploads, left_out = plan([path.expanduser() for path in paths], date or today())
    target = targets.chosen(env)
    note = terminal.err()
    for sentence in left_out:
        note.print(f"[yellow]Left out:[/] {terminal.shown(sentence)}.", soft_wrap=True)
    for upload in uploads:
        if upload.note:
            note.print(
                f"{terminal.shown(upload.path)} is sent as [bold]{upload.name}[/]: {upload.note}.", soft_wrap=True
            )
    batches = sorted({upload.file.batch for upload in uploads})
    before = {batch: entry.execution for batch in batches if (entry := target.table.get_ledger(batch))}
    send_with_display(target, uploads)
    results: Sequence[BatchStatus] = []
    if not no_wait:
        results = follow(
            target,
            lambda: read(target, batches),
            over=lambda status: bool(status.lacking) or status.settled,  # it is not known when missing files come
            timeout=FOLLOW_SECONDS,
        )
    _show(results, before, env)
    if no_wait:
        follow_it = hints.command("status", batches[0], env=env)
        terminal.out().print(f"Sent. Follow it with: {follow_it}", soft_wrap=True)
    raise_unless_completed({result.batch: result.state for result in results if not result.lacking}, env)


def plan(paths: Sequence[Path], date: str) -> tuple[list[Upload], list[str]]:
    """Decide what to upload, before anything is sent.

    A folder means all files in it. Return the uploads, and a sentence for each file of a folder that is left out.

    Raises
    ------
    UsageError
        A file outside a folder can't be recognised, or two files would become the same file of a batch.
    """
    options.check_day(date, "The date")
    uploads: list[Upload] = []
    refused: list[str] = []
    left_out: list[str] = []
    for path in paths:
        if not path.exists():
            refused.append(f"{path} does not exist")
            continue
        for file in _files_in(path) if path.is_dir() else [path]:
            try:
                uploads.append(recognise(file, date))
            except UnrecognisedError as error:
                (left_out if path.is_dir() else refused).append(str(error))
    refused += _clashes(uploads)
    if refused:
        raise UsageError("; ".join(refused) + ".", "Nothing was uploaded.")
    if not uploads:
        raise UsageError("; ".join(["There is nothing to upload", *left_out]) + ".")
    return uploads, left_out


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _clashes(uploads: Iterable[Upload]) -> list[str]:
    clashes: list[str] = []
    first: dict[tuple[str, str], Upload] = {}
    for upload in uploads:
        file = upload.file
        other = first.setdefault((file.batch, file.kind), upload)
        if other is not upload:
            clashes.append(f"{other.path} and {upload.path} would both be the {file.kind} file of {file.batch}")
    return clashes


def recognise(path: Path, date: str) -> Upload:
    """Find the name of a batch file for a file: its own name if valid, else one from the kind that its header shows.

    Raises
    ------
    UnrecognisedError
        The header fits no kind, or several; the message says why.
    """
    if file := parse_file_name(path.name):
        return Upload(path, file)
    with temporary_folder("upload-") as folder:
        start = folder / "start"
        compressed = _copy_start(path, start)
        headers, causes = dict[RecordKind, Header](), dict[RecordKind, str]()
        for kind in MODEL.kinds:
            try:
                headers[kind] = read_header(start, kind)
            except RefusedFileError as error:
                causes[kind] = str(error)
    if len(headers) > 1:
        raise UnrecognisedError(f"{path}: its header has the columns of more than one kind ({' and '.join(headers)})")
    for kind, header in headers.items():
        file = BatchFile(kind, date, f"{kind}_{date}.csv{'.gz' if compressed else ''}")
        return Upload(path, file, f"its header ({DELIMITERS[header.delimiter]}-delimited) is that of {kind}")
    *others, last = MODEL.kinds
    closest, cause = min(causes.items(), key=lambda one: len(one[1]))
    raise UnrecognisedError(
        f"{path}: its first line is not the header of a {', '.join(others)} or {last} file; for {closest}, {cause}"
    )


def _copy_start(path: Path, start: Path) -> bool:
    """Copy the first bytes of a file, unpacked; return whether it is compressed."""
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        try:
            start.write_bytes((gzip.GzipFile(fileobj=file) if compressed else file).read(HEADER_BYTES))
        except (OSError, EOFError, zlib.error) as error:
            raise UnrecognisedError(f"{path}: a broken gzip file") from error
    return compressed


def send(target: Target, uploads: Sequence[Upload], report: Callable[[Upload, int], None] = lambda *_: None) -> None:
    """Upload the files one after the other; `report` gets the number of bytes that were just sent of a file."""
    from boto3.s3.transfer import TransferConfig

    s3, config = target.client("s3"), TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)
    for number, upload in enumerate(uploads):
        try:
            s3.upload_file(
                str(upload.path), target.bucket.name, upload.key, Config=config,
                Callback=functools.partial(report, upload),
            )  # fmt: skip
        except KeyboardInterrupt:
            sent = terminal.listed(one.name for one in uploads[:number]) if number else "nothing"
            rest = terminal.listed(one.name for one in uploads[number:])
            terminal.err().print(f"Sent: {terminal.shown(sent)}. Not sent: {terminal.shown(rest)}.", soft_wrap=True)
            raise


def send_with_display(target: Target, uploads: Sequence[Upload]) -> None:
    """Upload the files with a progress bar for each."""
    with terminal.bar(DownloadColumn()) as progress:
        tasks = {upload: progress.add_task(upload.name, total=upload.path.stat().st_size) for upload in uploads}
        send(target, uploads, lambda upload, count: progress.advance(tasks[upload], count))


def _show(results: Sequence[BatchStatus], before: Mapping[str, str | None], env: str) -> None:
    """Print how each batch ended; `before` has the run of each batch that the ledger contained before."""
    out = terminal.out()
    for result in results:
        if result.lacking or result.ledger is None:
            out.print(f"{result.batch}: waits for {terminal.listed(result.lacking)}", soft_wrap=True)
            continue
        out.print(headline(result.ledger), soft_wrap=True)
        if before.get(result.batch) == result.ledger.execution:
            again = hints.command("replay", result.batch, env=env)
            out.print(f"That was before: the set is the same, so nothing runs again ({again} does).", soft_wrap=True)
