"""The bodies of a day's messages, written from its chunk files: what `pipeline check` gives the partner.

A customer's request becomes a body by cutting and replacing text, a hundred times faster than by reading its JSON. That
is safe because within a JSON string each quote has a backslash before it: what is cut at has quotes without one. Where
a chunk has a backslash, or a character that a body escapes and a request does not, its lines are put into words one by
one, as `publish` does it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from pipeline.joining.chunks import Chunk
from pipeline.model.items import put_item
from pipeline.model.messages import message_for

_CUSTOMER = b'{"PutRequest":{"Item":{"pk":{"S":"customer#'
_ERROR = b'{"PutRequest":{"Item":{"pk":{"S":"batch#'
_DELETION = b'{"DeleteRequest":'
_BEFORE = b'"},"customer_reference":{"S":"'
_ORDERS, _AMOUNT, _END = b'"},"number_of_orders":{"N":"', b'"},"total_amount_spent":{"N":"', b'"}}}}'
_REFUSED_RECORDS = re.compile(rb'"\},"refused_records":\{"N":"\d+"\}\}\}\}$', re.MULTILINE)
_ESCAPED = (b"\\", "\ufffe".encode(), "\uffff".encode())


def write_bodies(chunks: Iterable[Chunk], target: IO[bytes]) -> None:
    """Write the bodies of the messages that delivering the chunks sends, one a line, in their order."""
    for chunk in chunks:
        customers, others = _divided(chunk.path)
        target.write(customers)
        target.writelines(body.encode() + b"\n" for body in _bodies(others))


def error_items(chunks: Iterable[Chunk]) -> Iterator[dict[str, Any]]:
    """Yield the items of errors in the chunks, without reading those of customers."""
    for chunk in chunks:
        text = chunk.path.read_bytes()
        for line in text[_customers_end(text) :].split(b"\n")[:-1]:
            item = put_item(line)
            if item is not None and item["sk"].startswith("error#"):
                yield item


def _divided(path: Path) -> tuple[bytes, bytes]:
    """Return the bodies of the customers at the beginning of a chunk, and the lines that are left."""
    text = path.read_bytes()
    end = _customers_end(text)
    customers = text[:end]
    lines = customers.split(b"\n")[:-1]
    is_plain = not any(character in customers for character in _ESCAPED)
    # Markers of customers that were removed have no orders.
    if not lines or not is_plain or customers.count(_ORDERS) != len(lines):
        return b"", text
    if b'"},"refused_records":{' in customers:
        customers = _REFUSED_RECORDS.sub(_END, customers)
        lines = customers.split(b"\n")[:-1]
    prefix = b'{"type":"customer_message","customer_reference":"'
    bodies = prefix + (b"\n" + prefix).join(line.partition(_BEFORE)[2] for line in lines) + b"\n"
    bodies = bodies.replace(_ORDERS, b'","number_of_orders":').replace(_AMOUNT, b',"total_amount_spent":')
    return bodies.replace(_END + b"\n", b"}\n"), text[end:]


def _customers_end(text: bytes) -> int:
    """Return where the lines of customers end: a chunk has them first, then errors, deletions last."""
    if not text.startswith(_CUSTOMER):
        return 0
    found = [text.find(b"\n" + start) + 1 for start in (_ERROR, _DELETION)]
    return min((position for position in found if position), default=len(text))


def _bodies(lines: bytes) -> Iterator[str]:
    for line in lines.split(b"\n")[:-1]:
        item = put_item(line)
        message = message_for(item) if item is not None else None
        if message is not None:
            yield message.body
