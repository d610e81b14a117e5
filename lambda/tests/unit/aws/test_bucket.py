from __future__ import annotations

import io
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from pipeline.aws.s3 import Bucket
from pipeline.errors import SourceChangedError
from pipeline.model.file_set import SourceObject

MEGABYTE = 1 << 20


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


def source(name: str) -> SourceObject:
    return SourceObject(key=f"incoming/{name}.csv", etag="e", size=0, last_modified="", version_id="v")


def test_a_download_never_holds_the_file_in_memory(tmp_path: Path) -> None:
    size = 64 * MEGABYTE
    tracemalloc.start()
    Bucket("bucket", Store(size)).download(source("items"), tmp_path / "items.csv")
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
    paths = Bucket("bucket", Store(10, together=3)).download_all({kind: source(kind) for kind in kinds}, tmp_path)
    assert {kind: path.stat().st_size for kind, path in paths.items()} == dict.fromkeys(kinds, 10)
