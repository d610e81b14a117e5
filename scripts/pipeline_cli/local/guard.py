"""Requests that the local AWS refuses: all but those with keys that it has given out.

MiniStack answers unsigned requests to public paths, to any web page, and to its controls (`POST /_ministack/reset`).
It does not verify signatures of its root account, which it takes `test`, any account number and the configured key for.
So this start's random access key, which only its owner can read, is the secret, and the other names are refused.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Callable[[], Awaitable[Message]], Send], Awaitable[None]]

HEALTH = "/_ministack/health"


def refusal(path: str, query: str, headers: Mapping[str, str]) -> str | None:
    """Return why a request is refused, or None if MiniStack may answer it. `headers` have lower-case names."""
    if path == HEALTH and "origin" not in headers:
        return None
    if path.startswith("/_"):
        return "the emulator's own controls are closed"
    signed = headers.get("authorization") or unquote(query)
    key = re.search(r"(?:^AWS4-HMAC-SHA256.*[ ,]|X-Amz-)Credential=([^/,&\s]+)/", signed)
    if key is None:
        return "the request is not signed"
    if key[1] == "test" or re.fullmatch(r"\d+", key[1]):
        return f"{key[1]!r} is not the access key of this start"
    return None


def guarded(application: Application) -> Application:
    """Wrap an ASGI application: refuse requests as `refusal` says."""

    async def guard(scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await application(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        reason = refusal(scope["path"], scope.get("query_string", b"").decode("latin-1"), headers)
        if reason is None:
            await application(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            body = f"Refused: {reason}.\n".encode()
            fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 403, "headers": fields})
            await send({"type": "http.response.body", "body": body})

    return guard
