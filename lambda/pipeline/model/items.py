"""Table items: their keys, their attributes, and the requests that write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import ColumnType, RecordKind


def batch_key(batch: str | None) -> str:
    """Return the partition key of a batch's ledger entry and errors."""
    return f"batch#{batch or 'unknown'}"


def result_key(reference: str) -> str:
    """Return the partition key of the results of one record of the root kind."""
    return f"{MODEL.root.singular}#{reference}"


def result_sort_key(batch: str) -> str:
    """Return the sort key of a result of a batch."""
    return f"batch#{batch}"


def error_sort_key(kind: str, record: int, code: str) -> str:
    """Return the sort key of an error; `record` is the line where the record starts, 0 for the file as a whole."""
    return f"error#{kind}#{record:010}#{code}"


LEDGER_SORT_KEY = "ledger"
REFUSED_RECORDS = "refused_records"
"""Attribute of a result with an incomplete total: the number of refused records that belong to it."""
EXPIRES_AT = "expires_at"
"""Attribute with the time, in seconds since 1970, after which DynamoDB deletes an item."""
REMOVED = "removed"
"""Attribute of the short-lived item that replaces a result that a correction dropped."""

IDENTITY = str(MODEL.root.identity)
"""Attribute of a result that says whose result it is."""


def _type_of(column: str) -> str:
    return "S" if MODEL.root.column(column).type in (ColumnType.TEXT, ColumnType.REFERENCE) else "N"


RESULT_ATTRIBUTES: Mapping[str, str] = (
    {IDENTITY: "S"}
    | {measure.name: "N" for measure in MODEL.result.measures}
    | {column: _type_of(column) for column in MODEL.result.carried}
)
"""The attributes of a result with their types in DynamoDB, in their order; the message has the same fields."""


def result_line(batch: str, reference: str, attributes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the put request of a result as one line of DynamoDB JSON.

    Parameters
    ----------
    attributes
        The result's attributes in DynamoDB JSON, such as `{"S": "Active"}`, without its keys.
    """
    keys = {"pk": {"S": result_key(reference)}, "sk": {"S": result_sort_key(batch)}}
    return _dump({"PutRequest": {"Item": {**keys, **attributes}}})


def removed_item(reference: str, batch: str) -> dict[str, Any]:
    """Return the item that replaces a dropped result until it is deleted; it causes the message."""
    return {"pk": result_key(reference), "sk": result_sort_key(batch), IDENTITY: reference, REMOVED: True}


def error_item(
    batch: str,
    kind: RecordKind,
    file: str,
    line: int | None,
    code: str,
    reason: str,
    references: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """Return the item of an error of a record, or of the file as a whole if `line` is None.

    `references` are those that the record names, by the identity's column of the kind that they refer to.
    """
    where = file if line is None else f"{file} line {line}"
    return {
        **notice_item(batch, kind, code, f"{where}: {reason}", file),
        "sk": error_sort_key(kind, line or 0, code),
        **(references or {}),
        "line": line,
    }


def notice_item(batch: str | None, kind: str, code: str, message: str, file: str | None = None) -> dict[str, Any]:
    """Return the item of an error that concerns no single record: an unknown or missing file, a failed run."""
    return {
        "pk": batch_key(batch),
        "sk": error_sort_key(kind, 0, code),
        "kind": str(kind),
        **dict.fromkeys(MODEL.identities.values()),
        "message": message,
        "batch": batch,
        "file": file,
        "line": None,
        "code": str(code),
    }


def put_line(item: Mapping[str, Any]) -> str:
    """Return the put request of an item (given as plain values) as one line of DynamoDB JSON."""
    return _dump({"PutRequest": {"Item": {name: _typed(value) for name, value in item.items()}}})


def delete_line(pk: str, sk: str) -> str:
    """Return a delete request as one line of DynamoDB JSON."""
    return _dump({"DeleteRequest": {"Key": {"pk": {"S": pk}, "sk": {"S": sk}}}})


def put_item(line: str | bytes) -> dict[str, Any] | None:
    """Return the item of a put request as plain values, numbers as Decimal; None for a delete request."""
    request = json.loads(line)
    if "PutRequest" not in request:
        return None
    return {name: _plain(value) for name, value in request["PutRequest"]["Item"].items()}


def _dump(request: Mapping[str, Any]) -> str:
    return json.dumps(request, ensure_ascii=False, separators=(",", ":"))


def _typed(value: str | int | bool | None) -> dict[str, Any]:
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    return {"S": value}


def _plain(typed: Mapping[str, Any]) -> Any:
    ((name, value),) = typed.items()
    return {"NULL": None, "N": Decimal(value)}[name] if name in ("NULL", "N") else value
