"""A small local DynamoDB and SQS that records accepted requests, counts all requests, and can inject faults.

It implements the JSON protocols of BatchWriteItem and SendMessageBatch and enforces the limits of the services.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

FAULTS = ("throttled", "error", "unavailable", "partial", "dropped before", "dropped after")
"""Faults of a request: throttled, internal error (500), service unavailable (503), only some entries accepted, or the
connection closed without a response, before or after all entries were accepted."""

_THROTTLES = {
    "BatchWriteItem": ("ThrottlingException", "ProvisionedThroughputExceededException"),
    "SendMessageBatch": ("RequestThrottled", "ThrottlingException"),
}
_LIMITS = {"BatchWriteItem": (25, 16 << 20), "SendMessageBatch": (10, 2 << 20)}
"""Entries and bytes per request; the limit for SQS is larger than 1 MiB, as messages are escaped as JSON."""


@dataclass
class Sink:
    """The state of the services and their behaviour: a latency per request, and faults in turn at a given rate."""

    latency_ms: float = 0
    fault_rate: float = 0
    seed: int = 1
    refused_group: str | None = None
    """Messages of this group are always refused."""
    sender_fault: bool = True
    """Whether such a refusal is reported as the sender's fault."""

    items: dict[tuple[str, str], Any] = field(default_factory=dict)
    """The table, by key."""
    sent: list[tuple[str, str, str]] = field(default_factory=list)
    """The queue: group, deduplication id and body, in the order of acceptance; a repeated id is dropped, as in FIFO."""
    repeated: int = 0
    """Messages that were dropped because of a repeated deduplication id."""
    overlaps: int = 0
    """Requests received while another one with a message of the same group was in progress."""
    requests: Counter[str] = field(default_factory=Counter)
    """Number of requests by operation."""
    body_bytes: Counter[str] = field(default_factory=Counter)
    """Bytes of request bodies by operation."""
    faults: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    busiest: int = 0
    """Maximum number of concurrent requests."""

    def __post_init__(self) -> None:
        """Create the internal state."""
        self._random = random.Random(self.seed)
        self._next_fault = itertools.cycle(FAULTS)
        self._ids: set[str] = set()
        self._groups: Counter[str] = Counter()
        self._now = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Sink:
        """Start listening on a free port."""
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20), self._loop
        ).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections and stop."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The address of the server."""
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def _close(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        self._writers.add(writer)
        try:
            while request := await _read(reader):
                answer = await self._answer(*request)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except ConnectionError:
            pass  # the caller has gone away
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, operation: str, body: bytes) -> bytes | None:
        self.requests[operation] += 1
        self.body_bytes[operation] += len(body)
        params = json.loads(body)
        groups = {entry.get("MessageGroupId") for entry in params.get("Entries", ())}
        self.overlaps += any(self._groups[group] for group in groups)
        self._groups.update(groups)
        self._now += 1
        self.busiest = max(self.busiest, self._now)
        try:
            await asyncio.sleep(self.latency_ms / 1000)
            return self._carry_out(operation, params, len(body))
        finally:
            self._now -= 1
            self._groups.subtract(groups)

    def _carry_out(self, operation: str, params: dict[str, Any], size: int) -> bytes | None:
        fault = next(self._next_fault) if self._random.random() < self.fault_rate else None
        if fault:
            self.faults[fault] += 1
        match fault:
            case "throttled":
                return _refusal(400, self._random.choice(_THROTTLES[operation]))
            case "error":
                return _refusal(500, "InternalServerError")
            case "unavailable":
                return _refusal(503, "ServiceUnavailable")
            case "dropped before":
                return None
        take = self._write if operation == "BatchWriteItem" else self._send
        entries = _entries(operation, params)
        most, most_bytes = _LIMITS[operation]
        if not 0 < len(entries) <= most or size > most_bytes:
            return _refusal(400, "ValidationException")
        taken = self._random.randrange(len(entries)) if fault == "partial" else len(entries)
        answer = take(params, entries[:taken], entries[taken:])
        return None if fault == "dropped after" else answer

    def _write(self, params: dict[str, Any], taken: list[Any], left: list[Any]) -> bytes:
        keys = [_key(request) for request in taken + left]
        if len(set(keys)) < len(keys):
            return _refusal(400, "ValidationException")
        for key, request in zip(keys, taken, strict=False):
            if "PutRequest" in request:
                self.items[key] = request["PutRequest"]["Item"]
            else:
                self.items.pop(key, None)
        (table,) = params["RequestItems"]
        return _reply(200, {"UnprocessedItems": {table: left} if left else {}})

    def _send(self, _: dict[str, Any], taken: list[Any], left: list[Any]) -> bytes:
        refused = [entry for entry in taken if entry["MessageGroupId"] == self.refused_group]
        taken = [entry for entry in taken if entry not in refused]
        for entry in taken:
            if entry["MessageDeduplicationId"] in self._ids:
                self.repeated += 1
                continue
            self._ids.add(entry["MessageDeduplicationId"])
            self.sent.append((entry["MessageGroupId"], entry["MessageDeduplicationId"], entry["MessageBody"]))
        failed = [{"Id": entry["Id"], "SenderFault": False, "Code": "InternalError"} for entry in left]
        failed += [{"Id": entry["Id"], "SenderFault": self.sender_fault, "Code": "Refused"} for entry in refused]
        return _reply(200, {"Successful": [sent_entry(entry["Id"]) for entry in taken], "Failed": failed})


def sent_entry(number: str) -> dict[str, str]:
    """Return SQS's response for an accepted entry."""
    return {
        "Id": number,
        "MessageId": "b5a54a8d-1c2f-4d2f-a1f6-8f0a4d8a3c11",
        "MD5OfMessageBody": "9e107d9d372bb6826bd81d3542a419d6",
        "MD5OfMessageAttributes": "e4d909c290d0fb1ca068ffaddf22cbd0",
        "SequenceNumber": "18892516427553263616",
    }


async def _read(reader: asyncio.StreamReader) -> tuple[str, bytes] | None:
    """Read a request's operation and body; None if the client has closed the connection."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
        }
        body = await reader.readexactly(int(headers["content-length"]))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return headers["x-amz-target"].rpartition(".")[2], body


def _entries(operation: str, params: Mapping[str, Any]) -> list[Any]:
    if operation == "SendMessageBatch":
        return list(params["Entries"])
    ((_, requests),) = params["RequestItems"].items()
    return list(requests)


def _key(request: Mapping[str, Any]) -> tuple[str, str]:
    ((_, content),) = request.items()
    item = content.get("Item") or content["Key"]
    return item["pk"]["S"], item["sk"]["S"]


def _refusal(status: int, code: str) -> bytes:
    return _reply(status, {"__type": code, "message": f"the sink says {code}"})


def _reply(status: int, content: Mapping[str, Any]) -> bytes:
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
