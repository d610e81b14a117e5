"""The local AWS answers its owner alone: requests without its keys, of web pages too, and its controls are refused."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from pipeline_cli.local import emulator
from pipeline_cli.local.emulator import Record, temporary_emulator
from pipeline_cli.local.guard import refusal
from pipeline_cli.terraform.target import Target

PAGE = {"Origin": "https://example.com"}


def signed(key: str) -> dict[str, str]:
    return {"authorization": f"AWS4-HMAC-SHA256 Credential={key}/20260101/eu-west-1/s3/aws4_request, Signature=0"}


@pytest.mark.parametrize(
    ("path", "query", "headers", "reason"),
    [
        ("/bucket/key", "", signed("LOCAL1"), None),
        ("/bucket/key", "X-Amz-Credential=LOCAL1%2F20260101&X-Amz-Signature=1", {}, None),
        ("/bucket/key", "X-Amz-Credential=test%2F20260101&X-Amz-Signature=1", {}, "not the access key"),
        ("/bucket/key", "", signed("test"), "not the access key"),
        ("/bucket/key", "", signed("000000000000"), "not the access key"),
        ("/bucket/key", "X-Amz-Credential=LOCAL1%2F20260101", signed("test"), "not the access key"),
        ("/bucket/key", "AWSAccessKeyId=test&Signature=1", {}, "not signed"),
        ("/bucket/key", "", {"authorization": "AWS test:0"}, "not signed"),
        ("/_ministack/health", "", {}, None),
        ("/_ministack/health", "", {"origin": "https://example.com"}, "closed"),
        ("/bucket/key", "", {}, "not signed"),
        ("/_ministack/reset", "", signed("LOCAL1"), "closed"),
        ("/_localstack/state", "", signed("LOCAL1"), "closed"),
    ],
)
def test_what_is_refused(path: str, query: str, headers: dict[str, str], reason: str | None) -> None:
    found = refusal(path, query, headers)
    assert (found is None) == (reason is None)
    assert (reason or "") in (found or "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("guard")
    with temporary_emulator(folder):
        yield folder


@pytest.fixture
def record(folder: Path) -> Record:
    found = emulator.Emulator(folder).running()
    assert found is not None
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/_ministack/reset", {}),
        ("OPTIONS", "/", {**PAGE, "Access-Control-Request-Method": "POST"}),
        ("GET", "/?Action=ListQueues", PAGE),
        ("GET", "/_ministack/sqs/messages", {}),
        ("GET", "/", {}),
    ],
)
def test_who_has_no_keys_neither_empties_nor_reads_it(
    record: Record, folder: Path, method: str, path: str, headers: dict[str, str]
) -> None:
    sqs = Target("local", emulator.REGION, emulator.endpoint(record.port), folder=folder).client("sqs")
    queue = sqs.create_queue(QueueName="kept")["QueueUrl"]
    connection = http.client.HTTPConnection(emulator.HOST, record.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        assert (reply.status, reply.read()[:9]) == (403, b"Refused: ")
        assert not [name for name, _ in reply.getheaders() if name.lower().startswith("access-control-")]
    finally:
        connection.close()
    assert queue in sqs.list_queues()["QueueUrls"]


@pytest.mark.slow
def test_another_account_of_this_machine_does_not_know_the_keys(record: Record, folder: Path) -> None:
    for key in ("test", "000000000000", "AKIAIOSFODNN7EXAMPLE"):
        with pytest.raises(ClientError):
            boto3.client(
                "s3", region_name=emulator.REGION, endpoint_url=emulator.endpoint(record.port),
                aws_access_key_id=key, aws_secret_access_key="test",
            ).list_buckets()  # fmt: skip
    files = {path: path.stat().st_mode & 0o777 for path in folder.rglob("*.json") if path.is_file()}
    assert files[folder / "emulator.json"] == 0o600
    assert (folder / "tmp").stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_each_start_has_other_keys(tmp_path: Path) -> None:
    keys = set()
    for _ in range(2):
        with temporary_emulator(tmp_path) as started:
            keys.add(started.secret_key)
    assert len(keys) == 2
