"""The distribution of a day's orders and amounts over its customers, from the chunk files in constant memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pipeline.aws.s3 import Bucket
from pipeline.model.batch_files import WORK_PREFIX
from pipeline.model.items import REMOVED

READERS = 8
SINGLE = 10
"""Below this number of orders, each number has a bar of its own."""


@dataclass(slots=True)
class Distribution:
    """Numbers of customers by orders, and of those who ordered by the amount spent; `total` is the exact sum.

    The keys are the lower bounds of classes that widen as 1, 2, 5, 10, …; `None` means below zero (refunds).
    """

    orders: Counter[int] = field(default_factory=Counter)
    amounts: Counter[int | None] = field(default_factory=Counter)
    customers: int = 0
    total: Decimal = Decimal(0)
    largest: Decimal = Decimal(0)

    def count(self, requests: Iterable[Mapping[str, Any]]) -> Distribution:
        """Count the results among the table writes of a chunk."""
        for request in requests:
            item = request.get("PutRequest", {}).get("Item", {})
            if "total_amount_spent" not in item or REMOVED in item:
                continue
            amount = Decimal(item["total_amount_spent"]["N"])
            self.orders[order_class(int(item["number_of_orders"]["N"]))] += 1
            if item["number_of_orders"]["N"] != "0":
                self.amounts[amount_class(amount)] += 1
            self.customers += 1
            self.total += amount
            self.largest = max(self.largest, amount)
        return self

    def add(self, other: Distribution) -> Distribution:
        """Add the counts of another distribution."""
        self.orders += other.orders
        self.amounts += other.amounts
        self.customers += other.customers
        self.total += other.total
        self.largest = max(self.largest, other.largest)
        return self


def read(bucket: Bucket, batch: str, version: str) -> Distribution | None:
    """Count the results of a version; None if its chunk files do not exist (any more)."""
    manifest = f"{WORK_PREFIX}{batch}/{version}/manifest.json"
    if bucket.head(manifest) is None:
        return None
    (chunks,) = bucket.json_lines(manifest)
    if any(bucket.head(chunk["key"]) is None for chunk in (*chunks[:1], *chunks[-1:])):
        return None
    whole = Distribution()
    with ThreadPoolExecutor(max_workers=READERS) as pool:
        for part in pool.map(lambda chunk: Distribution().count(bucket.json_lines(chunk["key"])), chunks):
            whole.add(part)
    return whole


def order_class(orders: int) -> int:
    """Return the lower bound of the class that a number of orders belongs to."""
    return orders if orders < SINGLE else max(end for end in _ends(orders) if end <= orders)


def amount_class(amount: Decimal) -> int | None:
    """Return the lower bound of the class that an amount belongs to; class 0 contains amounts from 0 to below 1."""
    if amount < 0:
        return None
    return max((end for end in _ends(amount) if end <= amount), default=0)


def classes(counts: Mapping[Any, int], first: int) -> list[Any]:
    """List the non-empty classes and those between them; below `first` every number is a class of its own."""
    ends = [end for end in counts if end is not None]
    if not ends:
        return [None] if counts else []
    between = [*range(first), *(end for end in _ends(max(ends)) if end >= first)]
    return [*([None] if None in counts else []), *(end for end in between if min(ends) <= end <= max(ends))]


def class_name(end: int | None, first: int) -> str:
    """Name a class: by its number if below `first`, else by its lower bound, as in `20+`."""
    if end is None:
        return "< 0"
    return str(end) if end < first else f"{_short(end)}+"


def _short(number: int) -> str:
    for size, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (1000, "k")):
        if number >= size:
            return f"{number // size}{letter}"
    return str(number)


def _ends(limit: int | Decimal) -> Iterator[int]:
    """Yield 1, 2, 5, 10, … up to the limit."""
    power = 1
    while power <= limit:
        yield from (power, 2 * power, 5 * power)
        power *= 10
