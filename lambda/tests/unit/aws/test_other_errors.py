"""What a service refuses for another reason than the expected one is raised, not taken for the expected one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from pipeline.model.file_set import SourceObject
from support import Cloud

SOURCE = SourceObject(key="incoming/items_20220131.csv", etag="e", size=1, last_modified="")


class Refusing:
    """A client all of whose calls fail."""

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def refuse(**_: Any) -> Any:
            raise ClientError({"Error": {"Code": "InternalError", "Message": "not now"}}, operation)

        return refuse


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda client, _: Bucket("bucket", client).head("key"), id="head"),
        pytest.param(lambda client, path: Bucket("bucket", client).download(SOURCE, path), id="download"),
        pytest.param(lambda client, _: Bucket("bucket", client).create_json("key", 1), id="create_json"),
        pytest.param(lambda client, _: Bucket("bucket", client).find_json("key"), id="find_json"),
        pytest.param(lambda client, _: Workflow("arn:machine", client).start("name", {}), id="start"),
        pytest.param(
            lambda client, _: Workflow("arn:aws:states:eu-west-1:1:stateMachine:m", client).status("name"),
            id="status",
        ),
    ],
)
def test_an_unexpected_error_is_raised(call: Callable[[Any, Path], object], tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="InternalError"):
        call(Refusing(), tmp_path / "file")


def test_an_unexpected_error_about_an_object_that_is_listed_is_raised(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.upload("items_20220131.csv")
    monkeypatch.setattr(cloud.bucket._s3, "head_object", Refusing().head_object)
    with pytest.raises(ClientError, match="InternalError"):
        cloud.bucket.find("incoming/items_20220131.csv")


def test_an_unexpected_error_of_a_write_to_the_ledger_is_raised(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud.table._dynamodb, "put_item", Refusing().put_item)
    with pytest.raises(ClientError, match="InternalError"):
        cloud.table.update_ledger("20220131", lambda entry: entry)
