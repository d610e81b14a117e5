"""Messages of the output queue, derived from changes of table items."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from operator import add
from typing import Any

from pipeline.model.data_model import MODEL
from pipeline.model.items import (
    IDENTITY,
    REFUSED_RECORDS,
    REMOVED,
    RESULT_ATTRIBUTES,
    put_item,
    result_key,
    result_line,
)


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
        body = _result_body(_number_or_text(new.get(name)) for name in RESULT_ATTRIBUTES)
    return _message(new, body, group=new["pk"], batch=batch)


def bodies(requests: str) -> Iterator[str]:
    """Yield the bodies of the messages that lines of put and delete requests cause.

    Where all lines are results with plain texts, one pattern turns them into bodies, in a fifth of the time.
    """
    bodies, found = _PLAIN_REQUEST.subn(_BODY_OF_PLAIN, requests)
    if found == requests.count("\n"):
        yield from bodies.split("\n")[:-1]
        return
    for line in requests.split("\n")[:-1]:
        item = put_item(line)
        message = message_for(item) if item else None
        if message:
            yield message.body


def _result_body(values: Iterable[str]) -> str:
    """Return the body of a result's message from the JSON of its values.

    The object is put together from texts to keep all digits: json.dumps takes no Decimal, a float would round.
    """
    return "{" + ",".join([_TYPE, *map(add, _NAMES, values)]) + "}"


def _plain_request() -> str:
    """Return the pattern of a result's put request, with a group for each value, in which nothing is escaped."""
    text = r'[^"\\\ufffe\uffff]*'
    blanks = {name: {type_name: f"@{name}@"} for name, type_name in RESULT_ATTRIBUTES.items()}
    pattern = re.escape(result_line("@day", "@key", blanks)).replace("@day", r"\d{8}").replace("@key", text)
    for name in RESULT_ATTRIBUTES:
        pattern = pattern.replace(f"@{name}@", f"(?P<{name}>{text})")
    end = re.escape("}}}")
    refused = rf',"{REFUSED_RECORDS}":\{{"N":"\d+"\}}'
    return f"^{pattern.removesuffix(end)}(?:{refused})?{end}$"


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
_PLAIN_REQUEST = re.compile(_plain_request(), re.MULTILINE)
_BODY_OF_PLAIN = _result_body(
    rf'"\g<{name}>"' if type_name == "S" else rf"\g<{name}>" for name, type_name in RESULT_ATTRIBUTES.items()
)
