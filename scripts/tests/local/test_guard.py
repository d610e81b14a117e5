"""The local AWS answers its owner alone: requests without its keys, of web pages too, and its controls are refused."""

from __future__ import annotations

import http.client
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from pipeline_cli.local import emulator
from pipeline_cli.local.emulator import temporary_emulator
from pipeline_cli.local.guard import refusal
from pipeline_cli.terraform.target import Target


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
        ("/bucket/key", "", {"authorization": "AWS test:0"}, "not signed"),
        ("/_ministack/health", "", {}, None),
        ("/_ministack/health", "", {"origin": "https://example.com"}, "closed"),
        ("/_ministack/reset", "", signed("LOCAL1"), "closed"),
    ],
)
def test_what_is_refused(path: str, query: str, headers: dict[str, str], reason: str | None) -> None:
    found = refusal(path, query, headers)
    assert (found is None) == (reason is None)
    assert (reason or "") in (found or "")


@pytest.mark.slow
def test_who_does_not_know_the_keys_neither_empties_nor_reads_it(tmp_path: Path) -> None:
    with temporary_emulator(tmp_path) as first:
        url = emulator.endpoint(first.port)
        sqs = Target("local", emulator.REGION, url, folder=tmp_path).client("sqs")
        queue = sqs.create_queue(QueueName="kept")["QueueUrl"]
        for method, path, headers in (
            ("POST", "/_ministack/reset", {}),
            ("GET", "/?Action=ListQueues", {"Origin": "https://example.com"}),
        ):
            connection = http.client.HTTPConnection(emulator.HOST, first.port, timeout=10)
            connection.request(method, path, headers=headers)
            reply = connection.getresponse()
            assert (reply.status, reply.read()[:9]) == (403, b"Refused: "), path
            assert not [name for name, _ in reply.getheaders() if name.lower().startswith("access-control-")], path
            connection.close()
        for key in ("test", "AKIAIOSFODNN7EXAMPLE"):
            with pytest.raises(ClientError):
                boto3.client(
                    "s3", region_name=emulator.REGION, endpoint_url=url,
                    aws_access_key_id=key, aws_secret_access_key="test",
                ).list_buckets()  # fmt: skip
        assert queue in sqs.list_queues()["QueueUrls"]
        assert (tmp_path / "emulator.json").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "tmp").stat().st_mode & 0o777 == 0o700
    with temporary_emulator(tmp_path) as second:
        assert second.secret_key != first.secret_key, "each start has keys of its own"
