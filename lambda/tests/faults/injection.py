"""Faults in the calls of the AWS SDK, which all functions make."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.response import StreamingBody
from pipeline.aws import clients

SERVICES = ("s3", "dynamodb", "sqs", "stepfunctions")


class KilledError(Exception):
    """The process died at this call."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong at the n-th call of a stage.

    `kind` is `before` or `after` (the process dies before the call, or after its effect and before its answer),
    `throttle` (the service refuses the call, and the SDK's own retries are used up), `partial` (the service takes
    one entry of a batch and refuses the rest), or `cut` or `changed` (something on the way removes the length and the
    checksum of a body, and half of it or a bit of it).
    """

    stage: str
    call: int
    kind: str

    def __str__(self) -> str:
        """Name the fault as a test report shows it."""
        return f"{self.stage}-{self.call}-{self.kind}"


def _half(content: bytes) -> bytes:
    """Cut after a line, where there are several: the rest looks whole."""
    half = len(content) // 2
    return content[: content.rfind(b"\n", 0, half) + 1] or content[:half]


def _with_another_bit(content: bytes) -> bytes:
    """Change a digit into another, where there is one."""
    place = max((content.rfind(b"%d" % digit) for digit in range(10)), default=-1)
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :] if content else content


@dataclass
class Injector:
    """Counts the calls of each stage and lets one of them fail, once."""

    stage: Callable[[], str]
    fault: Fault | None = None
    injected: int = 0

    def __post_init__(self) -> None:
        self.calls: dict[str, list[str]] = {}
        for service in SERVICES:
            events = clients.client(service).meta.events
            events.register("provide-client-params", self._shorten)
            events.register("before-call", self._before)
            events.register("after-call", self._after)

    def _before(self, model: Any, **_: Any) -> Any:
        stage = self.stage()
        if not stage:
            return None
        self.calls.setdefault(stage, []).append(model.name)
        if self._is_due("before"):
            raise KilledError(f"before {model.name}")
        if self._is_due("throttle"):
            code = {"s3": "SlowDown", "sqs": "RequestThrottled"}.get(
                model.service_model.service_name, "ProvisionedThroughputExceededException"
            )
            reply = {"Error": {"Code": code, "Message": "slow down"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
            return AWSResponse("http://test", 400, {}, None), reply
        return None

    def _after(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        if self.stage() and self._is_due("after"):
            raise KilledError(f"after {model.name}")
        if model.name == "GetObject":
            for kind, spoil in (("cut", _half), ("changed", _with_another_bit)):
                if self.stage() and self._is_due(kind):
                    parsed["Body"] = StreamingBody(io.BytesIO(spoil(parsed["Body"].read())), None)
                    parsed.pop("ContentLength", None)
        if self._left_out:
            table, rest = self._left_out
            self._left_out = None
            if table:
                parsed["UnprocessedItems"] = {table: rest}
            else:
                parsed["Failed"] = [
                    {"Id": entry["Id"], "SenderFault": False, "Code": "InternalError"} for entry in rest
                ]

    _left_out: tuple[str | None, list[Any]] | None = None

    def _shorten(self, params: dict[str, Any], model: Any, **_: Any) -> dict[str, Any] | None:
        """Pass on only the first entry of a batch; the response will name the others as unprocessed."""
        fault, stage = self.fault, self.stage()
        next_call = len(self.calls.get(stage, ())) + 1
        if not stage or fault is None or (fault.stage, fault.call, fault.kind) != (stage, next_call, "partial"):
            return None
        if model.name == "BatchWriteItem":
            ((table, requests),) = params["RequestItems"].items()
            shorter = {**params, "RequestItems": {table: requests[:1]}}
            left_out = (table, requests[1:])
        elif model.name == "SendMessageBatch":
            shorter = {**params, "Entries": params["Entries"][:1]}
            left_out = (None, params["Entries"][1:])
        else:
            return None
        self._fire()
        self._left_out = left_out if left_out[1] else None
        return shorter

    def _is_due(self, kind: str) -> bool:
        fault, stage = self.fault, self.stage()
        if fault is None or (fault.stage, fault.kind, fault.call) != (stage, kind, len(self.calls.get(stage, ()))):
            return False
        self._fire()
        return True

    def _fire(self) -> None:
        self.fault = None
        self.injected += 1
