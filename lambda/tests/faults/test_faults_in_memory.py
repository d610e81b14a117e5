"""A fault at each effect and each read of a file of every stage: table and messages end as without the fault."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from faults.aws_platform import Platform
from faults.injection import Fault, Injector
from faults.processed import PROCESS, Processed
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
LAST_EVENT = [f"items_{DAY}.csv"]
"""One event is enough for a set: fewer calls that can fail, and the same effects."""

STAGES = ("intake", "transform", "deliver", "finalize", "publish")
EFFECTS = {"PutItem", "BatchWriteItem", "StartExecution", "PutObject", "SendMessageBatch"}
BATCHES = {"BatchWriteItem", "SendMessageBatch"}

processed = Processed()

Outcome = tuple[dict[Any, Any], Counter[str], dict[str, str]]


@contextmanager
def fresh_platform(environment: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A separate AWS, with small chunks and no pauses between tries."""
    with in_memory_aws(environment) as cloud:
        for name, value in {"CHUNK_RECORDS": "4", "WRITER_GRACE_SECONDS": "1"}.items():
            environment.setenv(name, value)
        environment.setattr("pipeline.aws.backoff.BASE_SECONDS", 0.0)
        environment.setattr(PROCESS, processed)
        yield Platform(cloud, boto3.client("dynamodbstreams", region_name=REGION))


def day_and_correction(environment: pytest.MonkeyPatch, fault: Fault | None = None) -> tuple[Outcome, Injector]:
    """Run a day, then a correction of it in which a fault may occur."""
    with fresh_platform(environment) as platform:
        platform.upload(FILES, LAST_EVENT)
        platform.settle()
        injector = Injector(lambda: platform.stage, fault)
        platform.upload(CORRECTED, LAST_EVENT)
        platform.settle()
        assert platform.dead_letters == []
        return (*platform.outcome(), platform.states()), injector


@functools.cache
def survey() -> tuple[Outcome, Mapping[str, list[str]]]:
    """Determine, once per process, the outcome without faults and the calls of each stage."""
    with pytest.MonkeyPatch.context() as environment:
        outcome, injector = day_and_correction(environment)
    return outcome, injector.calls


def faults(stage: str, calls: list[str], effects: Set[str] = EFFECTS) -> Iterator[Fault]:
    """List the faults of a stage that differ: what stands in the services changes only with an effect.

    A death before a read, or after an effect, is one before the next effect, as the next attempt knows nothing of it.
    """
    places = [number for number, name in enumerate(calls, 1) if name in effects]
    yield from (Fault(stage, number, "before") for number in places)
    yield from (Fault(stage, number, "after") for number in places[-1:])
    for number in [number for number in places if calls[number - 1] in BATCHES]:
        yield Fault(stage, number, "throttle")
        yield Fault(stage, number, "partial")
    reads = [number for number, name in enumerate(calls, 1) if name == "GetObject"]
    yield from (Fault(stage, number, "cut") for number in reads)
    yield from (Fault(stage, number, "changed") for number in reads[:1])


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.usefixtures("moto_active")
def test_no_single_fault_loses_or_doubles_anything(
    environment: pytest.MonkeyPatch, stage: str, record_property: Callable[[str, object], None]
) -> None:
    expected, calls = survey()
    assert expected[2] == {f"batch#{DAY}": "COMPLETED"}
    injected, lost, doubled, wrong = 0, 0, 0, []
    for fault in faults(stage, calls[stage]):
        outcome, injector = day_and_correction(environment, fault)
        injected += injector.injected
        lost += (expected[1] - outcome[1]).total()
        doubled += (outcome[1] - expected[1]).total()
        if outcome != expected:
            wrong.append(str(fault))
    record_property("faults", (injected, injected - len(wrong), lost, doubled))
    assert injected > 0
    assert (wrong, lost, doubled) == ([], 0, 0)
