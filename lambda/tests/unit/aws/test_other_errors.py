"""What a service refuses for another reason than the expected one is raised, not taken for the expected one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pipeline.aws.backoff import Deadline
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from pipeline.model.file_set import SourceObject

SOURCE = SourceObject(key="incoming/items_20220131.csv", etag="e", size=1, last_modified="")


class Refusing:
    """A client most of whose calls fail."""

    def list_objects_v2(self, Prefix: str, **_: Any) -> dict[str, Any]:  # noqa: N803 (boto3's name)
        return {"Contents": [{"Key": Prefix}]}

    def get_item(self, **_: Any) -> dict[str, Any]:
        return {}

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def refuse(**_: Any) -> Any:
            raise ClientError({"Error": {"Code": "InternalError", "Message": "not now"}}, operation)

        return refuse


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda client, _: Bucket("bucket", client).find("key"), id="find"),
        pytest.param(lambda client, path: Bucket("bucket", client).download(SOURCE, path), id="download"),
        pytest.param(lambda client, _: Bucket("bucket", client).create_json("key", 1), id="create_json"),
        pytest.param(lambda client, _: Bucket("bucket", client).find_json("key"), id="find_json"),
        pytest.param(lambda client, _: Table("table", client).update_ledger("20220131", lambda old: old), id="ledger"),
        pytest.param(
            lambda client, _: Table("table", client).write([{"PutRequest": {}}], Deadline.after(60)), id="write"
        ),
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
