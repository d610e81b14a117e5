"""Messages of the output queue, derived from changes of table items."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from operator import add
from typing import Any

from pipeline.model.data_model import MODEL
from pipeline.model.items import IDENTITY, REFUSED_RECORDS, REMOVED, RESULT_ATTRIBUTES, result_key


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


ERROR_FIELDS = (*MODEL.identities.values(), "message", "batch", "file", "line", "code")
RESULT_TYPE, REMOVED_TYPE = f"{MODEL.root.singular}_message", f"{MODEL.root.singular}_removed"


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
    if not new["pk"].startswith(result_key("")):
        return None
    batch = sort_key.removeprefix("batch#")
    if new.get(REMOVED):
        if old is None or old.get(REMOVED):
            return None
        body = _json({"type": REMOVED_TYPE, IDENTITY: new[IDENTITY]})
    else:
        # The object is put together from texts to keep all digits: json.dumps takes no Decimal, a float would round.
        values = (_number_or_text(new.get(name)) for name in RESULT_ATTRIBUTES)
        body = "{" + ",".join([_TYPE, *map(add, _NAMES, values)]) + "}"
    return _message(new, body, group=new["pk"], batch=batch)


def _number_or_text(value: Any) -> str:
    return number_text(value) if isinstance(value, Decimal | int) else _json(value)


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


_TYPE = f'"type":{_json(RESULT_TYPE)}'
_NAMES = [f"{_json(name)}:" for name in RESULT_ATTRIBUTES]
