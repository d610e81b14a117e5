"""A fault at each effect and each read of a file of every stage: table and messages end as without the fault."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from faults.aws_platform import Platform
from faults.injection import Fault, Injector
from faults.processed import PROCESS, Processed
from pipeline import ledger
from pipeline.stages.intake import start_run
from support import REGION, in_memory_aws

DAY = "20220131"
CUSTOMERS = b"customer_reference,first_name,last_name,status\n" + b"".join(b"c-%d,A,B,ok\n" % n for n in range(6))
ORDERS = b"customer_reference,order_status,order_reference,order_timestamp\n" + b"".join(
    b"c-%d,ok,o-%d,1643646722\n" % (n % 5, n) for n in range(8)
)
ITEMS = b"order_reference,item_name,quantity,total_price\n" + b"".join(
    b"o-%d,Pen,1,%d.25\n" % (n % 9, n) for n in range(12)
)
FILES = {f"customers_{DAY}.csv": CUSTOMERS, f"orders_{DAY}.csv": ORDERS, f"items_{DAY}.csv": ITEMS}
CORRECTED = {
    f"customers_{DAY}.csv": CUSTOMERS.replace(b"c-3,A,B,ok\n", b""),
    f"items_{DAY}.csv": ITEMS.replace(b"o-1,Pen,1,1.25", b"o-1,Pen,1,2.50").replace(b"o-8,", b"o-2,"),
}
HELD = {f"items_{DAY}.csv": ITEMS.replace(b".25", b".2.5")}
"""A correction of which every item is refused."""
LAST_EVENT = [f"items_{DAY}.csv"]
"""One event is enough for a set: fewer calls that can fail, and the same effects."""

STAGES = ("intake", "transform", "deliver", "finalize", "publish")
EFFECTS = {"PutItem", "BatchWriteItem", "StartExecution", "PutObject", "SendMessageBatch"}
BATCHES = {"BatchWriteItem", "SendMessageBatch"}

processed = Processed()

Seen = list[tuple[dict[Any, Any], Counter[str], list[tuple[str, str]]]]


@contextmanager
def fresh_platform(environment: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A separate AWS, with small chunks and no pauses between tries."""
    with in_memory_aws(environment) as cloud:
        for name, value in {"CHUNK_RECORDS": "6", "WRITER_GRACE_SECONDS": "1"}.items():
            environment.setenv(name, value)
        environment.setattr("pipeline.aws.backoff.BASE_SECONDS", 0.0)
        environment.setattr(PROCESS, processed)
        yield Platform(cloud, boto3.client("dynamodbstreams", region_name=REGION))


def correct(platform: Platform) -> Iterator[None]:
    """A day is corrected."""
    platform.upload(CORRECTED, LAST_EVENT)
    yield


def hold_and_release(platform: Platform) -> Iterator[None]:
    """A correction is held, and then released."""
    platform.upload(HELD, LAST_EVENT)
    yield
    cloud, now = platform.cloud, datetime.now(UTC)
    change = functools.partial(ledger.release, version=str(cloud.entry().version), now=now)
    start_run(cloud.table, cloud.workflow, cloud.table.update_ledger(DAY, change))
    yield


Then = Callable[[Platform], Iterator[None]]


def day_and_then(environment: pytest.MonkeyPatch, then: Then, fault: Fault | None = None) -> tuple[Seen, Injector]:
    """Run a day and then more, in which a fault may occur; return what must not depend on faults, after each step."""
    with fresh_platform(environment) as platform:
        platform.upload(FILES, LAST_EVENT)
        platform.settle()
        injector, seen = Injector(lambda: platform.stage, fault), []
        for _ in then(platform):
            platform.settle()
            runs = [(run["execution"], run["state"]) for run in platform.cloud.entry().history]
            seen.append((*platform.outcome(), runs))
        assert platform.dead_letters == []
        return seen, injector


@functools.cache
def survey(then: Then) -> tuple[Seen, dict[str, list[str]]]:
    """Determine, once per process, the outcome without faults and the calls of each stage."""
    with pytest.MonkeyPatch.context() as environment:
        outcome, injector = day_and_then(environment, then)
    return outcome, injector.calls


def faults(stage: str, calls: list[str]) -> Iterator[Fault]:
    """List the faults of a stage that differ: what stands in the services changes only with an effect.

    A death before a read, or after an effect, is one before the next effect, as the next attempt knows nothing of it.
    """
    places = [number for number, name in enumerate(calls, 1) if name in EFFECTS]
    yield from (Fault(stage, number, "before") for number in places)
    yield from (Fault(stage, number, "after") for number in places[-1:])
    for number in [number for number in places if calls[number - 1] in BATCHES]:
        yield Fault(stage, number, "throttle")
        yield Fault(stage, number, "partial")
    reads = [number for number, name in enumerate(calls, 1) if name == "GetObject"]
    yield from (Fault(stage, number, "cut") for number in reads)
    yield from (Fault(stage, number, "changed") for number in reads[:1])


def faults_of_a_held_run(stage: str, calls: list[str]) -> Iterator[Fault]:
    """List those that differ from the faults of any run: what the ledger and the verdict say of it."""
    names = {"PutItem"} if stage == "transform" else EFFECTS
    yield from (Fault(stage, number, "before") for number, name in enumerate(calls, 1) if name in names)


CORRECTION = correct, ["COMPLETED", "COMPLETED"], faults
HELD_CORRECTION = hold_and_release, ["COMPLETED", "HELD", "COMPLETED"], faults_of_a_held_run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("then", "states", "chosen", "stage"),
    [
        *(pytest.param(*CORRECTION, stage, id=f"correction-{stage}") for stage in STAGES),
        *(pytest.param(*HELD_CORRECTION, stage, id=f"held-{stage}") for stage in ("transform", "finalize")),
    ],
)
@pytest.mark.usefixtures("moto_active")
def test_no_single_fault_loses_or_doubles_anything(
    environment: pytest.MonkeyPatch,
    then: Then,
    states: list[str],
    chosen: Callable[[str, list[str]], Iterator[Fault]],
    stage: str,
    record_property: Callable[[str, object], None],
) -> None:
    expected, calls = survey(then)
    _, messages, runs = expected[-1]
    assert [state for _, state in runs] == states
    injected, lost, doubled, wrong = 0, 0, 0, []
    for fault in chosen(stage, calls[stage]):
        outcome, injector = day_and_then(environment, then, fault)
        injected += injector.injected
        lost += (messages - outcome[-1][1]).total()
        doubled += (outcome[-1][1] - messages).total()
        if outcome != expected:
            wrong.append(str(fault))
    record_property("faults", (injected, injected - len(wrong), lost, doubled))
    assert injected > 0
    assert (wrong, lost, doubled) == ([], 0, 0)
