"""Requests that a day takes: an increase fails a test."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import pytest
from counting import STREAM_BATCH, CountedPlatform, counted_platform

CUSTOMERS, BAD, CHUNK = 290, 10, 200
WRITES = CUSTOMERS + BAD
CHUNKS = 2
FIRST_CALLS = 5
"""Records of the ledger in the stream before the first result: three files, begin, deliver."""
PUBLISHED = ceil((FIRST_CALLS + WRITES + 1) / STREAM_BATCH)


def day() -> dict[str, bytes]:
    """References as long as real ones; each customer has two orders of one item; ten prices are wrong."""
    customers = [f"{n:08x}-11ed-cust,First,Last,active" for n in range(CUSTOMERS)]
    orders = [f"{n // 2:08x}-11ed-cust,sent,{n:08x}-ord,1643646722" for n in range(2 * CUSTOMERS)]
    items = [f"{n:08x}-ord,pen,1,{'n/a' if n < BAD else f'{n}.25'}" for n in range(2 * CUSTOMERS)]
    heads = {
        "customers": ("customer_reference,first_name,last_name,status", customers),
        "orders": ("customer_reference,order_status,order_reference,order_timestamp", orders),
        "items": ("order_reference,item_name,quantity,total_price", items),
    }
    return {f"{kind}_20220131.csv": "\n".join([head, *lines, ""]).encode() for kind, (head, lines) in heads.items()}


@pytest.fixture(scope="module")
def after_a_day() -> Iterator[CountedPlatform]:
    with counted_platform(CHUNK_RECORDS=CHUNK) as platform:
        platform.day(day())
        assert platform.states() == {"batch#20220131": "COMPLETED"}
        assert len(platform.bodies) == WRITES
        yield platform


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "allowed"),
    [
        # Each of the three events looks twice for two names of three kinds and of the file with control totals, and
        # reads the files that are there by then.
        (
            "intake",
            {
                "ListObjectsV2": 2 * 3 * 4 * 2,
                "HeadObject": 2 * (1 + 2 + 3),
                "GetItem": 3,
                "PutItem": 3,
                "StartExecution": 1,
            },
        ),
        # Reads each file once, and the ledger's recent days in one call; writes the chunks, a file of refused records,
        # the customers delivered, the first errors and the manifest.
        (
            "transform",
            {
                "GetItem": 3,
                "PutItem": 2,
                "Query": 1,
                "BatchGetItem": 1,
                "GetObject": 3,
                "PutObject": CHUNKS + 5,  # of them the settings for csv-check
            },
        ),
        ("deliver", {"GetItem": CHUNKS, "GetObject": CHUNKS, "BatchWriteItem": WRITES // 25}),
        # Ten messages a call but for the last of each batch of the stream; the version is looked up once a batch.
        ("publish", {"GetItem": PUBLISHED, "SendMessageBatch": 10 + 10 + 10 + 1}),
        # The verdict is written twice, as the newest and under its version, between two looks at the ledger.
        ("finalize", {"GetItem": 3, "PutItem": 1, "GetObject": 1, "PutObject": 2}),
    ],
)
def test_a_stage_sends_no_more_requests_than_needed(
    after_a_day: CountedPlatform, stage: str, allowed: dict[str, int]
) -> None:
    sent = {name: number for (where, name), number in after_a_day.wire.counts().items() if where == stage}
    more = {name: (number, allowed.get(name, 0)) for name, number in sent.items() if number > allowed.get(name, 0)}

    assert not more, "; ".join(f"{stage} sends {n} {name} instead of {before}" for name, (n, before) in more.items())
    assert sent == allowed, f"{stage} sends less than before: make these the numbers to hold"
