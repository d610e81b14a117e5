"""The expected results of generated days, by the reference implementation of the tests, and the actual results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.aws.dynamodb import plain_item
from pipeline.model.record_kinds import RecordKind
from reference import reference


class Result(NamedTuple):
    """The result of a customer on a day; another message's fields are None."""

    batch: str
    customer_reference: str | None
    number_of_orders: Decimal | int | None
    total_amount_spent: Decimal | int | None


class NotExactError(Exception):
    """A result was lost, doubled or wrong."""


def expected(batch: str, files: Mapping[RecordKind, Path]) -> Counter[Result]:
    """Compute the results of a day."""
    results = reference({kind: path.read_bytes() for kind, path in files.items()}).results
    return Counter(Result(batch, customer, **figures) for customer, figures in results.items())


def sent(messages: Iterable[Mapping[str, Any]]) -> Counter[Result]:
    """Return the results in messages, given with `batch` and `body`."""
    bodies = ((message["batch"], json.loads(message["body"], parse_float=Decimal)) for message in messages)
    return Counter(Result(batch, *map(body.get, Result._fields[1:])) for batch, body in bodies)


def stored(items: Mapping[tuple[str, str], Mapping[str, Any]]) -> Counter[Result]:
    """Return the results among table items, given by key in DynamoDB JSON."""
    found = [(sk, plain_item(item)) for (pk, sk), item in items.items() if pk.startswith("customer#")]
    return Counter(Result(sk.removeprefix("batch#"), *map(item.get, Result._fields[1:])) for sk, item in found)


def compare(what: str, expectation: Counter[Result], found: Counter[Result]) -> None:
    """Compare the found results with the expected ones, including how often each occurs.

    Raises
    ------
    NotExactError
        The error gives the numbers of lost, doubled and wrong results, each with an example.
    """
    extra = found - expectation
    faults = {
        "lost": expectation - found,
        "doubled": Counter({result: count for result, count in extra.items() if result in expectation}),
        "wrong": Counter({result: count for result, count in extra.items() if result not in expectation}),
    }
    shown = [f"{some.total()} {name}, as {next(iter(some))}" for name, some in faults.items() if some]
    if shown:
        raise NotExactError(f"of {expectation.total()} {what} there are {'; '.join(shown)}")
