"""The cost of a million customers: extrapolated from the usage of two days of different size, at list prices.

Both days are processed in memory and each request is counted. The difference between them is the usage of the
additional customers, the rest is fixed per day. Durations can't be measured in memory: they follow from the processor
times that other benchmarks measured, and from the rate at which a new table accepts writes.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

from pipeline.stages.transform import MB_PER_CPU

from benchmarks.document import table
from benchmarks.generate import Day, generate
from benchmarks.results import ROOT, SCRATCH, Result, load

MILLION = 1_000_000
MONTH = 30
NEW_TABLE_WRITES = 4_000
"""Writes per second that a new on-demand table accepts (DynamoDB Developer Guide, on-demand capacity mode)."""
RUN_STATES = ("Begin", "Transform", "AnythingToDeliver", "Deliver", "Finalize", "Verdict", "Completed")
"""The states that a run enters; AWS's examples count the start as an additional transition."""
CHILD_TRANSITIONS = 2
"""Transitions of a map's child: its start and its state (Step Functions Developer Guide, Distributed Map state)."""
STANDING = {"alarm_month": 35, "dashboard_month": 1, "metric_month": 1, "queue_request": 5 * MONTH * 86_400 / 20}
"""The usage of a month without any file: alarms (infra/tests/test_monitoring.py lists them), the dashboard, a dozen
metrics in two of 24 hours, and five connections with which Lambda polls the ingest queue every 20 seconds."""
LARGEST = {"memory_mb": 10_240, "storage_mb": 10_240, "seconds": 900}
"""Limits of a function (Lambda Developer Guide, quotas)."""

S3_MB_A_SECOND = 75
"""Assumed throughput between S3 and one function."""

_PUTS = {"ListObjectsV2", "PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"}
_GETS = {"GetObject", "HeadObject"}
_PART = 8 << 20
_PLATFORM_LOG_BYTES = 450
"""Size of the log lines that Lambda writes per call."""
_STORED_BYTES = 100
"""Overhead of each stored item in DynamoDB (Developer Guide, item sizes)."""


@dataclass(frozen=True, slots=True)
class Price:
    """A list price and its source."""

    usd: float
    unit: str
    source: str
    service: str
    page: str
    region: str = "eu-west-1"


@cache
def prices() -> Mapping[str, Price]:
    """Read prices.toml, which has a table for each service."""
    services = tomllib.loads((Path(__file__).parent / "prices.toml").read_text())
    return {
        name: Price(**entry, service=service, page=entries["page"])
        for service, entries in services.items()
        if isinstance(entries, dict)
        for name, entry in entries.items()
        if name != "page"
    }


def dollars(usage: Mapping[str, float]) -> float:
    """Return the cost of `usage`, which maps names of prices to quantities."""
    return sum(number * prices()[name].usd for name, number in usage.items())


@dataclass(frozen=True, slots=True)
class Settings:
    """The defaults in infra/variables.tf that affect the cost of a day."""

    memory_mb: Mapping[str, int]
    storage_mb: int
    chunk_records: int
    deliver_concurrency: int


def read_settings() -> Settings:
    """Read the defaults from infra/variables.tf."""
    import hcl2
    from hcl2 import SerializationOptions

    plain = SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)
    declared = hcl2.loads((ROOT / "infra" / "variables.tf").read_text(), serialization_options=plain)["variable"]
    variables = {name: body for entry in declared for name, body in entry.items()}
    return Settings(
        {name: int(mb) for name, mb in optional_defaults(variables["memory_mb"]["type"]).items()},
        variables["transform_storage_mb"]["default"],
        variables["chunk_records"]["default"],
        variables["deliver_concurrency"]["default"],
    )


def optional_defaults(object_type: str) -> dict[str, float]:
    """Return the numbers in `optional(number, …)` of an object type, by attribute."""
    found = re.findall(r"(\w+) *= optional\(number, ([^)]+)\)", object_type)
    return {name: float(number) for name, number in found}


def count(customers: int, chunk_records: int) -> Counter[str]:
    """Process a generated day in memory and return its usage, by name of the price.

    The result also has the stored `bytes of …`, `messages`, `chunks` and `calls of publish`.
    """
    # The in-memory AWS is part of the tests.
    sys.path.append(str(ROOT / "lambda" / "tests"))
    counting = importlib.import_module("counting")
    day = Day(customers, bad_items=max(customers // 1_000, 1))
    files = generate(day, SCRATCH / f"cost-{customers}")
    log, before = _log(), len(_log().getvalue())
    with contextlib.redirect_stdout(log), counting.counted_platform(CHUNK_RECORDS=chunk_records) as platform:
        wire = platform.day({path.name: path.read_bytes() for path in files.values()})
        items = list(platform.cloud.items().values())
        objects = {found["Key"]: found["Size"] for found in platform.objects()}
        calls: Counter[str] = platform.invocations
        sent = Counter(request.operation for request in wire.requests)
        batches = [request.size for request in wire.requests if request.operation == "SendMessageBatch"]
    sizes = [(item["sk"]["S"], item_bytes(item)) for item in items]
    ledger = max(size for key, size in sizes if key == "ledger")
    written = sum(ceil(size / 1024) for key, size in sizes if key != "ledger")
    files_bytes = sum(size for key, size in objects.items() if key.startswith("incoming/"))
    logs = len(log.getvalue()[before:].encode()) + _PLATFORM_LOG_BYTES * calls.total()
    return Counter(
        {
            "write_unit": written + sent["PutItem"] * ceil(ledger / 1024),
            "read_unit": sent["GetItem"] * ceil(ledger / 4096) + sent["Query"],
            "fifo_request": sum(ceil(size / (64 << 10)) for size in batches),
            "queue_request": 3 * len(files),
            "state_transition": 1 + len(RUN_STATES) + CHILD_TRANSITIONS * calls["deliver"],
            "s3_put": sum(sent[name] for name in _PUTS) + len(files) + files_bytes / _PART,
            "s3_get": sum(sent[name] for name in _GETS),
            "function_call": calls.total(),
            "log_gb": logs / 2**30,
            "calls of publish": calls["publish"],
            "chunks": calls["deliver"],
            "messages": len(platform.bodies),
            "bytes of files": files_bytes,
            "bytes of work": sum(size for key, size in objects.items() if key.startswith("work/")),
            "bytes of items": sum(size + _STORED_BYTES for _, size in sizes),
        }
    )


@cache
def _log() -> io.StringIO:
    """Return the log stream of the functions; cached, as a logger keeps its first stream."""
    return io.StringIO()


def item_bytes(value: Any) -> int:
    """Return the approximate size of an item in DynamoDB JSON (DynamoDB Developer Guide, item sizes)."""
    match value:
        case {"S": text}:
            return len(text.encode())
        case {"N": digits}:
            return len(digits) // 2 + 2
        case {"M": parts}:
            return 3 + len(parts) + item_bytes(parts)
        case {"L": parts}:
            return 3 + len(parts) + sum(map(item_bytes, parts))
        case {"NULL": _} | {"BOOL": _}:
            return 1
    return sum(len(name.encode()) + item_bytes(part) for name, part in value.items())


def day_of(customers: int, counted: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Return the usage of a day of any size, by linear extrapolation from the two counted days."""
    (small, first), (large, second) = sorted(counted.items())
    share = (customers - small) / (large - small)
    return {name: max(number + (second[name] - number) * share, 0) for name, number in first.items()}


@dataclass(frozen=True, slots=True)
class Speed:
    """Processor times in seconds that other benchmarks measured."""

    transform: float
    """Seconds per customer."""
    send: float
    """Seconds per message."""


def measured_speed() -> Speed:
    """Read the processor times from the stored results."""
    transform, delivery = load("transform"), load("delivery")
    if not (transform and delivery):
        raise SystemExit("The cost follows from other results: run `make bench ARGS='transform delivery'` first.")
    largest = max(transform.data["sizes"], key=lambda size: size["customers"])
    ours = delivery.data["ways"]["sqs"]["the product"]
    return Speed(largest["sides"]["ours"]["cpu_seconds"] / largest["customers"], ours["cpu_seconds"] / ours["items"])


def function_seconds(customers: int, usage: Mapping[str, float], settings: Settings, speed: Speed) -> dict[str, float]:
    """Return the billed seconds of each function; the table's write rate limits deliver."""
    at_once = min(settings.deliver_concurrency, usage["chunks"])
    share = {name: memory / MB_PER_CPU for name, memory in settings.memory_mb.items()}
    return {
        "intake": 4.0,
        "transform": 3
        + customers * speed.transform / share["transform"]
        + usage["bytes of files"] / 1e6 / S3_MB_A_SECOND,
        "deliver": at_once * (1.5 + usage["write_unit"] / NEW_TABLE_WRITES),
        "publish": 6 + usage["calls of publish"] * 0.02 + usage["messages"] * speed.send / share["publish"],
        "finalize": 2.0,
    }


def bill(
    customers: int, counted: Mapping[int, Mapping[str, float]], settings: Settings, speed: Speed
) -> dict[str, float]:
    """Return the billed quantities of a run, by name of the price."""
    usage = day_of(customers, counted)
    seconds = function_seconds(customers, usage, settings, speed)
    billed = {name: number for name, number in usage.items() if name in prices()}
    return billed | {
        "gb_second": sum(time * settings.memory_mb[name] / 1024 for name, time in seconds.items()),
        "storage_gb_second": seconds["transform"] * (settings.storage_mb - 512) / 1024,
        # One call a second of each function is traced, and a twentieth of the others (Lambda Developer Guide, X-Ray).
        "trace": usage["function_call"] / 20 + 2 * usage["write_unit"] / NEW_TABLE_WRITES,
    }


def stored(customers: int, counted: Mapping[int, Mapping[str, float]], days: int) -> dict[str, float]:
    """Return a month's storage after a number of days; only work files and logs expire, after a month."""
    usage = day_of(customers, counted)
    gb = {name: usage[f"bytes of {name}"] / 2**30 for name in ("items", "files", "work")}
    return {
        "table_gb_month": gb["items"] * days,
        "backup_gb_month": gb["items"] * days,
        "s3_gb_month": gb["files"] * days + gb["work"] * min(days, MONTH),
        "log_gb_month": usage["log_gb"] * min(days, MONTH),
    }


def limits(settings: Settings) -> list[list[Any]]:
    """Return how many customers fit into a function's time and /tmp, with a reserve of a tenth."""
    kept = load("transform")
    if not kept:
        return []
    largest = max(kept.data["sizes"], key=lambda size: size["customers"])
    ours, customers = largest["sides"]["ours"], largest["customers"]
    cpu, copied = ours["cpu_seconds"] / customers, largest["csv_mb"] / customers / S3_MB_A_SECOND
    functions = [
        ("default", settings.memory_mb["transform"], settings.storage_mb),
        ("largest", LARGEST["memory_mb"], LARGEST["storage_mb"]),
    ]
    return [
        [
            f"{name}: {memory:,} MB, {storage:,} MB of /tmp",
            0.9 * LARGEST["seconds"] / (cpu * MB_PER_CPU / memory + copied),
            0.9 * storage / ours["disk_mb"] * customers,
        ]
        for name, memory, storage in functions
    ]


def measure(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Count the usage of two days and compute the bill of a million customers."""
    settings = read_settings()
    chunk = 100 if quick else settings.chunk_records
    counted = {}
    for customers in (chunk, 2 * chunk):
        say(f"counting a day of {customers:,} customers")
        counted[customers] = count(customers, chunk)
    speed = measured_speed()
    return {
        "counted": sorted(counted),
        "lines": bill(MILLION, counted, settings, speed),
        "messages": day_of(MILLION, counted)["messages"],
        "months": [
            [
                customers,
                MONTH * dollars(bill(customers, counted, settings, speed)),
                dollars(STANDING),
                *(dollars(stored(customers, counted, days)) for days in (MONTH, 365)),
            ]
            for customers in (10_000, MILLION)
        ],
        "limits": limits(settings),
    }


def by_service(usage: Mapping[str, float]) -> dict[str, float]:
    """Return the cost by service, largest first."""
    sums: dict[str, float] = defaultdict(float)
    for name, number in usage.items():
        sums[prices()[name].service] += number * prices()[name].usd
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def render(result: Result) -> str:
    """Return the bill of a million customers, the monthly bills and the largest day as Markdown."""
    data, total = result.data, dollars(result.data["lines"])
    foreign = ", ".join(f"`{name}`" for name, price in prices().items() if price.region != "eu-west-1")
    small, large = data["counted"]
    months = [[f"{customers:,}", *(f"${amount:.2f}" for amount in amounts)] for customers, *amounts in data["months"]]
    received = 2 * data["messages"] / 10 * prices()["fifo_request"].usd
    sizes = [[name, *(f"{number / MILLION:.1f} million" for number in numbers)] for name, *numbers in data["limits"]]
    return f"""A day of a million customers, with 4 orders each, 3 items an order and a thousand errors, costs
**${total:.2f}** at list prices in eu-west-1, before any free tier. Receiving the messages costs ${received:.2f}
more.

{table(["service, and its parts", "dollars", "share"], _service_rows(data["lines"], total))}

A month of such days. What is stored grows, as only work files and logs expire:

{table(["customers a day", "30 runs", "standing", "stored, 1st month", "stored, after a year"], months)}

The quantities are extrapolated from days of {small:,} and {large:,} customers that were processed in memory with each
request counted; durations follow from the processor times above and {NEW_TABLE_WRITES:,} writes per second, the rate of
a new table. They were not compared with a bill from AWS. Prices with date and source:
[prices.toml](../benchmarks/prices.toml); those of {foreign} are from another region.

The largest day by the limits of the transform function, with a reserve of a tenth, in customers:

{table(["transform", "by time", "by /tmp"], sizes)}"""


def _service_rows(usage: Mapping[str, float], total: float) -> Iterator[list[str]]:
    for service, amount in by_service(usage).items():
        parts = [
            f"{number:,.0f} × {prices()[name].unit}" if number >= 1 else f"{number:.2g} × {prices()[name].unit}"
            for name, number in usage.items()
            if prices()[name].service == service
        ]
        yield [f"{service}: {'; '.join(parts)}", f"{amount:.4f}", f"{amount / total:.1%}"]
