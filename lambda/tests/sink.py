"""A small local DynamoDB and SQS that records accepted requests, counts all requests, and can inject faults.

It implements the JSON protocols of BatchWriteItem and SendMessageBatch and enforces the limits of the services.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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

Reply = tuple[int, Mapping[str, Any]]
"""The status and the content of a response."""


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

    def __enter__(self) -> Sink:
        """Start listening on a free port."""
        self._random = random.Random(self.seed)
        self._next_fault = itertools.cycle(FAULTS)
        self._ids: set[str] = set()
        self._groups: Counter[str] = Counter()
        self._now = 0
        self._lock = threading.Lock()
        sink = self

        class Handler(_Handler):
            answer = sink._answer

            def setup(self) -> None:
                sink.connections += 1
                super().setup()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening; a connection ends when the client closes it."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, operation: str, body: bytes) -> Reply | None:
        params = json.loads(body)
        groups = {entry.get("MessageGroupId") for entry in params.get("Entries", ())}
        with self._lock:
            self.requests[operation] += 1
            self.body_bytes[operation] += len(body)
            self.overlaps += any(self._groups[group] for group in groups)
            self._groups.update(groups)
            self._now += 1
            self.busiest = max(self.busiest, self._now)
        time.sleep(self.latency_ms / 1000)
        with self._lock:
            self._now -= 1
            self._groups.subtract(groups)
            return self._carry_out(operation, params, len(body))

    def _carry_out(self, operation: str, params: dict[str, Any], size: int) -> Reply | None:
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
        write = operation == "BatchWriteItem"
        (entries,) = params["RequestItems"].values() if write else (params["Entries"],)
        most, most_bytes = _LIMITS[operation]
        if not 0 < len(entries) <= most or size > most_bytes:
            return _refusal(400, "ValidationException")
        taken = self._random.randrange(len(entries)) if fault == "partial" else len(entries)
        reply = (self._write if write else self._send)(params, entries[:taken], entries[taken:])
        return None if fault == "dropped after" else reply

    def _write(self, params: dict[str, Any], taken: list[Any], left: list[Any]) -> Reply:
        keys = [_key(request) for request in taken + left]
        if len(set(keys)) < len(keys):
            return _refusal(400, "ValidationException")
        for key, request in zip(keys, taken, strict=False):
            if "PutRequest" in request:
                self.items[key] = request["PutRequest"]["Item"]
            else:
                self.items.pop(key, None)
        (table,) = params["RequestItems"]
        return 200, {"UnprocessedItems": {table: left} if left else {}}

    def _send(self, _: dict[str, Any], taken: list[Any], left: list[Any]) -> Reply:
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
        return 200, {"Successful": [_sent_entry(entry["Id"]) for entry in taken], "Failed": failed}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self, operation: str, body: bytes) -> Reply | None:
        raise NotImplementedError

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        reply = self.answer(self.headers["X-Amz-Target"].rpartition(".")[2], body)
        if reply is None:
            self.close_connection = True
            return
        status, content = reply
        text = json.dumps(content).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def _sent_entry(number: str) -> dict[str, str]:
    """Return SQS's response for an accepted entry."""
    return {
        "Id": number,
        "MessageId": "b5a54a8d-1c2f-4d2f-a1f6-8f0a4d8a3c11",
        "MD5OfMessageBody": "9e107d9d372bb6826bd81d3542a419d6",
        "MD5OfMessageAttributes": "e4d909c290d0fb1ca068ffaddf22cbd0",
        "SequenceNumber": "18892516427553263616",
    }


def _key(request: Mapping[str, Any]) -> tuple[str, str]:
    ((_, content),) = request.items()
    item = content.get("Item") or content["Key"]
    return item["pk"]["S"], item["sk"]["S"]


def _refusal(status: int, code: str) -> Reply:
    return status, {"__type": code, "message": f"the sink says {code}"}
