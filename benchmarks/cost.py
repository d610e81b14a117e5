"""What a million customers cost, with a day counted in memory to show that the model's requests are the real ones."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import ceil
from typing import Any

from benchmarks.bill import (
    MILLION,
    MONTH,
    TYPICAL,
    Line,
    Measured,
    bill,
    by_service,
    choices,
    consumers,
    dollars,
    prices,
    standing,
    stored,
    times,
)
from benchmarks.document import table
from benchmarks.generate import Day as GeneratedDay
from benchmarks.generate import generate
from benchmarks.results import ROOT, SCRATCH, Result
from benchmarks.traffic import Day, Requests, Sizes, read_settings, requests

_LINE_BYTES = 26
"""CloudWatch adds so much to each log event (PutLogEvents, API reference)."""


def measure(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Count a real day in memory, compare it with the model, and make the bill of a million customers."""
    shape = GeneratedDay(customers=150 if quick else 1_500, bad_items=10 if quick else 40)
    say(f"counting a day of {shape.customers:,} customers")
    counted = count_day(shape)
    say("reckoning")
    settings, moments = read_settings(), times()
    lines = bill(TYPICAL, settings, counted.measured, moments)
    return {
        "customers": shape.customers,
        "requests": [
            [stage, operation, counted.sent[stage, operation], counted.predicted[stage, operation]]
            for stage, operation in sorted(counted.sent | counted.predicted)
        ],
        "measured": asdict(counted.measured),
        "times": asdict(moments),
        "lines": [_told(line) for line in lines],
        "per_million": dollars(lines),
        "consumers": consumers(TYPICAL, settings).dollars,
        "months": [
            {
                "customers": day.customers,
                "runs": MONTH * dollars(bill(day, settings, counted.measured, moments)),
                "standing": dollars(standing()),
                "first": dollars(stored(day, settings, counted.measured, MONTH)),
                "year": dollars(stored(day, settings, counted.measured, 365)),
            }
            for day in (scaled(10_000), TYPICAL)
        ],
        "standing": [_told(line) for line in standing()],
        "choices": choices(settings, counted.measured, moments),
    }


def _told(line: Line) -> dict[str, Any]:
    return {**asdict(line), "dollars": line.dollars}


@dataclass(frozen=True, slots=True)
class Counted:
    """A day that went through the functions in memory."""

    sent: Requests
    predicted: Requests
    measured: Measured


def count_day(shape: GeneratedDay) -> Counted:
    """Run a generated day through the functions, and predict its requests from what came out."""
    # The AWS in memory is the tests', and no package.
    sys.path.append(str(ROOT / "lambda" / "tests"))
    counting = importlib.import_module("counting")
    settings = replace(read_settings(), chunk_records=500)
    directory = SCRATCH / f"cost-{shape.customers}-{shape.bad_items}"
    files = {path.name: path.read_bytes() for path in generate(shape, directory).values()}
    log = _Log()
    with contextlib.redirect_stdout(log), counting.counted_platform(CHUNK_RECORDS=settings.chunk_records) as platform:
        log.stage = lambda: platform.stage
        wire = platform.day(files)
        items = list(platform.cloud.items().values())
        objects = {found["Key"]: found["Size"] for found in platform.objects()}
        calls = dict(platform.invocations)
    results, errors = _sizes(items, "batch#"), _sizes(items, "error#")
    day = Day(len(results), errors=len(errors), rejects=1 if errors else 0)
    stored_bytes = {
        prefix: sum(size for key, size in objects.items() if key.startswith(prefix))
        for prefix in ("incoming/", "work/", "delivered/", "feedback/")
    }
    sizes = Sizes(
        result=sum(results) / day.customers,
        error=sum(errors) / max(day.errors, 1),
        ledger=max(_sizes(items, "ledger")),
        chunk_line=stored_bytes["work/"] / day.writes,
        delivered=stored_bytes["delivered/"] / day.customers,
        reject=stored_bytes["feedback/"] / max(day.errors, 1),
        message=wire.bytes("SendMessageBatch") / day.messages,
        csv=stored_bytes["incoming/"] / day.customers,
    )
    log_bytes = {name: log.bytes[name] / number for name, number in calls.items()}
    return Counted(
        Counter({name: number for name, number in wire.counts().items() if name[0]}),
        requests(day, settings, sizes),
        Measured(sizes, log_bytes),
    )


class _Log(io.TextIOBase):
    """Takes what the functions log, and counts it for the one that runs."""

    def __init__(self) -> None:
        self.bytes: Counter[str] = Counter()
        self.stage: Callable[[], str] = str

    def write(self, text: str, /) -> int:
        """Count a piece of a line."""
        self.bytes[self.stage()] += len(text.encode()) + _LINE_BYTES * text.count("\n")
        return len(text)


def _sizes(items: Iterable[Mapping[str, Mapping[str, Any]]], sort_key: str) -> list[int]:
    return [item_bytes(item) for item in items if item["sk"]["S"].startswith(sort_key)]


def item_bytes(item: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the size of an item in DynamoDB JSON, roughly as DynamoDB reckons it (developer guide, item sizes).

    Names and texts count in UTF-8, a number about a byte for two digits, a list or map three bytes and its parts.
    """
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return len(content) // 2 + 2
        case "M":
            return 3 + sum(1 + len(name.encode()) + _value_bytes(part) for name, part in content.items())
        case "L":
            return 3 + sum(1 + _value_bytes(part) for part in content)
    return 1


def scaled(customers: int) -> Day:
    """Return a day like the typical one, of another size."""
    return replace(TYPICAL, customers=customers, errors=ceil(TYPICAL.errors * customers / MILLION))


def render(result: Result) -> str:
    """Show the bill of a million customers, that of months, and what the model was checked against."""
    data = result.data
    lines = [Line(**{field.name: entry[field.name] for field in fields(Line)}) for entry in data["lines"]]
    total, services = data["per_million"], by_service(lines)
    largest = max(lines, key=lambda line: line.dollars)
    guessed = ", ".join(f"`{name}`" for name, price in prices().items() if not price.confirmed)
    share = services[largest.service] / total
    standing_parts = ", ".join(f"{entry['what']} ${entry['dollars']:.2f}" for entry in data["standing"])
    return f"""A day of a million customers, with 4 orders each, 3 items an order and a thousand errors, costs
**${total:.2f}** at list prices in eu-west-1, before any free tier. {share:.0%} of it are {largest.service}'s, nearly
all for one write unit a customer. Whoever takes the messages pays ${data["consumers"]:.2f} more.

{table(["service, and its largest parts", "dollars", "share"], _service_rows(lines, total))}

A month of such days. What is stored grows from day to day, as only work files and logs expire:

{table(["customers a day", "30 runs", "standing", "stored, 1st month", "stored, after a year"], _month_rows(data))}

Standing costs, without any file: {standing_parts}. The million customers with another setting:

{table(["choice", "dollars"], [[what, f"{amount:+.3f}"] for what, amount in data["choices"].items()])}

The prices, each with its date and source, are in [prices.toml](../benchmarks/prices.toml). Not found for eu-west-1, so
that another region's stand in: {guessed}.
Durations are processor time as measured and latencies as assumed (`Times` in [bill.py](../benchmarks/bill.py)); no bill
of AWS was compared. The number of requests is checked: a day of {data["customers"]:,} customers went through the
functions in memory, and {_verdict(data["requests"])}."""


def _service_rows(lines: list[Line], total: float) -> Iterator[list[str]]:
    for service, amount in by_service(lines).items():
        parts = sorted((line for line in lines if line.service == service), key=lambda line: -line.dollars)
        named = "; ".join(f"{_quantity(line.quantity)} {line.what}" for line in parts[:3])
        yield [f"{service}: {named}", f"{amount:.4f}", f"{amount / total:.1%}"]


def _quantity(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _month_rows(data: Mapping[str, Any]) -> Iterator[list[str]]:
    for month in data["months"]:
        amounts = (f"${month[name]:.2f}" for name in ("runs", "standing", "first", "year"))
        yield [f"{month['customers']:,}", *amounts]


def _verdict(compared: list[list[Any]]) -> str:
    sent = sum(row[2] for row in compared)
    wrong = [
        f"{stage} {operation} {found} instead of {model}"
        for stage, operation, found, model in compared
        if found != model
    ]
    if wrong:
        return f"of its {sent:,} requests the model had wrong: {', '.join(wrong)}"
    return f"each of its {sent:,} requests was predicted, function by function and operation by operation"
