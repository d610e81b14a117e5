"""The ledger entry across releases: `data/ledger` holds entries as release 1.0 stored them, one of each state."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pipeline import ledger
from pipeline.errors import RetryableError
from pipeline.joining.customer_data_processor import Outcome
from pipeline.joining.summary import FileSummary, Summary
from pipeline.ledger import BatchState, Ledger
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.file_set import SourceObject, set_version
from pipeline.stages.run import Run
from pipeline.stages.store import record_delivery, store
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


def read(cloud: Cloud) -> Ledger:
    entry = cloud.table.get_ledger(DAY)
    assert entry is not None
    return entry


@pytest.mark.parametrize("state", ["waiting", "queued", "running", "failed", "completed"])
def test_an_entry_of_an_earlier_release_is_read_and_written_back_whole(cloud: Cloud, state: str) -> None:
    before = put_stored(cloud, state)
    entry = read(cloud)
    assert entry.state is BatchState(state.upper())
    assert entry.unknown == {}

    cloud.table.update_ledger(DAY, lambda entry: ledger.replace(entry, chunks=7))

    after = stored(cloud)
    assert {name: after[name] for name in before.keys() - {"chunks", "revision"}} == {
        name: before[name] for name in before.keys() - {"chunks", "revision"}
    }


def test_a_stored_entry_means_what_it_meant(cloud: Cloud) -> None:
    put_stored(cloud, "completed")
    entry = read(cloud)
    assert entry.files[data_model.ITEMS] == SourceObject(
        "incoming/items_20220131.csv", "3" + "b" * 31, 122, "2022-02-01T01:20:00+00:00", "v2-b"
    )
    assert set_version(entry.files) == entry.version == "cbb6171e30e0cbc2"
    assert entry.execution == f"{DAY}-{entry.version}"
    assert entry.delivered == (entry.version,)
    assert (entry.holder, entry.blocked_until, entry.chunks, entry.revision) == (None, None, 1, 9)
    assert entry.attempts == {"77dcff0e228352b2": 1, "cbb6171e30e0cbc2": 1}
    assert entry.summary["files"]["items"]["refused_by_code"] == {"not_an_amount": 2}
    assert [(run["state"], run["cause"]) for run in entry.history] == [
        ("FAILED", "Sandbox.Timedout: it took too long"),
        ("COMPLETED", None),
    ]


@pytest.mark.parametrize("name", sorted(Ledger("20220131").as_item().keys() - {"batch"}))
def test_a_field_that_an_older_release_did_not_have_gets_its_default_and_can_be_written(
    cloud: Cloud, name: str
) -> None:
    put_stored(cloud, "completed", **{name: None})
    assert read(cloud).as_item()[name] == Ledger(DAY).as_item()[name]

    changed = cloud.table.update_ledger(DAY, lambda entry: ledger.replace(entry, cause="changed"))

    assert read(cloud) == changed
    assert name in stored(cloud)


def test_what_a_newer_release_added_survives_the_whole_life_of_an_entry(cloud: Cloud) -> None:
    files = json.loads((STORED / "queued.json").read_text())["files"]
    files["M"]["items"]["M"]["checksum"] = {"S": "crc64"}
    audited = {"M": {"by": {"S": "operator"}, "share": {"N": "12.5"}, "codes": {"SS": ["a"]}}}
    put_stored(cloud, "queued", files=files, audited=audited)
    execution = str(read(cloud).execution)

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


class Objects:
    """A bucket that keeps only the keys of its objects."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    def upload_all(self, files: Iterable[tuple[Path, str]]) -> None:
        self.keys |= {key for _, key in files}

    def put_json(self, key: str, _: Any) -> None:
        self.keys.add(key)

    def delete(self, keys: Iterable[str]) -> None:
        self.keys -= set(keys)


@pytest.mark.slow
def test_after_500_versions_the_entry_is_small_and_only_the_list_of_the_last_one_is_kept(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Each version is superseded by the next while it delivers."""
    bucket: Any = Objects()
    files = {kind: FileSummary(file=f"{kind}_{DAY}.csv", read=1_000, counted=1_000) for kind in MODEL.kinds}
    outcome = Outcome([], {}, tmp_path / "references", tmp_path / "removed", Summary("READY", files), [])

    def begin(entry: Ledger, number: int) -> Ledger:
        now = NOW + timedelta(seconds=number)
        sources = {
            kind: SourceObject(f"incoming/{kind}_{DAY}.csv", f"{number:032x}", 10**9, now.isoformat(), f"{number:0500}")
            for kind in MODEL.kinds
        }
        entry = ledger.claim(entry, sources, now)
        if entry.holder:
            entry = ledger.finish(entry, entry.holder, BatchState.FAILED, now, cause="x" * 500)
        return ledger.begin(entry, str(entry.execution), now)

    for number in range(500):
        entry = cloud.table.update_ledger(DAY, functools.partial(begin, number=number))
        run = Run(DAY, str(entry.version), str(entry.execution), entry.files)
        record_delivery(run, bucket, cloud.table, store(run, bucket, outcome))

    assert len(json.dumps(stored(cloud))) < 32 << 10
    kept = [key for key in bucket.keys if key.startswith("delivered/") and ".removed" not in key]
    assert kept == [run.delivered_key(run.version)]
    assert read(cloud).delivered == (run.version, run.removed_name)
