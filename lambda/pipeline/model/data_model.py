"""What the pipeline knows about its data: record kinds, file and batch names, table items and messages."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

INCOMING_PREFIX = "incoming/"
WORK_PREFIX = "work/"
REJECTS_PREFIX = "rejects/"
DELIVERED_PREFIX = "delivered/"

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

    The name is `<kind>_YYYYMMDD.csv`, optionally with `.gz`, and the day must exist in the calendar.
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


def is_batch(batch: str) -> bool:
    """Tell whether `batch` is a real calendar day written YYYYMMDD."""
    if not re.fullmatch(r"\d{8}", batch, re.ASCII):
        return False
    try:
        date(int(batch[:4]), int(batch[4:6]), int(batch[6:]))
    except ValueError:
        return False
    return True


def today() -> str:
    """Today's batch, in UTC."""
    return datetime.now(UTC).strftime("%Y%m%d")


def batch_key(batch: str | None) -> str:
    """Partition key of what belongs to the batch as a whole: its ledger entry and its errors."""
    return f"batch#{batch or 'unknown'}"


def customer_key(customer_reference: str) -> str:
    """Partition key of a customer's results."""
    return f"customer#{customer_reference}"


def customer_sort_key(batch: str) -> str:
    """Sort key of a customer's result in a batch."""
    return f"batch#{batch}"


def error_sort_key(kind: str, record: int, code: str) -> str:
    """Sort key of an error; `record` is the line where the record starts, 0 for the file as a whole."""
    return f"error#{kind}#{record:010}#{code}"


LEDGER_SORT_KEY = "ledger"
REMOVED = "removed"
"""Attribute of the short-lived item that stands for a customer whom a correction dropped."""


def removed_item(customer_reference: str, batch: str) -> dict[str, Any]:
    """Item that stands for a customer whom a correction dropped, until it is deleted."""
    return {
        "pk": customer_key(customer_reference),
        "sk": customer_sort_key(batch),
        "customer_reference": customer_reference,
        REMOVED: True,
    }


def error_item(
    batch: str,
    kind: Kind,
    file: str,
    line: int | None,
    code: str,
    reason: str,
    customer_reference: str | None = None,
    order_reference: str | None = None,
) -> dict[str, Any]:
    """Item of what is wrong with a record, or with the file as a whole where `line` is None."""
    where = file if line is None else f"{file} line {line}"
    return {
        **notice_item(batch, kind, code, f"{where}: {reason}", file),
        "sk": error_sort_key(kind, line or 0, code),
        "customer_reference": customer_reference,
        "order_reference": order_reference,
        "line": line,
    }


def notice_item(batch: str | None, kind: str, code: str, message: str, file: str | None = None) -> dict[str, Any]:
    """Item of what is wrong with no record in particular: a file that is foreign or missing, a run that failed."""
    return {
        "pk": batch_key(batch),
        "sk": error_sort_key(kind, 0, code),
        "kind": str(kind),
        "customer_reference": None,
        "order_reference": None,
        "message": message,
        "batch": batch,
        "file": file,
        "line": None,
        "code": str(code),
    }


def number_text(value: Decimal | int) -> str:
    """Write a number exactly, in plain notation and without trailing zeros: `87.5`, `0`, `-3`."""
    text = format(Decimal(value), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the output queue.

    `body` is the JSON text, `group` the FIFO message group (what must stay in order), `id` the digest of the fact
    that it states: the same fact has the same id for ever.
    """

    body: str
    group: str
    id: str
    batch: str | None


ERROR_FIELDS = ("customer_reference", "order_reference", "message", "batch", "file", "line", "code")


def message_for(new: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> Message | None:
    """Put into words what a change of a table item means to a consumer.

    `new` and `old` are the item after and before the change as plain Python values (numbers as Decimal). None
    where the change is nobody's business outside: the ledger, or a marker that was already announced.
    """
    sort_key: str = new["sk"]
    if sort_key.startswith("error#"):
        fields = {"type": "error_message"} | {name: _plain(new.get(name)) for name in ERROR_FIELDS}
        body = _json(fields)
        # Errors need no order among themselves: each is a group of its own, so that they travel ten a call.
        return _message(new, body, group=f"{new['pk']}#{sort_key}", batch=new.get("batch"))
    if not new["pk"].startswith("customer#"):
        return None
    batch = sort_key.removeprefix("batch#")
    reference = _json(new["customer_reference"])
    if new.get(REMOVED):
        if old is None or old.get(REMOVED):
            return None
        body = f'{{"type":"customer_removed","customer_reference":{reference}}}'
    else:
        # A JSON number of exactly these digits: json.dumps would send a Decimal through a binary float.
        body = (
            f'{{"type":"customer_message","customer_reference":{reference},'
            f'"number_of_orders":{number_text(new["number_of_orders"])},'
            f'"total_amount_spent":{number_text(new["total_amount_spent"])}}}'
        )
    return _message(new, body, group=new["pk"], batch=batch)


def _message(item: Mapping[str, Any], body: str, group: str, batch: str | None) -> Message:
    identity = "\n".join((item["pk"], item["sk"], body))
    # A group id takes 128 characters of a limited alphabet, a reference does not: so a digest stands for it.
    return Message(body, _digest(group), _digest(identity), batch)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # SQS takes all characters of XML 1.0; of the others, JSON escapes the control characters by itself.
    return text.replace("\ufffe", r"\ufffe").replace("\uffff", r"\uffff")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, Decimal) else value
