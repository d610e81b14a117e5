"""Requests that the local AWS refuses: those of browsers, those for other host names, and those to its controls.

MiniStack answers any web page (`Access-Control-Allow-Origin: *`), and `POST /_ministack/reset` needs no signature. Any
page in a browser on this machine could therefore read or empty the local AWS. The commands of the pipeline need neither
browsers nor the reset.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

CONTROL_PREFIX = "/_"
OPEN_PATHS = frozenset({"/_ministack/health", "/_ministack/ready"})
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


def refusal(path: str, headers: MutableMapping[str, str]) -> str | None:
    """Return why a request is refused, or None if MiniStack may answer it. `headers` have lower-case names.

    Browsers send `Origin` with every cross-origin request of a page's script or form, except for plain loads such as
    images (Fetch standard, section 3.2). Those have `Sec-Fetch-Site` (Fetch Metadata Request Headers), which is `none`
    if a person typed the address.
    """
    if "origin" in headers or headers.get("sec-fetch-site", "none") != "none":
        return "a web page may not call the local AWS"
    # DNS rebinding: a page whose host name resolves to the loopback address counts as same-origin, so neither header
    # above gives it away. Only the host name does.
    host = headers.get("host", "localhost").lower()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name not in LOOPBACK_NAMES and not name.endswith(".localhost"):
        return f"the local AWS is not called {name[:80]!r}"
    if path.startswith(CONTROL_PREFIX) and path not in OPEN_PATHS:
        return "the emulator's own controls are closed"
    return None


def guarded(application: Application) -> Application:
    """Wrap an ASGI application: refuse requests as `refusal` says, and remove CORS headers from its responses."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await application(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        reason = refusal(scope["path"], headers)
        if reason is None:
            await application(scope, receive, _without_permissions(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            body = f"Refused: {reason}.\n".encode()
            fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 403, "headers": fields})
            await send({"type": "http.response.body", "body": body})

    return guard


def _without_permissions(send: Send) -> Send:
    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                field for field in message.get("headers", ()) if not field[0].lower().startswith(b"access-control-")
            ]
            message = {**message, "headers": kept}
        await send(message)

    return send_on
