"""Every HTTP request that the functions send, with its size, while they process days in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest
from faults.aws_platform import Platform
from pipeline.aws import clients
from support import REGION, in_memory_aws

SERVICES = ("s3", "dynamodb", "sqs", "stepfunctions")
STREAM_BATCH = 100
"""Records that the event source mapping of publish gives at once (infra/locals.tf)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request: which function sent it, the operation of the API, and the bytes of its body."""

    stage: str
    operation: str
    size: int


@dataclass
class Wire:
    """Records requests where they leave the SDK, however their bodies were made."""

    stage: Callable[[], str]
    requests: list[Request] = field(default_factory=list)

    def listen(self) -> None:
        """Register with the functions' clients, before moto, whose response would end the event."""
        for service in SERVICES:
            clients.client(service).meta.events.register_first("before-send", self._note)

    def _note(self, event_name: str, request: AWSPreparedRequest, **_: Any) -> None:
        # A body that is sent while it is read (an upload) has its length in a separate header.
        headers = request.headers
        size = int(headers.get("X-Amz-Decoded-Content-Length") or headers.get("Content-Length") or 0)
        self.requests.append(Request(self.stage(), event_name.rpartition(".")[2], size))

    def counts(self) -> Counter[tuple[str, str]]:
        """Requests by function and operation."""
        return Counter((request.stage, request.operation) for request in self.requests)


@dataclass
class CountedPlatform(Platform):
    """The platform, which passes publish its records as Lambda does, and records what the functions send."""

    stream_batch: int | None = STREAM_BATCH

    def __post_init__(self) -> None:
        self.wire = Wire(lambda: self.stage)
        self.wire.listen()

    def _publish(self) -> bool:
        """Receive the messages immediately: moto gets slower with each message in the queue."""
        published = super()._publish()
        self.bodies += [message["Body"] for message in self.cloud.received()]
        return published

    def day(self, files: dict[str, bytes]) -> Wire:
        """Let files arrive one by one, and return all requests until there is nothing left to do."""
        self.wire.requests = []
        self.invocations.clear()
        for name, content in files.items():
            self.upload({name: content})
            self.take_events()
        self.settle()
        return self.wire

    def objects(self) -> Iterator[dict[str, Any]]:
        """List the objects in the bucket."""
        bucket = self.cloud.bucket.name
        for page in self.cloud.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            yield from page["Contents"]


@contextmanager
def counted_platform(**settings: int) -> Iterator[CountedPlatform]:
    """A separate AWS; `settings` are the functions' settings by the names of their environment variables."""
    with pytest.MonkeyPatch.context() as environment, in_memory_aws(environment) as cloud:
        for name, value in settings.items():
            environment.setenv(name, str(value))
        yield CountedPlatform(cloud, boto3.client("dynamodbstreams", region_name=REGION))
