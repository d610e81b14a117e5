"""Recognise which batch file a local file is: by its name, else by its header.

A file with any other name is identified by the columns in its header. Only the start of a file is read.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.model.batch_files import INCOMING_PREFIX, parse_file_name
from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind
from pipeline.reading.header import BLANKS

from pipeline_cli.output.errors import UsageError
from pipeline_cli.output.options import check_day
from pipeline_cli.output.summary import DELIMITERS

HEADER_BYTES = 64 * 1024
GZIP_MAGIC = b"\x1f\x8b"


class UnrecognisedError(UsageError):
    """The kind of a file can't be recognised from its header."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A local file and its name in `incoming/`; `note` gives the reason if that differs from the file's own name."""

    path: Path
    name: str
    note: str | None = None

    @property
    def key(self) -> str:
        """The object key."""
        return INCOMING_PREFIX + self.name


def plan(paths: Sequence[Path], date: str, *, force: bool = False) -> tuple[list[Upload], list[str]]:
    """Decide what to upload, before anything is sent.

    A folder means all files in it. Return the uploads, and a sentence for each file of a folder that is left out. With
    `force`, every file is sent under its own name.

    Raises
    ------
    UsageError
        A file outside a folder can't be recognised, or two files would become the same file of a batch.
    """
    check_day(date, "The date")
    uploads: list[Upload] = []
    refused: list[str] = []
    left_out: list[str] = []
    for path in paths:
        if not path.exists():
            refused.append(f"{path} does not exist")
            continue
        for file in _files_in(path) if path.is_dir() else [path]:
            try:
                uploads.append(Upload(file, file.name) if force else recognise(file, date))
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
    first: dict[tuple[str, ...], Upload] = {}
    for upload in uploads:
        known = parse_file_name(upload.name)
        other = first.setdefault((known.kind, known.batch) if known else (upload.name,), upload)
        if other is not upload:
            what = f"the {known.kind} file of {known.batch}" if known else upload.name
            clashes.append(f"{other.path} and {upload.path} would both be {what}")
    return clashes


def recognise(path: Path, date: str) -> Upload:
    """Find the name of a batch file for a file: its own name if valid, else one from the kind that its header shows.

    Raises
    ------
    UnrecognisedError
        The header fits no kind, or several; the message says why.
    """
    if parse_file_name(path.name):
        return Upload(path, path.name)
    kind, delimiter, compressed = kind_of(path)
    name = f"{kind}_{date}.csv{'.gz' if compressed else ''}"
    return Upload(path, name, f"its header ({DELIMITERS[delimiter]}-delimited) is that of {kind}")


def kind_of(path: Path) -> tuple[RecordKind, str, bool]:
    """Return the kind of a file, its delimiter and whether it is compressed, from its first line.

    Raises
    ------
    UnrecognisedError
        The header fits no kind, or several; the message says why.
    """
    start, compressed = _start(path)
    try:
        # The read bytes may end within a character. A bad header is then still reported, as unrecognised.
        text = start.decode("utf-8-sig", errors="strict" if len(start) < HEADER_BYTES else "ignore")
    except UnicodeDecodeError as error:
        raise UnrecognisedError(f"{path}: not text in UTF-8") from error
    lines = (line for line in text.splitlines(keepends=True) if line.strip())
    header = next(lines, None)
    if header is None:
        raise UnrecognisedError(f"{path}: empty")
    found = [(kind, delimiter) for delimiter in DELIMITERS for kind in _kinds(header, delimiter)]
    if len(found) == 1:
        return (*found[0], compressed)
    if found:
        names = " and ".join(kind for kind, _ in found)
        raise UnrecognisedError(f"{path}: its header has the columns of more than one kind ({names})")
    raise UnrecognisedError(f"{path}: {_closest(header)}")


def _start(path: Path) -> tuple[bytes, bool]:
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        if not compressed:
            return file.read(HEADER_BYTES), False
        try:
            return gzip.GzipFile(fileobj=file).read(HEADER_BYTES), True
        except (OSError, EOFError, zlib.error) as error:
            raise UnrecognisedError(f"{path}: a broken gzip file") from error


def _columns(header: str, delimiter: str) -> set[str]:
    cells = next(csv.reader([header], delimiter=delimiter), [])
    return {cell.strip(BLANKS).lower() for cell in cells}


def _kinds(header: str, delimiter: str) -> list[RecordKind]:
    columns = _columns(header, delimiter)
    return [kind for kind in MODEL.kinds if {column.name for column in kind.required} <= columns]


def _closest(header: str) -> str:
    """Say which columns the header lacks for the kind that it is most similar to."""
    there, kind, delimiter = max(
        (len({column.name for column in kind.required} & _columns(header, delimiter)), kind, delimiter)
        for kind in MODEL.kinds
        for delimiter in DELIMITERS
    )
    if not there:
        return "its first line is not the header of a customers, orders or items file"
    missing = [column.name for column in kind.required if column.name not in _columns(header, delimiter)]
    return f"its header looks like that of {kind}, but has no column {' or '.join(missing)}"
