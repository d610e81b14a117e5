"""The local AWS answers programs on this machine, but not web pages."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import boto3
import pytest
from pipeline_cli.local import emulator
from pipeline_cli.local.emulator import Record, endpoint, temporary_emulator
from pipeline_cli.local.guard import refusal

PAGE = {"Origin": "https://example.com"}


@pytest.mark.parametrize(
    ("path", "headers", "reason"),
    [
        ("/", {}, None),
        ("/bucket/key", {"host": "127.0.0.1:4566"}, None),
        ("/", {"host": "localhost:4566", "sec-fetch-site": "none"}, None),
        ("/", {"host": "bucket.s3.localhost:4566"}, None),
        ("/", {"host": "[::1]"}, None),
        ("/_ministack/health", {"host": "localhost"}, None),
        ("/", {"host": "localhost", "origin": "https://example.com"}, "web page"),
        ("/", {"host": "localhost", "origin": "null"}, "web page"),
        ("/", {"host": "localhost", "origin": "http://localhost:4566"}, "web page"),
        ("/", {"host": "localhost", "sec-fetch-site": "cross-site"}, "web page"),
        ("/", {"host": "rebound.example.com:4566"}, "not called 'rebound.example.com'"),
        ("/", {"host": "127.0.0.1.example.com"}, "not called"),
        ("/_ministack/reset", {"host": "localhost"}, "closed"),
        ("/_ministack/config", {"host": "localhost"}, "closed"),
        ("/_localstack/state", {"host": "localhost"}, "closed"),
    ],
)
def test_what_is_refused(path: str, headers: dict[str, str], reason: str | None) -> None:
    found = refusal(path, headers)
    assert (found is None) == (reason is None)
    assert (reason or "") in (found or "")


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    with temporary_emulator(tmp_path_factory.mktemp("guard")) as record:
        yield record


def ask(record: Record, method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(emulator.HOST, record.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/_ministack/reset", {}),
        ("POST", "/_ministack/reset", PAGE),
        ("OPTIONS", "/_ministack/reset", {**PAGE, "Access-Control-Request-Method": "POST"}),
        ("OPTIONS", "/", {**PAGE, "Access-Control-Request-Method": "POST"}),
        ("GET", "/?Action=ListQueues", PAGE),
        ("GET", "/_ministack/health", PAGE),
        ("GET", "/_ministack/sqs/messages", {}),
        ("GET", "/", {"Host": "rebound.example.com"}),
        ("GET", "/", {"Sec-Fetch-Site": "cross-site"}),
    ],
)
def test_no_web_page_empties_or_reads_the_local_aws(
    record: Record, method: str, path: str, headers: dict[str, str]
) -> None:
    sqs = boto3.client(
        "sqs",
        region_name=emulator.REGION,
        endpoint_url=endpoint(record.port),
        aws_access_key_id=emulator.ACCESS_KEY,
        aws_secret_access_key=emulator.SECRET_KEY,
    )
    queue = sqs.create_queue(QueueName="kept")["QueueUrl"]

    status, fields, body = ask(record, method, path, headers)

    assert status == 403
    assert body.startswith(b"Refused: ")
    assert not [name for name in fields if name.startswith("access-control-")]
    assert queue in sqs.list_queues()["QueueUrls"]


def test_no_answer_lets_a_web_page_read_it(record: Record) -> None:
    status, fields, _ = ask(record, "GET", "/_ministack/health", {})
    assert status == 200
    assert not [name for name in fields if name.startswith("access-control-")]
