"""The bucket: exact versions, ranges, and bodies that something on the way has changed."""

from __future__ import annotations

import io
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from pipeline.aws.s3 import Bucket
from pipeline.errors import SourceChangedError, TransferError
from pipeline.model.file_set import SourceObject
from support import Cloud

MEGABYTE = 1 << 20
KEY = "work/20220131/v/part"


class Zeros(io.RawIOBase):
    """A stream of zero bytes, generated while it is read."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, amount: int = -1) -> bytes:
        amount = min(amount, self._left)
        self._left -= amount
        return bytes(amount)


class Store:
    """An S3 that responds only when `together` requests are open at the same time."""

    def __init__(self, size: int, together: int = 1) -> None:
        self._size = size
        self._all_here = threading.Barrier(together)

    def get_object(self, **_: Any) -> dict[str, Any]:
        self._all_here.wait(timeout=30)
        return {"Body": StreamingBody(Zeros(self._size), self._size)}


def source(name: str, size: int = 0) -> SourceObject:
    return SourceObject(key=f"incoming/{name}.csv", etag="e", size=size, last_modified="", version_id="v")


def test_a_download_never_holds_the_file_in_memory(tmp_path: Path) -> None:
    size = 64 * MEGABYTE
    tracemalloc.start()
    Bucket("bucket", Store(size)).download(source("items", size), tmp_path / "items.csv")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "items.csv").stat().st_size == size
    assert peak < 8 * MEGABYTE


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("NoSuchVersion", "is no longer the file that made the set complete"),
        ("PreconditionFailed", "is no longer the file that made the set complete"),
        ("AccessDenied", "is gone, or may not be read: S3 answered AccessDenied"),
    ],
)
def test_an_unreadable_version_is_named_with_the_consequence(tmp_path: Path, code: str, sentence: str) -> None:
    class Refusing:
        def get_object(self, **_: Any) -> dict[str, Any]:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")

    refusing: Any = Refusing()
    with pytest.raises(SourceChangedError, match=rf"incoming/items\.csv .*{sentence}|incoming/items\.csv {sentence}"):
        Bucket("bucket", refusing).download(source("items"), tmp_path / "items.csv")


def test_the_files_of_a_set_are_downloaded_at_the_same_time(tmp_path: Path) -> None:
    kinds = ("customers", "orders", "items")
    paths = Bucket("bucket", Store(10, together=3)).download_all({kind: source(kind, 10) for kind in kinds}, tmp_path)
    assert {kind: path.stat().st_size for kind, path in paths.items()} == dict.fromkeys(kinds, 10)


def put(cloud: Cloud, content: bytes) -> SourceObject:
    cloud.s3.put_object(Bucket=cloud.bucket.name, Key=KEY, Body=content)
    found = cloud.bucket.head(KEY)
    assert found is not None
    return found


class WithoutRanges:
    """An S3 that ignores the range of a request, as HTTP allows."""

    def get_object(self, **_: Any) -> dict[str, Any]:
        return {"Body": StreamingBody(io.BytesIO(b"0123456789"), 10)}


@pytest.mark.parametrize(
    ("start", "end", "expected"), [(0, 10, b"0123456789"), (2, 7, b"23456"), (8, 99, b"89"), (5, 5, b"")]
)
@pytest.mark.parametrize("ignores_ranges", [False, True])
def test_a_range_of_an_object_is_read_in_blocks(
    cloud: Cloud, start: int, end: int, expected: bytes, *, ignores_ranges: bool
) -> None:
    client: Any = WithoutRanges() if ignores_ranges else cloud.s3
    blocks = list(Bucket(cloud.bucket.name, client).read_range(put(cloud, b"0123456789"), start, end, 3))
    assert b"".join(blocks) == expected
    assert all(len(block) <= 3 for block in blocks)


class OnTheWay:
    """A client whose replies have lost their length, and whose bodies are spoiled."""

    def __init__(self, cloud: Cloud, spoil: Callable[[bytes], bytes], **reply: Any) -> None:
        self._s3, self._spoil, self._reply = cloud.s3, spoil, reply

    def get_object(self, **call: Any) -> dict[str, Any]:
        reply = self._s3.get_object(**call)
        del reply["ContentLength"]
        return {**reply, **self._reply, "Body": StreamingBody(io.BytesIO(self._spoil(reply["Body"].read())), None)}


SPOILED = pytest.mark.parametrize(
    "spoil", [lambda content: content[:5], lambda content: content[:-1] + b"x"], ids=["cut", "changed"]
)
READS = pytest.mark.parametrize(
    "read",
    [
        lambda bucket, found, path: bucket.download(found, path),
        lambda bucket, found, path: bucket.fetch(KEY, path),
        lambda bucket, found, path: bucket.get_json(KEY),
        lambda bucket, found, path: bucket.json_lines(KEY),
    ],
    ids=["download", "fetch", "get_json", "json_lines"],
)


@READS
@SPOILED
def test_a_body_that_was_cut_or_changed_on_the_way_is_never_taken(
    cloud: Cloud, tmp_path: Path, read: Callable[..., object], spoil: Callable[[bytes], bytes]
) -> None:
    found, client = put(cloud, b"[1]\n[23]\n"), OnTheWay(cloud, spoil)
    with pytest.raises(TransferError, match=KEY):
        read(Bucket(cloud.bucket.name, client), found, tmp_path / "part")  # type: ignore[arg-type]


def test_where_the_etag_is_no_digest_the_size_still_counts(cloud: Cloud, tmp_path: Path) -> None:
    found = put(cloud, b"[1]\n[23]\n")
    for spoil, problem in ((lambda content: content[:5], "5 of 9 bytes"), (lambda content: content, None)):
        client: Any = OnTheWay(cloud, spoil, ETag=f'"{"0" * 32}"', ServerSideEncryption="aws:kms")
        with pytest.raises(TransferError, match=problem) if problem else nullcontext():
            Bucket(cloud.bucket.name, client).download(found, tmp_path / "part")


def test_a_range_that_was_cut_on_the_way_is_not_taken(cloud: Cloud) -> None:
    found, client = put(cloud, b"0123456789"), OnTheWay(cloud, lambda content: content[:2])
    with pytest.raises(TransferError, match="bytes 4 to 7 did not arrive"):
        list(Bucket(cloud.bucket.name, client).read_range(found, 2, 7, 100))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("head", "archived"),
    [
        ({"StorageClass": "GLACIER"}, True),
        ({"StorageClass": "DEEP_ARCHIVE", "Restore": 'ongoing-request="true"'}, True),
        ({"StorageClass": "GLACIER", "Restore": 'ongoing-request="false", expiry-date="Fri, 21 Dec 2012"'}, False),
        ({"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "ARCHIVE_ACCESS"}, True),
        ({"StorageClass": "INTELLIGENT_TIERING"}, False),
        ({"StorageClass": "GLACIER_IR"}, False),
        ({}, False),
    ],
)
def test_an_archived_object_is_known_before_it_is_read(head: dict[str, str], archived: bool) -> None:
    # S3 API reference, HeadObject: x-amz-storage-class, x-amz-restore, x-amz-archive-status.
    class Client:
        def head_object(self, **_: Any) -> dict[str, Any]:
            return {"ETag": '"e"', "ContentLength": 1, "LastModified": datetime.now(UTC), **head}

    found = Bucket("bucket", Client()).head(KEY)  # type: ignore[arg-type]
    assert found is not None
    assert bool(found.unreadable) == archived
