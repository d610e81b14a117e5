"""Tasks read exact versions of objects by range, and leave objects under one prefix."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pipeline.aws.clients import client
from pipeline.aws.s3 import Bucket
from pipeline.errors import SourceChangedError
from pipeline.large.storage import LocalStore, ObjectSource, ObjectStore, copy
from support import BUCKET, Cloud

KEY = "incoming/items_20220131.csv"


def sent(cloud: Cloud, content: bytes) -> ObjectSource:
    cloud.upload("items_20220131.csv", content)
    found = Bucket(BUCKET).head(KEY)
    assert found is not None
    return ObjectSource(BUCKET, found)


@pytest.mark.parametrize(("start", "end"), [(0, 4), (3, 7), (0, 10), (9, 10), (5, 5), (4, 99), (10, 20)])
def test_a_range_of_an_object_is_read(cloud: Cloud, start: int, end: int) -> None:
    source = sent(cloud, b"0123456789")

    assert b"".join(source.read(start, end)) == b"0123456789"[start:end]
    assert source.size == 10


def test_a_later_upload_does_not_change_what_is_read(cloud: Cloud, tmp_path: Path) -> None:
    source = pickle.loads(pickle.dumps(sent(cloud, b"as it was")))
    sent(cloud, b"a correction")

    assert copy(source, tmp_path / "copy").read_bytes() == b"as it was"


def test_a_version_that_is_gone_is_an_error_of_its_own(cloud: Cloud) -> None:
    source = sent(cloud, b"content")
    cloud.s3.delete_object(Bucket=BUCKET, Key=KEY, VersionId=source.object.version_id)

    with pytest.raises(SourceChangedError, match=KEY):
        list(source.read(0, 3))


def test_what_is_put_twice_is_there_once(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a chunk")
    for store in (ObjectStore(BUCKET, "work/20220131/v/"), LocalStore(tmp_path / "store")):
        for _ in range(2):
            store.put(tmp_path / "file", "chunks/00000.jsonl")
        assert copy(store.source("chunks/00000.jsonl"), tmp_path / "copy").read_bytes() == b"a chunk"

    assert list(Bucket(BUCKET).keys("work/")) == ["work/20220131/v/chunks/00000.jsonl"]
    assert [path.name for path in (tmp_path / "store" / "chunks").iterdir()] == ["00000.jsonl"]


def test_an_object_that_is_not_there_is_named(cloud: Cloud) -> None:
    with pytest.raises(FileNotFoundError, match="work/none"):
        ObjectStore(BUCKET, "work/").source("none")


def test_a_range_is_taken_from_the_whole_object_where_the_server_sends_that(
    cloud: Cloud,
) -> None:
    source = sent(cloud, b"0123456789")
    events = client("s3").meta.events

    def ignore_range(params: dict[str, str], **_: object) -> None:
        params.pop("Range", None)

    events.register("provide-client-params.s3.GetObject", ignore_range)
    try:
        found = list(Bucket(BUCKET).read_range(source.object, 3, 8, 2))
    finally:
        events.unregister("provide-client-params.s3.GetObject", ignore_range)

    assert found == [b"3", b"45", b"67"]
