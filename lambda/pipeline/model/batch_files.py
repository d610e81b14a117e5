"""The names of a day's files and objects: what a name denotes, and which days are plausible."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import Column, ColumnType, RecordKind

INCOMING_PREFIX = "incoming/"
WORK_PREFIX = "work/"
FEEDBACK_PREFIX = "feedback/"
"""Holds what the partner may read: the verdict on each batch and the refused records."""
SETTINGS_KEY = f"{FEEDBACK_PREFIX}settings.json"
"""The settings on which a verdict depends, for the partner's `csv-check`."""
DELIVERED_PREFIX = "delivered/"
CODE_PREFIX = "code/"
"""Holds the code of the Spark job for large days, which Terraform stores."""
REJECTS_SUFFIX = "_rejects.csv"

FIRST_DAY = date(2000, 1, 1)
MAX_DAYS_AHEAD = 366
"""Most days that a batch may lie in the future: about a year, so that a mistyped year is rejected."""

CONTROL = RecordKind(
    "control",
    singular="control total",
    columns=(
        Column("file"),
        Column("records", ColumnType.INTEGER),
        Column("amount", ColumnType.AMOUNT, required=False),
        Column("sha256", required=False),
    ),
)
"""The control file: what the sender counted in the other files of a day. It may belong to a set."""

_KINDS = {str(kind): kind for kind in (*MODEL.kinds, CONTROL)}
_FILE_NAME = re.compile(rf"({'|'.join(_KINDS)})_(\d{{8}})\.csv(\.gz)?", re.ASCII)


def file_kind(name: str) -> RecordKind:
    """Return the kind of file of this name, one of the model's or the control file.

    Raises
    ------
    ValueError
        There is no such kind.
    """
    return CONTROL if name == CONTROL else MODEL.kind(name)


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A file that belongs to a batch, known from its name."""

    kind: RecordKind
    batch: str
    name: str


def parse_file_name(name: str, days_ahead: int = MAX_DAYS_AHEAD, days_back: int | None = None) -> BatchFile | None:
    """Return the batch and kind that a file name denotes, or None if it is not the name of a batch file.

    The name is `<kind>_YYYYMMDD.csv`, optionally with `.gz`, and the day must be plausible (`is_batch`).
    """
    match = _FILE_NAME.fullmatch(name)
    if match is None or not is_batch(match[2], days_ahead, days_back):
        return None
    return BatchFile(_KINDS[match[1]], match[2], name)


def parse_key(key: str, days_ahead: int = MAX_DAYS_AHEAD, days_back: int | None = None) -> BatchFile | None:
    """Like `parse_file_name`, for an object key: only direct children of `incoming/` count."""
    if not key.startswith(INCOMING_PREFIX):
        return None
    return parse_file_name(key.removeprefix(INCOMING_PREFIX), days_ahead, days_back)


def rejects_name(kind: RecordKind) -> str:
    """Return the name of the file under `feedback/` that holds the refused records of a kind."""
    return f"{kind}{REJECTS_SUFFIX}"


def is_batch(batch: str, days_ahead: int = MAX_DAYS_AHEAD, days_back: int | None = None) -> bool:
    """Return whether `batch` is a plausible day as YYYYMMDD: from `days_back` days ago to `days_ahead` days from today.

    No day before 2000-01-01 is; with None, any later day in the past is.
    """
    if not re.fullmatch(r"\d{8}", batch, re.ASCII):
        return False
    try:
        day = date(int(batch[:4]), int(batch[4:6]), int(batch[6:]))
    except ValueError:
        return False
    now = datetime.now(UTC).date()
    first = FIRST_DAY if days_back is None else max(FIRST_DAY, now - timedelta(days=days_back))
    return first <= day <= now + timedelta(days=days_ahead)


def today() -> str:
    """Return today's batch (the day in UTC)."""
    return datetime.now(UTC).strftime("%Y%m%d")
