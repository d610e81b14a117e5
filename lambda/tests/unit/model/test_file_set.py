"""Sets of files: their version and time."""

from __future__ import annotations

from pipeline.model.data_model import MODEL
from pipeline.model.file_set import SourceObject, set_time, set_version


def a_set(*etags: str) -> dict[object, SourceObject]:
    return {
        kind: SourceObject(f"incoming/{kind}_20220131.csv", etag, 1, f"2022-02-01T0{number}:00:00+00:00")
        for number, (kind, etag) in enumerate(zip(MODEL.kinds, etags, strict=True))
    }


def test_the_version_is_that_of_the_content_of_each_file() -> None:
    versions = [set_version(a_set(*etags)) for etags in (("a", "b", "c"), ("b", "a", "c"), ("a", "b", "d"))]

    assert len(set(versions)) == 3, "two different sets have one version, so the second would start no run"
    assert set_version(a_set("a", "b", "c")) == versions[0]


def test_the_time_of_a_set_is_that_of_its_newest_file() -> None:
    assert set_time(a_set("a", "b", "c")) == "2022-02-01T02:00:00+00:00"
    assert set_time({}) == ""
