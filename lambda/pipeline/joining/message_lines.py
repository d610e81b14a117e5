"""The messages of a day's chunks as lines of JSON: the same bytes that `publish` sends, but created in bulk.

A result's put request contains the values of the message's body as the same text. So whole chunks are converted by
replacing the text between the values, which takes a tenth of the time of parsing each request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from pipeline.joining.chunks import Chunk
from pipeline.model.data_model import MODEL
from pipeline.model.items import IDENTITY, REFUSED_RECORDS, RESULT_ATTRIBUTES, put_item, result_line
from pipeline.model.messages import message_for, result_body

_BLANK = "\ufffe"


RESULT_MESSAGE = result_body({}).removesuffix("}").encode() + b","
"""How the message of a result begins."""


def _texts() -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Return how a put request begins, as a pattern, and the texts after each value in it and in its message's body."""
    blanks = {name: {type_name: _BLANK} for name, type_name in RESULT_ATTRIBUTES.items()}
    texts = {name: f'"{_BLANK}"' if type_name == "S" else _BLANK for name, type_name in RESULT_ATTRIBUTES.items()}
    identity = f'"{IDENTITY}":'
    begin, _, request = result_line("00000000", _BLANK, blanks).partition(identity)
    _, _, body = result_body(texts).partition(identity)
    (first, *before), (_, *after) = ((text + "\n").encode().split(_BLANK.encode()) for text in (request, body))
    pattern = re.escape(begin + identity).replace(_BLANK, '[^"]*').replace("00000000", r"\d{8}").encode()
    return pattern + re.escape(first), list(zip(before, after, strict=True))


_BEGIN, _BETWEEN = _texts()
_BEFORE = re.compile(_BEGIN)
_REFUSED_RECORDS = re.compile(rb',"%s":\{"N":"\d+"\}' % REFUSED_RECORDS.encode())

# Chunks with a backslash or one of these two are parsed line by line: an escaped text may look like the text that is
# replaced, and `message_for` escapes the two non-characters, which SQS does not accept.
_NON_CHARACTERS = ("\ufffe".encode(), "\uffff".encode())


def message_lines(chunks: Iterable[Chunk]) -> Iterator[bytes]:
    """Yield the bodies of the messages, one per line, in blocks of whole lines: results first, then errors.

    A block of several lines that begins with `RESULT_MESSAGE` contains only messages of results.
    """
    for chunk in chunks:
        content = chunk.path.read_bytes()
        block = _result_messages(content, chunk.records)
        if block is not None:
            yield block
        else:
            for line in content.split(b"\n")[:-1]:
                yield _result_messages(line + b"\n", 1) or _message(line)


def incomplete_results(chunks: Iterable[Chunk], limit: int) -> dict[str, int]:
    """Return by reference how many records were refused that the first results lack: at most `limit` of them."""
    lines = (line for chunk in chunks for line in chunk.path.read_bytes().split(b"\n") if _REFUSED_RECORDS.search(line))
    items = (item for line in lines if (item := put_item(line)) and REFUSED_RECORDS in item)
    return {item[IDENTITY]: int(item[REFUSED_RECORDS]) for item in islice(items, limit)}


def _result_messages(requests: bytes, records: int) -> bytes | None:
    """Convert put requests of results; None if any line is something else or must be parsed."""
    # Carried columns may be empty, which changes the text around them.
    # Most references are ASCII, and a search for several bytes takes thirty times as long as finding that out.
    if (
        MODEL.result.carried
        or b"\\" in requests
        or (not requests.isascii() and any(unlike in requests for unlike in _NON_CHARACTERS))
    ):
        return None
    if REFUSED_RECORDS.encode() in requests:
        requests = _REFUSED_RECORDS.sub(b"", requests)
    lines, found = _BEFORE.subn(RESULT_MESSAGE + b'"%s":"' % IDENTITY.encode(), requests)
    for before, after in _BETWEEN:
        lines = lines.replace(before, after)
    # If a type descriptor is left, a request has an attribute that is not known here.
    return lines if found == records and b'":{"' not in lines else None


def _message(line: bytes) -> bytes:
    item = put_item(line)
    message = message_for(item) if item else None
    return message.body.encode() + b"\n" if message else b""
