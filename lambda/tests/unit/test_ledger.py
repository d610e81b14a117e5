"""The ledger: one current run per batch, one holder at a time, the newest set wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pipeline import ledger
from pipeline.errors import SupersededError
from pipeline.ledger import BatchState, Ledger
from pipeline.model import data_model
from pipeline.model.data_model import MODEL
from pipeline.model.error_codes import RECORD_CODES, ErrorCode
from pipeline.model.file_set import FileSet, SourceObject

NOW = datetime(2022, 2, 1, 1, 0, tzinfo=UTC)
GRACE = timedelta(minutes=5)


def files(content: str = "a", minute: int = 0) -> FileSet:
    return {
        kind: SourceObject(
            f"incoming/{kind}_20220131.csv", f"{kind}{content}", 1, f"2022-02-01T00:{minute:02}:00+00:00"
        )
        for kind in MODEL.kinds
    }


def claimed(content: str = "a", minute: int = 0, onto: Ledger | None = None) -> Ledger:
    return ledger.claim(onto or Ledger("20220131"), files(content, minute), NOW)


def running(entry: Ledger) -> Ledger:
    return ledger.begin(entry, str(entry.execution), NOW)


def test_a_newer_set_becomes_current_and_an_older_one_does_not() -> None:
    first = claimed("a", 1)
    assert claimed("b", 2, onto=first).version != first.version
    assert claimed("b", 0, onto=first) == first


def test_the_same_set_is_claimed_once() -> None:
    first = claimed()
    again = claimed(minute=5, onto=first)
    assert replace(again, files=first.files) == first


def test_the_same_set_sent_again_is_no_change_and_is_read_in_its_new_object_versions() -> None:
    done = replace(claimed(), state=BatchState.COMPLETED)
    assert claimed(minute=5, onto=done) == done
    refreshed = ledger.refresh_versions(done, files(minute=5))
    assert ledger.refresh_versions(done, files("b", minute=5)) == done
    assert ledger.replay(refreshed, NOW).files == files(minute=5)


def test_there_is_one_holder_until_its_run_is_closed() -> None:
    old = running(claimed("a", 1))
    new = claimed("b", 2, onto=old)
    assert running(new) == new
    assert ledger.wait_seconds(new, str(new.execution), NOW) > 0
    free = ledger.finish(new, str(old.execution), BatchState.COMPLETED, NOW)
    assert free.state is BatchState.QUEUED
    assert running(free).holder == new.execution


def test_a_superseded_run_can_neither_begin_nor_deliver() -> None:
    old = claimed("a", 1)
    new = claimed("b", 2, onto=old)
    with pytest.raises(SupersededError):
        ledger.begin(new, str(old.execution), NOW)
    with pytest.raises(SupersededError):
        ledger.deliver(new, str(old.execution), 1)
    with pytest.raises(SupersededError):
        ledger.ensure_current(None, "x")


def test_after_a_failed_run_the_next_one_waits_until_no_writer_is_left() -> None:
    entry = running(claimed())
    entry = ledger.deliver(entry, str(entry.execution), chunks=1)
    broken = ledger.finish(entry, str(entry.execution), BatchState.FAILED, NOW, cause="x", writer_grace=GRACE)
    again = ledger.replay(broken, NOW)
    assert ledger.begin(again, str(again.execution), NOW + GRACE / 2) == again
    assert ledger.wait_seconds(again, str(again.execution), NOW + GRACE / 2) == GRACE.total_seconds() / 2
    assert ledger.begin(again, str(again.execution), NOW + GRACE).state is BatchState.RUNNING


@pytest.mark.parametrize(
    ("chunks", "is_superseded", "seconds"),
    [(0, False, 0), (1, False, GRACE.total_seconds()), (0, True, GRACE.total_seconds())],
    ids=["it had not delivered", "it had writers", "it may have had writers"],
)
def test_after_a_failed_run_the_next_one_waits_only_for_writers(
    chunks: int, seconds: float, *, is_superseded: bool
) -> None:
    old = running(claimed("a", 1))
    old = ledger.deliver(old, str(old.execution), chunks)
    entry = claimed("b", 2, onto=old) if is_superseded else old
    broken = ledger.finish(entry, str(old.execution), BatchState.FAILED, NOW, cause="x", writer_grace=GRACE)
    new = broken if is_superseded else ledger.replay(broken, NOW)
    assert ledger.wait_seconds(new, str(new.execution), NOW) == seconds


def test_a_replay_is_a_new_attempt_of_the_same_set_and_not_while_one_is_on_its_way() -> None:
    entry = running(claimed())
    assert ledger.replay(entry, NOW) == entry
    assert ledger.replay(Ledger("20220131"), NOW) == Ledger("20220131")
    done = ledger.finish(entry, str(entry.execution), BatchState.COMPLETED, NOW)
    again = ledger.replay(done, NOW)
    assert again.execution == f"{entry.execution}-2"
    assert again.version == entry.version


def test_the_versions_that_may_be_in_the_table_are_known_until_a_run_completes() -> None:
    first = running(claimed("a", 1))
    first = ledger.deliver(first, str(first.execution), 3, [str(first.version)])
    second = claimed("b", 2, onto=first)
    second = ledger.finish(second, str(first.execution), BatchState.FAILED, NOW)
    second = running(second)
    lists = [str(second.version), f"{second.version}.removed"]
    second = ledger.deliver(second, str(second.execution), 3, lists)
    assert second.delivered == tuple(lists)
    done = ledger.finish(second, str(second.execution), BatchState.COMPLETED, NOW)
    assert done.delivered == (second.version,)


def test_the_history_has_each_run_once_and_a_limited_length() -> None:
    entry = claimed()
    for minute in range(ledger.HISTORY_LENGTH + 5):
        entry = running(entry)
        entry = ledger.finish(entry, str(entry.execution), BatchState.FAILED, NOW)
        entry = ledger.finish(entry, str(entry.execution), BatchState.FAILED, NOW)
        entry = ledger.claim(entry, files(str(minute), minute), NOW)
    names = [run["execution"] for run in entry.history]
    assert len(names) == len(set(names)) == ledger.HISTORY_LENGTH


WIDEST = "\N{GRINNING FACE}"
LARGEST_ENTRY = 64 << 10


def item_bytes(value: Any) -> int:
    """The size of an attribute in DynamoDB (Developer Guide, "DynamoDB item sizes and formats")."""
    match value:
        case str():
            return len(value.encode())
        case Mapping():
            return 3 + sum(1 + item_bytes(key) + item_bytes(part) for key, part in value.items())
        case list() | tuple():
            return 3 + sum(1 + item_bytes(part) for part in value)
    return 21


def test_an_entry_stays_small_after_3_000_versions_with_the_longest_texts() -> None:
    counts = dict.fromkeys(map(str, (*ErrorCode, *RECORD_CODES)), 10**15)
    columns = [WIDEST * 80] * 21
    summary = {
        "files": {
            kind: {"file": f"{kind}_20220131.csv.gz", "ignored_columns": columns, "refused_by_code": counts}
            for kind in MODEL.kinds
        }
    }
    entry, now = Ledger("20220131"), NOW
    for number in range(3_000):
        now += timedelta(seconds=1)
        sources = {
            kind: SourceObject(f"incoming/{kind}_20220131.csv.gz", f"{number:032}", 10**15, now.isoformat(), "v" * 1024)
            for kind in MODEL.kinds
        }
        entry = running(ledger.claim(entry, sources, now))
        lists = [str(entry.version), f"{entry.version}-9999.removed"]
        entry = ledger.deliver(entry, str(entry.execution), 1, lists)
        if number % 3:
            cause = WIDEST * 500
            entry = ledger.finish(entry, str(entry.execution), BatchState.FAILED, now, summary=summary, cause=cause)
    entry = ledger.observe(entry, {kind: replace(sources[kind], etag="x") for kind in MODEL.kinds[1:]})

    assert item_bytes(entry.as_item()) < LARGEST_ENTRY


def test_a_version_that_comes_again_gets_the_next_name_as_long_as_it_is_remembered() -> None:
    entry = claimed("first", 0)
    for minute in range(1, 30):
        entry = ledger.finish(running(entry), str(entry.execution), BatchState.COMPLETED, NOW)
        entry = claimed(str(minute), minute, onto=entry)
    again = claimed("first", 31, onto=entry)
    assert again.execution == f"20220131-{again.version}-2"


def test_files_of_an_incomplete_set_are_noted_and_of_a_complete_one_kept() -> None:
    partial = {data_model.ORDERS: files()[data_model.ORDERS]}
    assert ledger.observe(Ledger("20220131"), partial).missing == [data_model.CUSTOMERS, data_model.ITEMS]
    assert ledger.observe(claimed(), partial) == claimed()


def held(entry: Ledger) -> Ledger:
    entry = ledger.deliver(running(entry), str(entry.execution), 1)
    return ledger.finish(entry, str(entry.execution), BatchState.HELD, NOW, summary={"errors": 1}, cause="x")


def test_a_held_version_is_not_among_those_that_were_delivered() -> None:
    first = running(claimed("a", 1))
    first = ledger.deliver(first, str(first.execution), 3, [str(first.version)])
    first = ledger.finish(first, str(first.execution), BatchState.COMPLETED, NOW)
    second = held(claimed("b", 2, onto=first))
    assert (second.state, second.holder, second.delivered) == (BatchState.HELD, None, (first.version,))


def test_a_release_is_a_new_attempt_of_the_held_set_and_stays_for_its_replays() -> None:
    entry = held(claimed())
    released = ledger.release(entry, str(entry.version), NOW)
    assert (released.state, released.execution) == (BatchState.QUEUED, f"{entry.execution}-2")
    assert released.released == entry.version
    done = ledger.finish(running(released), str(released.execution), BatchState.COMPLETED, NOW)
    assert ledger.replay(done, NOW).released == entry.version


def test_what_is_not_held_or_was_corrected_meanwhile_is_not_released() -> None:
    entry = held(claimed("a", 1))
    corrected = claimed("b", 2, onto=entry)
    assert ledger.release(corrected, str(entry.version), NOW) == corrected
    assert ledger.release(entry, str(corrected.version), NOW) == entry
    released = ledger.release(entry, str(entry.version), NOW)
    assert ledger.release(released, str(entry.version), NOW) == released
    assert ledger.release(Ledger("20220131"), "x", NOW) == Ledger("20220131")


SUMMARY = {"files": {"items": {"file": "items_20220131.csv", "read": 7, "has_final_line_end": True}}}


def test_the_entry_keeps_what_later_days_compare_with_until_another_version_is_delivered() -> None:
    first = running(claimed("a", 1))
    first = ledger.finish(first, str(first.execution), BatchState.COMPLETED, NOW, summary=SUMMARY)
    corrected = held(claimed("b", 2, onto=first))
    facts = {"items": {"records": 7, "has_final_line_end": True}}
    assert first.delivered_files == corrected.delivered_files == facts
    assert ledger.delivered_files(corrected.as_item()) == facts


def test_of_an_entry_of_an_older_release_counts_what_it_has() -> None:
    summary = {"files": {"items": {"file": "items_20220131.csv", "read": 7}}}
    facts = {"items": {"records": 7, "has_final_line_end": None}}
    assert ledger.delivered_files({"state": "COMPLETED", "summary": summary}) == facts
    assert ledger.delivered_files({"state": "HELD", "summary": summary}) == {}
    assert ledger.delivered_files({"state": "COMPLETED"}) == {}
