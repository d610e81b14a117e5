"""The messages of a day's chunks as lines of JSON: the same bytes that `publish` sends, but created in bulk.

A result's put request contains the values of the message's body as the same text. So whole chunks are converted by
replacing the text between the values, which takes a tenth of the time of parsing each request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pipeline.joining.chunks import Chunk
from pipeline.model.items import REFUSED_RECORDS, customer_key, put_item
from pipeline.model.messages import message_for

CUSTOMER_MESSAGE = b'{"type":"customer_message",'

_BEFORE = re.compile(
    rb'\{"PutRequest":\{"Item":\{"pk":\{"S":"%s[^"]*"\},"sk":\{"S":"batch#\d{8}"\},"customer_reference":\{"S":'
    % customer_key("").encode()
)
_REFUSED_RECORDS = re.compile(rb',"%s":\{"N":"\d+"\}' % REFUSED_RECORDS.encode())
_BETWEEN = (
    (b'"},"number_of_orders":{"N":"', b'","number_of_orders":'),
    (b'"},"total_amount_spent":{"N":"', b',"total_amount_spent":'),
    (b'"}}}}\n', b"}\n"),
)

# Chunks with a backslash or one of these two are parsed line by line: an escaped text may look like the text that is
# replaced, and `message_for` escapes the two non-characters, which SQS does not accept.
_NON_CHARACTERS = ("\ufffe".encode(), "\uffff".encode())


def message_lines(chunks: Iterable[Chunk]) -> Iterator[bytes]:
    """Yield the bodies of the messages, one per line, in blocks of whole lines: customers first, then errors.

    A block of several lines that begins with `CUSTOMER_MESSAGE` contains only customer messages.
    """
    for chunk in chunks:
        content = chunk.path.read_bytes()
        block = _customer_messages(content, chunk.records)
        if block is not None:
            yield block
        else:
            for line in content.split(b"\n")[:-1]:
                yield _customer_messages(line + b"\n", 1) or _message(line)


def _customer_messages(requests: bytes, records: int) -> bytes | None:
    """Convert put requests of customers' results; None if any line is something else or must be parsed."""
    # Most references are ASCII, and a search for several bytes takes thirty times as long as finding that out.
    if b"\\" in requests or (not requests.isascii() and any(unlike in requests for unlike in _NON_CHARACTERS)):
        return None
    if REFUSED_RECORDS.encode() in requests:
        requests = _REFUSED_RECORDS.sub(b"", requests)
    lines, found = _BEFORE.subn(CUSTOMER_MESSAGE + b'"customer_reference":', requests)
    for before, after in _BETWEEN:
        lines = lines.replace(before, after)
    # If a type descriptor is left, a request has an attribute that is not known here.
    return lines if found == records and b'":{"' not in lines else None


def _message(line: bytes) -> bytes:
    item = put_item(line)
    message = message_for(item) if item else None
    return message.body.encode() + b"\n" if message else b""
