"""The kinds of records, their columns, and the names of files and batches: the one table that drives the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

INCOMING_PREFIX = "incoming/"
WORK_PREFIX = "work/"
FEEDBACK_PREFIX = "feedback/"
"""What the partner may read: the verdict on each batch, and the records that were refused."""
DELIVERED_PREFIX = "delivered/"
REJECTS_SUFFIX = "_rejects.csv"

FIRST_DAY = date(2000, 1, 1)
MAX_DAYS_AHEAD = 366
"""How far in the future a day may be: a year, so that a typing error in the year is noticed."""

_FILE_NAME = re.compile(r"(customers|orders|items)_(\d{8})\.csv(\.gz)?", re.ASCII)


class Kind(StrEnum):
    """The three kinds of records, one file each a day."""

    CUSTOMERS = "customers"
    ORDERS = "orders"
    ITEMS = "items"


class ColumnType(StrEnum):
    """How the text of a cell is read."""

    TEXT = "text"
    """Any text, also none."""
    REFERENCE = "reference"
    """Identifies a record: trimmed, not empty, compared exactly."""
    INTEGER = "integer"
    TIMESTAMP = "timestamp"
    """Whole seconds since 1970-01-01 UTC."""
    AMOUNT = "amount"
    """A plain decimal, up to 14 digits before and 4 after the mark."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column that a file must have."""

    name: str
    type: ColumnType = ColumnType.TEXT


@dataclass(frozen=True, slots=True)
class RecordKind:
    """What a file of one kind must hold.

    `identity` is the column whose value is unique in the file; `parent` names the column that must point to an
    accepted record of another kind.
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
"""An optional column of any file: where it is there, its values must not repeat."""


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A file that belongs to a batch, known from its name."""

    kind: Kind
    batch: str
    name: str


def parse_file_name(name: str) -> BatchFile | None:
    """Tell which batch and kind a file name stands for, or None where it stands for none.

    The name is `<kind>_YYYYMMDD.csv`, optionally with `.gz`, and the day must be plausible (`is_batch`).
    """
    match = _FILE_NAME.fullmatch(name)
    if match is None or not is_batch(match[2]):
        return None
    return BatchFile(Kind(match[1]), match[2], name)


def parse_key(key: str) -> BatchFile | None:
    """Like `parse_file_name`, for an object key: only direct children of `incoming/` count."""
    if not key.startswith(INCOMING_PREFIX):
        return None
    return parse_file_name(key.removeprefix(INCOMING_PREFIX))


def rejects_name(kind: Kind) -> str:
    """Name of the file that holds the refused records of a kind, in the feedback on a set of files."""
    return f"{kind}{REJECTS_SUFFIX}"


def is_batch(batch: str, days_ahead: int = MAX_DAYS_AHEAD) -> bool:
    """Tell whether `batch` is a plausible day written YYYYMMDD: from 2000-01-01 to `days_ahead` days from now."""
    if not re.fullmatch(r"\d{8}", batch, re.ASCII):
        return False
    try:
        day = date(int(batch[:4]), int(batch[4:6]), int(batch[6:]))
    except ValueError:
        return False
    return FIRST_DAY <= day <= datetime.now(UTC).date() + timedelta(days=days_ahead)


def today() -> str:
    """Today's batch, in UTC."""
    return datetime.now(UTC).strftime("%Y%m%d")
