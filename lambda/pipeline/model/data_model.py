"""The kinds of records, their columns, and the names of files and batches. The table `KINDS` drives everything else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

INCOMING_PREFIX = "incoming/"
WORK_PREFIX = "work/"
FEEDBACK_PREFIX = "feedback/"
"""Holds what the partner may read: the verdict on each batch and the refused records."""
DELIVERED_PREFIX = "delivered/"
CODE_PREFIX = "code/"
"""Holds the code of the Spark job for large days, which Terraform stores."""
REJECTS_SUFFIX = "_rejects.csv"

FIRST_DAY = date(2000, 1, 1)
MAX_DAYS_AHEAD = 366
"""Most days that a batch may lie in the future: about a year, so that a mistyped year is rejected."""

_FILE_NAME = re.compile(r"(customers|orders|items)_(\d{8})\.csv(\.gz)?", re.ASCII)


class Kind(StrEnum):
    """The three kinds of records, one file each a day."""

    CUSTOMERS = "customers"
    ORDERS = "orders"
    ITEMS = "items"


class ColumnType(StrEnum):
    """How the text of a cell is read."""

    TEXT = "text"
    """Any text, including the empty one."""
    REFERENCE = "reference"
    """Identifies a record: trimmed, not empty, compared exactly."""
    INTEGER = "integer"
    TIMESTAMP = "timestamp"
    """Whole seconds since 1970-01-01 UTC."""
    AMOUNT = "amount"
    """A plain decimal number with up to 14 digits before the decimal mark and up to 4 after it."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column that a file must have."""

    name: str
    type: ColumnType = ColumnType.TEXT


@dataclass(frozen=True, slots=True)
class RecordKind:
    """The columns of a file of one kind, and how its records relate to others.

    `identity` is the column whose values are unique in the file. `parent` is another kind, and the column that must
    refer to an accepted record of that kind.
    """

    kind: Kind
    columns: tuple[Column, ...]
    identity: str | None = None
    parent: tuple[Kind, str] | None = None


KINDS: Mapping[Kind, RecordKind] = {
    Kind.CUSTOMERS: RecordKind(
        Kind.CUSTOMERS,
        (
            Column("customer_reference", ColumnType.REFERENCE),
            Column("first_name"),
            Column("last_name"),
            Column("status"),
        ),
        identity="customer_reference",
    ),
    Kind.ORDERS: RecordKind(
        Kind.ORDERS,
        (
            Column("customer_reference", ColumnType.REFERENCE),
            Column("order_status"),
            Column("order_reference", ColumnType.REFERENCE),
            Column("order_timestamp", ColumnType.TIMESTAMP),
        ),
        identity="order_reference",
        parent=(Kind.CUSTOMERS, "customer_reference"),
    ),
    Kind.ITEMS: RecordKind(
        Kind.ITEMS,
        (
            Column("order_reference", ColumnType.REFERENCE),
            Column("item_name"),
            Column("quantity", ColumnType.INTEGER),
            Column("total_price", ColumnType.AMOUNT),
        ),
        parent=(Kind.ORDERS, "order_reference"),
    ),
}

ROW_ID = "id"
"""An optional column of any file. Where a file has it, its values must be unique."""


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A file that belongs to a batch, known from its name."""

    kind: Kind
    batch: str
    name: str


def parse_file_name(name: str, days_ahead: int = MAX_DAYS_AHEAD) -> BatchFile | None:
    """Return the batch and kind that a file name denotes, or None if it is not the name of a batch file.

    The name is `<kind>_YYYYMMDD.csv`, optionally with `.gz`, and the day must be plausible (`is_batch`).
    """
    match = _FILE_NAME.fullmatch(name)
    if match is None or not is_batch(match[2], days_ahead):
        return None
    return BatchFile(Kind(match[1]), match[2], name)


def parse_key(key: str, days_ahead: int = MAX_DAYS_AHEAD) -> BatchFile | None:
    """Like `parse_file_name`, for an object key: only direct children of `incoming/` count."""
    if not key.startswith(INCOMING_PREFIX):
        return None
    return parse_file_name(key.removeprefix(INCOMING_PREFIX), days_ahead)


def rejects_name(kind: Kind) -> str:
    """Return the name of the file under `feedback/` that holds the refused records of a kind."""
    return f"{kind}{REJECTS_SUFFIX}"


def is_batch(batch: str, days_ahead: int = MAX_DAYS_AHEAD) -> bool:
    """Return whether `batch` is a plausible day as YYYYMMDD: from 2000-01-01 to `days_ahead` days from today."""
    if not re.fullmatch(r"\d{8}", batch, re.ASCII):
        return False
    try:
        day = date(int(batch[:4]), int(batch[4:6]), int(batch[6:]))
    except ValueError:
        return False
    return FIRST_DAY <= day <= datetime.now(UTC).date() + timedelta(days=days_ahead)


def today() -> str:
    """Return today's batch (the day in UTC)."""
    return datetime.now(UTC).strftime("%Y%m%d")
