"""The ledger entry across releases: `data/ledger` holds entries as release 1.0 stored them, one of each state."""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pipeline import ledger
from pipeline.errors import RetryableError
from pipeline.ledger import BatchState, Ledger
from pipeline.model.file_set import set_version
from support import TABLE, Cloud

STORED = Path(__file__).parents[1] / "data" / "ledger"
DAY = "20220131"
KEY = {"pk": {"S": f"batch#{DAY}"}, "sk": {"S": "ledger"}}
NOW = datetime(2022, 2, 1, 9, 0, tzinfo=UTC)


def put_stored(cloud: Cloud, state: str, /, **changes: Any) -> dict[str, Any]:
    """Put an entry into the table as the earlier release left it; a change to None removes the attribute."""
    stored = json.loads((STORED / f"{state}.json").read_text()) | changes
    item = {name: value for name, value in stored.items() if value is not None}
    cloud.dynamodb.put_item(TableName=TABLE, Item=item)
    return item


def stored(cloud: Cloud) -> dict[str, Any]:
    item: dict[str, Any] = cloud.dynamodb.get_item(TableName=TABLE, Key=KEY)["Item"]
    return item


@pytest.mark.parametrize("state", ["waiting", "queued", "running", "failed", "completed"])
def test_an_entry_of_an_earlier_release_is_read_and_written_back_whole(cloud: Cloud, state: str) -> None:
    before = put_stored(cloud, state)
    entry = cloud.entry()
    assert entry.state is BatchState(state.upper())
    assert entry.unknown == {}
    assert not entry.version or entry.version == set_version(entry.files), (
        "the same files would be taken for other ones"
    )

    cloud.table.update_ledger(DAY, lambda entry: ledger.replace(entry, chunks=7))

    after = stored(cloud)
    assert {name: after[name] for name in before.keys() - {"chunks", "revision"}} == {
        name: before[name] for name in before.keys() - {"chunks", "revision"}
    }


@pytest.mark.parametrize("name", sorted(Ledger("20220131").as_item().keys() - {"batch"}))
def test_a_field_that_an_older_release_did_not_have_gets_its_default_and_can_be_written(
    cloud: Cloud, name: str
) -> None:
    put_stored(cloud, "completed", **{name: None})
    assert cloud.entry().as_item()[name] == Ledger(DAY).as_item()[name]

    changed = cloud.table.update_ledger(DAY, lambda entry: ledger.replace(entry, cause="changed"))

    assert cloud.entry() == changed
    assert name in stored(cloud)


def test_what_a_newer_release_added_survives_the_whole_life_of_an_entry(cloud: Cloud) -> None:
    files = json.loads((STORED / "queued.json").read_text())["files"]
    files["M"]["items"]["M"]["checksum"] = {"S": "crc64"}
    audited = {"M": {"by": {"S": "operator"}, "share": {"N": "12.5"}, "codes": {"SS": ["a"]}}}
    put_stored(cloud, "queued", files=files, audited=audited)
    execution = str(cloud.entry().execution)

    for change in (
        functools.partial(ledger.begin, execution=execution, now=NOW),
        functools.partial(ledger.deliver, execution=execution, chunks=3),
        functools.partial(ledger.finish, execution=execution, state=BatchState.COMPLETED, now=NOW),
        functools.partial(ledger.replay, now=NOW),
    ):
        cloud.table.update_ledger(DAY, change)

    after = stored(cloud)
    assert after["state"] == {"S": "QUEUED"}
    assert "audited" not in Ledger(DAY).as_item(), "the attribute must be one that this release does not know"
    assert after["audited"] == audited
    assert after["files"] == files


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"state": {"S": "PAUSED"}}, "PAUSED"),
        ({"files": {"M": {"returns": {"M": {}}}}}, "returns"),
    ],
    ids=["state", "kind of file"],
)
def test_an_entry_that_only_a_newer_release_understands_is_not_changed(
    cloud: Cloud, changes: dict[str, Any], named: str
) -> None:
    before = put_stored(cloud, "completed", **changes)
    with pytest.raises(RetryableError, match=f"batch {DAY} was written by a newer release.*{named}"):
        cloud.table.update_ledger(DAY, functools.partial(ledger.replay, now=NOW))
    assert stored(cloud) == before
