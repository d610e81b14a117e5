"""Prepared request bodies: bulk requests that already are JSON are sent without serialising them again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

BodyWriter = Callable[[dict[str, Any]], bytes | None]
"""Takes its part out of a call's parameters and returns the body; with None the SDK builds the body as usual."""

_BODY = "pipeline_body"


def write_bodies(client: Any, operation: str, writer: BodyWriter) -> None:
    """Make `writer` build the body of each request of an operation.

    The SDK serialises a body piece by piece in Python, which is most of the work of a bulk call. Its events allow
    replacing the body before the request is signed; a retry sends the same body. Registering twice has no effect.
    """
    name = f"{client.meta.service_model.service_id.hyphenize()}.{operation}"

    def take(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context[_BODY] = writer(params)

    def place(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        if context[_BODY] is not None:
            params["body"] = context[_BODY]

    events = client.meta.events
    events.register(f"before-parameter-build.{name}", take, unique_id=f"{_BODY}-take-{name}")
    events.register(f"before-call.{name}", place, unique_id=f"{_BODY}-place-{name}")
