"""Messages of the output queue, derived from changes of table items."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pipeline.model.items import REFUSED_RECORDS, REMOVED


def number_text(value: Decimal | int) -> str:
    """Write a number exactly, in plain notation and without trailing zeros: `87.5`, `0`, `-3`."""
    text = format(Decimal(value), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the output queue.

    `body` is the JSON text, `group` the FIFO message group, within which messages stay in order. `id` is a digest of
    the stated fact: the same fact always has the same id. `refused_records` is set where a total is incomplete.
    """

    body: str
    group: str
    id: str
    batch: str | None
    refused_records: int | None = None


ERROR_FIELDS = ("customer_reference", "order_reference", "message", "batch", "file", "line", "code")


def message_for(new: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> Message | None:
    """Return the message that a change of a table item causes, or None.

    `new` and `old` are the item after and before the change as plain Python values (numbers as Decimal). There is no
    message for changes of the ledger, and none for a removal that was announced before.
    """
    sort_key: str = new["sk"]
    if sort_key.startswith("error#"):
        fields = {"type": "error_message"} | {name: _plain(new.get(name)) for name in ERROR_FIELDS}
        body = _json(fields)
        # Errors need no order. Each has a group of its own, so that ten of them fit into one call.
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
        # Written by hand to keep all digits: json.dumps takes no Decimal, and a float would round.
        body = (
            f'{{"type":"customer_message","customer_reference":{reference},'
            f'"number_of_orders":{number_text(new["number_of_orders"])},'
            f'"total_amount_spent":{number_text(new["total_amount_spent"])}}}'
        )
    return _message(new, body, group=new["pk"], batch=batch)


def _message(item: Mapping[str, Any], body: str, group: str, batch: str | None) -> Message:
    refused_records = int(item[REFUSED_RECORDS]) if REFUSED_RECORDS in item else None
    # The same total with a different number of refused records is a different fact.
    facts = (item["pk"], item["sk"], body, *([str(refused_records)] if refused_records else []))
    # A group id has at most 128 characters of a limited alphabet; references are free text, so it is a digest.
    return Message(body, _digest(group), _digest("\n".join(facts)), batch, refused_records)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # SQS accepts only characters of XML 1.0. json.dumps escapes the control characters, but not these two.
    return text.replace("\ufffe", r"\ufffe").replace("\uffff", r"\uffff")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, Decimal) else value
