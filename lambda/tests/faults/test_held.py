"""A held day under any single fault: it is held once and released once, and the verdict is the same."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from faults.aws_platform import Platform
from faults.injection import Fault, Injector
from faults.test_faults_in_memory import CUSTOMERS, DAY, FILES, LAST_EVENT, faults, fresh_platform
from pipeline import ledger
from pipeline.ledger import Ledger
from pipeline.stages.intake import start_run
from support import set_credentials

FULL = {**FILES, f"customers_{DAY}.csv": CUSTOMERS + b"".join(b"d-%d,A,B,ok\n" % number for number in range(25))}
WORSE = {
    f"customers_{DAY}.csv": CUSTOMERS.replace(b"c-3,A,B,ok\n", b""),
    f"items_{DAY}.csv": FILES[f"items_{DAY}.csv"].replace(b".25", b".2.5"),
}
"""A correction that lacks 26 of 31 customers, and has invalid prices only: all items are refused."""

CORRECTED = {
    f"customers_{DAY}.csv": FULL[f"customers_{DAY}.csv"].replace(b"c-3,A,B,ok\n", b""),
    f"items_{DAY}.csv": FILES[f"items_{DAY}.csv"].replace(b"o-1,Pen,1,1.25", b"o-1,Pen,1,2.50"),
}
Seen = dict[str, Any]


def entry_of(platform: Platform) -> Ledger:
    entry = platform.cloud.table.get_ledger(DAY)
    assert entry is not None
    return entry


def release(platform: Platform) -> None:
    entry = entry_of(platform)
    change = functools.partial(ledger.release, version=str(entry.version), now=datetime.now(UTC))
    start_run(platform.cloud.table, platform.cloud.workflow, platform.cloud.table.update_ledger(DAY, change))
    platform.settle()


def correct(platform: Platform) -> None:
    platform.upload(CORRECTED, LAST_EVENT)
    platform.settle()


def seen(platform: Platform) -> Seen:
    """What must not depend on faults: table, messages, verdict, and how each run ended."""
    verdict = platform.cloud.bucket.get_json(f"feedback/{DAY}/verdict.json")
    table, messages = platform.outcome()
    entry = entry_of(platform)
    return {
        "table": table,
        "messages": messages,
        "verdict": {**verdict, "finished_at": None},
        "runs": [(run["execution"], run["state"]) for run in entry.history],
        "state": entry.state.value,
        "delivered": entry.delivered,
        "holder": entry.holder,
    }


def held_day(
    environment: pytest.MonkeyPatch, then: Callable[[Platform], None], fault: Fault | None = None
) -> tuple[list[Seen], Injector]:
    """Run a full day, then a set of files that is held, then `then`; a fault may occur in the last two."""
    with fresh_platform(environment) as platform:
        environment.setenv("CHUNK_RECORDS", "20")
        platform.upload(FULL, LAST_EVENT)
        platform.settle()
        injector = Injector(lambda: platform.stage, fault)
        platform.upload(WORSE, LAST_EVENT)
        platform.settle()
        held = seen(platform)
        then(platform)
        assert platform.dead_letters == []
        return [held, seen(platform)], injector


@functools.cache
def survey(then: Callable[[Platform], None]) -> tuple[list[Seen], dict[str, list[str]]]:
    """Determine, once per process, the outcome without faults and the calls of each stage."""
    with pytest.MonkeyPatch.context() as environment:
        set_credentials(environment)
        outcome, injector = held_day(environment, then)
    return outcome, injector.calls


def results(what: Seen) -> dict[str, tuple[str, str | None]]:
    return {
        pk.removeprefix("customer#"): (
            item["total_amount_spent"]["N"],
            item.get("refused_records", {}).get("N"),
        )
        for (pk, _), item in what["table"].items()
        if pk.startswith("customer#")
    }


def about_customers(messages: Iterable[str]) -> set[str]:
    return {body for body in messages if body.startswith('{"type":"customer_')}


@pytest.mark.slow
def test_a_held_day_leaves_what_was_delivered_and_sends_its_errors() -> None:
    held, _ = survey(release)[0]

    assert held["state"] == held["verdict"]["state"] == "HELD"
    assert [state for _, state in held["runs"]] == ["COMPLETED", "HELD"]
    assert len(held["delivered"]) == 1
    assert "c-3" in results(held)
    assert {refused for _, refused in results(held).values()} <= {None, "1"}
    for code in ("too_many_refused", "too_many_removed"):
        assert any(f'"code":"{code}"' in body for body in held["messages"])
    assert not any('"customer_removed"' in body for body in held["messages"])


@pytest.mark.slow
def test_a_released_day_is_delivered_as_it_is_and_says_which_totals_are_incomplete() -> None:
    held, released = survey(release)[0]

    assert [state for _, state in released["runs"]] == ["COMPLETED", "HELD", "COMPLETED"]
    assert released["runs"][2][0] == f"{held['runs'][1][0]}-2"
    assert "c-3" not in results(released)
    assert all(total == "0" and refused for total, refused in results(released).values() if refused)
    assert any(refused for _, refused in results(released).values())
    assert released["verdict"]["incomplete_customers"] == sum(bool(one) for _, one in results(released).values())
    assert ("batch#20220131", "error#items#0000000000#too_many_refused") not in released["table"]
    removed = {body for body in released["messages"] if '"customer_removed"' in body}
    assert (len(results(held)), len(results(released)), len(removed)) == (31, 5, 26)


@pytest.mark.slow
def test_a_correction_of_a_held_day_sends_only_what_differs_from_what_was_delivered_before_it() -> None:
    held, corrected = survey(correct)[0]
    with pytest.MonkeyPatch.context() as environment:
        set_credentials(environment)
        with fresh_platform(environment) as platform:
            platform.upload(FULL, LAST_EVENT)
            platform.settle()
            platform.upload({**WORSE, **CORRECTED}, LAST_EVENT)
            platform.settle()
            direct = seen(platform)

    assert corrected["state"] == "COMPLETED"
    assert corrected["table"] == direct["table"]
    assert about_customers(corrected["messages"] - held["messages"]) == about_customers(
        direct["messages"] - held["messages"]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "effects"),
    [
        # Its objects are those of any run, which test_faults_in_memory.py covers.
        ("transform", {"PutItem"}),
        ("deliver", {"BatchWriteItem"}),
        ("publish", {"SendMessageBatch"}),
        ("finalize", {"PutItem", "PutObject"}),
    ],
    ids=["transform", "deliver", "publish", "finalize"],
)
def test_no_single_fault_holds_twice_releases_twice_or_loses_or_doubles_anything(
    environment: pytest.MonkeyPatch, stage: str, effects: set[str]
) -> None:
    expected, calls = survey(release)
    injected, wrong = 0, []
    for fault in faults(stage, calls[stage], effects):
        if fault.kind in ("before", "after"):
            outcome, injector = held_day(environment, release, fault)
            injected += injector.injected
            if outcome != expected:
                wrong.append(str(fault))
    assert injected > 0
    assert wrong == []
