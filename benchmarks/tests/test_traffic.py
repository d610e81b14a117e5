"""The model's requests are those that the functions really send, for days of every shape."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from counting import CountedPlatform, counted_platform
from pipeline import ledger
from pipeline.stages.intake import start_run

from benchmarks import traffic
from benchmarks.traffic import Day

BATCH = "20220131"
CHUNK, CAP = 60, 10
SETTINGS = replace(traffic.read_settings(), chunk_records=CHUNK)
KINDS = ("customers", "orders", "items")

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Files:
    """Files with one order and one item a customer; items of the customers in `bad` have no valid price."""

    customers: range
    bad: range = field(default=range(0))
    price: str = "1.5"

    def content(self, kind: str) -> bytes:
        head, line = {
            "customers": ("customer_reference,first_name,last_name,status", "c-{n},A,B,ok"),
            "orders": ("customer_reference,order_status,order_reference,order_timestamp", "c-{n},ok,o-{n},1643646722"),
            "items": ("order_reference,item_name,quantity,total_price", "o-{n},Pen,1,{price}"),
        }[kind]
        lines = (line.format(n=n, price="n/a" if n in self.bad else self.price) for n in self.customers)
        return "\n".join([head, *lines, ""]).encode()

    def of(self, *kinds: str) -> dict[str, bytes]:
        return {f"{kind}_{BATCH}.csv": self.content(kind) for kind in kinds}


@pytest.fixture
def platform() -> Iterator[CountedPlatform]:
    with counted_platform(CHUNK_RECORDS=CHUNK, MAX_ERROR_MESSAGES=CAP) as platform:
        yield platform


def assert_counted_as_predicted(platform: CountedPlatform, day: Day) -> None:
    counted = {name: number for name, number in platform.wire.counts().items() if name[0]}
    assert counted == dict(traffic.requests(day, SETTINGS))
    assert platform.invocations == traffic.invocations(day, SETTINGS)


@pytest.mark.parametrize(
    ("files", "day"),
    [
        pytest.param(Files(range(0)), Day(0), id="no customers"),
        pytest.param(Files(range(1)), Day(1), id="one customer"),
        pytest.param(Files(range(CHUNK)), Day(CHUNK), id="exactly one chunk"),
        pytest.param(Files(range(CHUNK + 1)), Day(CHUNK + 1), id="one more than a chunk"),
        pytest.param(Files(range(205)), Day(205), id="several chunks and calls of publish"),
        pytest.param(Files(range(70), range(7)), Day(70, errors=7, rejects=1), id="errors"),
        pytest.param(Files(range(70), range(33)), Day(70, errors=CAP + 1, rejects=1), id="errors over the cap"),
    ],
)
def test_a_day_sends_the_predicted_requests(platform: CountedPlatform, files: Files, day: Day) -> None:
    platform.day(files.of(*KINDS))

    assert_counted_as_predicted(platform, day)


def test_a_correction_sends_the_predicted_requests(platform: CountedPlatform) -> None:
    platform.day(Files(range(150), range(8)).of(*KINDS))
    # The first 5 of 8 prices are put right: their errors go, and their customers' results change.
    platform.day(Files(range(150), range(5, 8)).of("items"))

    assert_counted_as_predicted(platform, Day(150, errors=3, rejects=1, changed=5, stale=5, previous=1, arrivals=(3,)))


def test_customers_that_a_correction_drops_are_predicted(platform: CountedPlatform) -> None:
    platform.day(Files(range(150)).of(*KINDS))
    platform.day(Files(range(80)).of("customers"))

    # Orders and items of the 70 that are gone are refused: the cap and one more of each kind. No result changes.
    errors = 2 * (CAP + 1)
    assert_counted_as_predicted(
        platform, Day(80, errors=errors, rejects=2, changed=errors, removed=70, previous=1, arrivals=(3,))
    )


def test_a_replay_that_changes_nothing_sends_the_predicted_requests(platform: CountedPlatform) -> None:
    platform.day(Files(range(130), range(4)).of(*KINDS))
    table = platform.cloud.table
    entry = table.update_ledger(BATCH, functools.partial(ledger.replay, now=datetime.now(UTC)))
    assert start_run(table, platform.cloud.workflow, entry)
    platform.day({})

    assert_counted_as_predicted(platform, Day(130, errors=4, rejects=1, changed=0, previous=1, arrivals=()))


def test_the_settings_are_those_of_the_infrastructure() -> None:
    settings = traffic.read_settings()

    assert set(settings.memory_mb) == {"intake", "transform", "deliver", "finalize", "publish"}
    assert min(settings.memory_mb.values()) >= 128
    assert settings.stream_batch > 0


@pytest.mark.parametrize("size", [traffic.PART - 1, traffic.PART, 3 * traffic.PART + 1])
def test_a_large_file_goes_in_parts(size: int) -> None:
    requests = traffic.put_object(size)

    assert sum(requests.values()) == (1 if size < traffic.PART else 2 + -(-size // traffic.PART))
