from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from pipeline_cli.verbs import purge

from scripts.tests.support import Run, Stack

QUEUES = ("ingest", "ingest_dead_letter", "output", "output_dead_letter", "publish_dead_letter")


def fill(stack: Stack) -> None:
    for number in range(3):
        stack.put("incoming/a", str(number).encode())
        stack.put(f"work/{number}")
    stack.client("s3").delete_object(Bucket=stack.bucket.name, Key="incoming/a")
    for number in range(60):
        stack.table.put({"pk": f"customer#{number}", "sk": "batch#20220131", "payload": "x" * 100})
    for queue in QUEUES:
        stack.send({"n": queue}, queue=queue)


def versions(stack: Stack) -> list[str]:
    reply = stack.client("s3").list_object_versions(Bucket=stack.bucket.name)
    return [version["Key"] for version in [*reply.get("Versions", ()), *reply.get("DeleteMarkers", ())]]


def items(stack: Stack) -> int:
    return int(stack.client("dynamodb").scan(TableName=stack.table.name, Select="COUNT")["Count"])


def test_all_versions_queues_and_items_are_deleted_but_the_code_of_the_job_for_large_days(
    stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "PAGE", 3)
    fill(stack)
    stack.put("code/hash/run_job.py")
    stack.client("s3").create_multipart_upload(Bucket=stack.bucket.name, Key="incoming/half +1.csv")

    result = run("purge")

    assert result.exit_code == 0, result.output
    assert versions(stack) == ["code/hash/run_job.py"]
    assert not stack.client("s3").list_multipart_uploads(Bucket=stack.bucket.name).get("Uploads")
    assert (items(stack), [stack.waiting(queue) for queue in QUEUES]) == (0, [0] * 5)
    assert result.stdout == "73 things removed.\n"


def test_what_can_not_be_emptied_is_named_and_the_other_parts_are_emptied_all_the_same(
    stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(stack)
    stack.client("sqs").delete_queue(QueueUrl=stack.url("output_dead_letter"))
    client = stack.target.client

    def stubborn(_: object, service: str) -> Any:
        made = client(service)
        if service == "s3":
            errors = [{"Key": "work/0", "Code": "AccessDenied", "Message": "no"}]
            made.delete_objects = lambda **_: {"Errors": errors}
        return made

    monkeypatch.setattr(type(stack.target), "client", stubborn)
    result = run("purge")

    assert result.exit_code == 1
    assert (
        "Error: Not empty: bucket pipeline-test: 1 version could not be deleted, such as work/0: AccessDenied no"
        in (result.stderr)
    )
    assert "queue output-dead-letter.fifo: " in result.stderr
    assert (items(stack), stack.waiting("output")) == (0, 0)


def test_a_queue_that_was_purged_a_moment_ago_is_waited_for(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.send({"a": 1})
    sqs = stack.client("sqs")
    purge_queue = sqs.purge_queue
    naps: list[float] = []

    def busy(**request: Any) -> Any:
        if len(naps) < 2:
            code = "AWS.SimpleQueueService.PurgeQueueInProgress"
            raise ClientError({"Error": {"Code": code, "Message": "60 seconds"}}, "PurgeQueue")
        return purge_queue(**request)

    monkeypatch.setattr(sqs, "purge_queue", busy)
    monkeypatch.setattr(purge.time, "sleep", naps.append)
    assert list(purge.empty_queue(sqs, stack.url("output"))) == [1]
    assert len(naps) == 2


def test_a_key_that_xml_cannot_represent_is_deleted_alone_and_the_others_together(stack: Stack) -> None:
    """S3 lists such keys URL-encoded, but a DeleteObjects request can't name them. Played back, as moto lists none."""
    s3 = stack.client("s3")
    listed = [{"Key": key, "VersionId": "1"} for key in ("incoming/a", "incoming/\x1b]0;title\x07\x01.csv")]
    upload = {"Bucket": "files", "Key": "incoming/\x1b] +", "UploadId": "u"}
    with Stubber(s3) as service:
        service.add_response("list_object_versions", {"Versions": listed})
        service.add_response(
            "delete_objects", {}, {"Bucket": "files", "Delete": {"Objects": [listed[0]], "Quiet": True}}
        )
        service.add_response("delete_object", {}, {"Bucket": "files", **listed[1]})
        uploads = [{"Key": "incoming/%1B%5D+%2B", "UploadId": "u"}]
        service.add_response("list_multipart_uploads", {"EncodingType": "url", "Uploads": uploads})
        service.add_response("abort_multipart_upload", {}, upload)

        assert list(purge.empty_bucket(s3, "files")) == [1, 1, 1]

        service.assert_no_pending_responses()
