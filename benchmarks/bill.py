"""What a day costs: its requests and durations times list prices. Arithmetic only.

The requests come from `benchmarks.traffic`, the prices from prices.toml, the settings from infra/. Times are measured
where a result is kept, and assumed (in `Times`) where only AWS could tell.
"""

from __future__ import annotations

import tomllib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

from pipeline.aws.parallel import CALLERS
from pipeline.stages.transform import MB_PER_CPU

from benchmarks.results import load
from benchmarks.traffic import (
    Day,
    Settings,
    Sizes,
    chunks,
    invocations,
    put_object,
    requests,
)

MILLION = 1_000_000
TYPICAL = Day(MILLION, errors=1_000, rejects=1)
"""The day that the figure is for: a million customers, 4 orders of 3 items each, a thousand errors."""

FREE_STORAGE_MB = 512
NEW_TABLE_WRITES = 4_000
"""Writes a second that a new on-demand table takes (DynamoDB developer guide, on-demand capacity mode)."""

RUN_STATES = ("Begin", "Transform", "AnythingToDeliver", "Deliver", "Finalize", "Verdict", "Completed")
"""What a run passes. A child of the map passes one, and its start is charged as another (Step Functions developer
guide, transitions in a Distributed Map state)."""
CHILD_TRANSITIONS = 2
STATES_OF_THE_START = 1
"""AWS's examples count the step from the start as one, too."""

ALARM_METRICS = 35
"""34 alarms, of which one compares two metrics; infra/tests/test_monitoring.py lists them."""
METRICS = 12
"""Own metrics of an ordinary day: seven of `Metric`, and the cold starts of five functions."""
METRIC_HOURS = 2
"""Hours of a day in which an own metric is sent; CloudWatch charges no others."""
POLLERS, POLL_SECONDS = 5, 20
"""Lambda polls a standard queue with five connections, or as few as two when little comes (Lambda developer guide,
scaling behavior for SQS event source mappings); the ingest queue answers an empty one after 20 seconds."""

_LISTS = {"ListObjectsV2", "PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"}
_READS = {"GetObject", "HeadObject"}
_INDEX_BYTES = 100
"""DynamoDB adds so much to each stored item (developer guide, item sizes)."""
MONTH = 30
"""Days."""


@dataclass(frozen=True, slots=True)
class Price:
    """A list price; `confirmed` tells whether it was found for the region of the infrastructure."""

    usd: float
    unit: str
    service: str
    region: str
    looked_up: str
    page: str
    source: str
    confirmed: bool


@cache
def prices() -> Mapping[str, Price]:
    """Read the table of prices."""
    entries = tomllib.loads((Path(__file__).parent / "prices.toml").read_text())
    return {name: Price(**{**entry, "looked_up": str(entry["looked_up"])}) for name, entry in entries.items()}


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds. Those of requests are assumed from what AWS says of its services; no account was measured."""

    transform: float = 22.0
    """Processor time of a whole processor for a million customers."""
    write: float = 50e-6
    """Processor time of a written item, without TLS."""
    send: float = 60e-6
    """The same for a sent message."""
    s3: float = 0.040
    table: float = 0.010
    queue: float = 0.015
    workflow: float = 0.030
    start: float = 1.5
    """Start of a function's environment, which is charged."""
    idle: float = 0.010
    """What an invocation takes that does nothing."""
    bytes_a_second: float = 75e6
    """Between S3 and one function."""
    writers: int = CALLERS
    """Calls that a delivery has on the way at the same time."""


def times() -> Times:
    """Return the times, with processor times as measured, where results are kept."""
    known = Times()
    if result := load("transform"):
        nearest = min(result.data["sizes"], key=lambda size: abs(size["customers"] - MILLION))
        seconds = nearest["sides"]["ours"]["cpu_seconds"] / nearest["customers"]
        known = replace(known, transform=seconds * MILLION)
    if result := load("delivery"):
        write, send = (result.data["cost"][service]["5"]["ours"] for service in ("dynamodb", "sqs"))
        known = replace(known, write=write["cpu_seconds"] / write["items"], send=send["cpu_seconds"] / send["items"])
    return known


@dataclass(frozen=True, slots=True)
class Measured:
    """What a counted day showed: bytes, and log bytes of an invocation by function."""

    sizes: Sizes
    log_bytes: Mapping[str, float]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Measured:
        """Inverse of `asdict`."""
        return cls(Sizes(**values["sizes"]), values["log_bytes"])


PLATFORM_LOG_BYTES = 450
"""The three lines that Lambda itself writes for an invocation."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the bill."""

    service: str
    what: str
    price: str
    quantity: float

    @property
    def dollars(self) -> float:
        """What it costs."""
        return self.quantity * prices()[self.price].usd


def line(what: str, price: str, quantity: float) -> Line:
    """Make a line of the bill; the price knows its service."""
    return Line(prices()[price].service, what, price, quantity)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long delivery and publishing of a day take, in seconds."""

    deliver_call: float
    """A call of deliver, were the table without limit."""
    deliver: float
    publish_call: float
    publish: float


def pace(day: Day, settings: Settings, moments: Times, table_writes: float = NEW_TABLE_WRITES) -> Pace:
    """Reckon what delivery and publishing wait for: their processors, the services, or the table's limit."""
    calls = invocations(day, settings)
    sent = requests(day, settings)
    writes_a_call = day.writes / max(calls["deliver"], 1)
    batches_a_call = sent["deliver", "BatchWriteItem"] / max(calls["deliver"], 1)
    work = max(
        writes_a_call * moments.write * MB_PER_CPU / settings.memory_mb["deliver"],
        batches_a_call * moments.table / moments.writers,
    )
    deliver_call = moments.idle + moments.table + moments.s3 + work
    rounds = ceil(calls["deliver"] / settings.deliver_concurrency)
    messages_a_call = day.messages / max(calls["publish"], 1)
    publish_call = (
        moments.idle
        + moments.table
        + max(
            messages_a_call * moments.send * MB_PER_CPU / settings.memory_mb["publish"],
            sent["publish", "SendMessageBatch"] / max(calls["publish"], 1) * moments.queue,
        )
    )
    deliver = max(rounds * deliver_call, day.writes / table_writes)
    # A partition takes 1,000 writes a second and has a shard of the stream.
    parallel = ceil(table_writes / 1_000) * settings.stream_parallel
    return Pace(deliver_call, deliver, publish_call, max(deliver, calls["publish"] * publish_call / parallel))


def bill(day: Day, settings: Settings, measured: Measured, moments: Times) -> list[Line]:
    """Return what one run of a day costs, without what is there on other days as well."""
    sizes, calls, sent = measured.sizes, invocations(day, settings), requests(day, settings, measured.sizes)
    speed = pace(day, settings, moments)
    seconds = _seconds(day, settings, sizes, moments, speed)
    by_operation: Counter[str] = Counter()
    for (_, operation), number in sent.items():
        by_operation[operation] += number
    looks = sum(number for (_, operation), number in sent.items() if operation == "GetItem")
    ledger_writes = by_operation["PutItem"] * ceil(sizes.ledger / 1024)
    result_units = day.customers * ceil(sizes.result / 1024) + 2 * day.removed
    error_units = day.errors * ceil(sizes.error / 1024) + day.stale
    uploads = Counter(put_object(day.customers * sizes.csv / 3))
    send_units = ceil(min(10, max(day.messages, 1)) * sizes.message / (64 * 1024))
    traces = sum(
        _traces(calls[name], {"deliver": speed.deliver, "publish": speed.publish}.get(name, 1)) for name in calls
    )
    return [
        *(
            line(
                f"GB-seconds of {name} at {settings.memory_mb[name]:,} MB",
                "gb_second",
                time * settings.memory_mb[name] / 1024,
            )
            for name, time in seconds.items()
        ),
        line(
            "GB-seconds of /tmp",
            "storage_gb_second",
            seconds["transform"] * max(settings.storage_mb - FREE_STORAGE_MB, 0) / 1024,
        ),
        line("calls of functions", "function_call", calls.total()),
        line("results written", "write_unit", result_units),
        line("errors written", "write_unit", error_units),
        line("ledger units written", "write_unit", ledger_writes),
        line(
            "read units for ledger and errors", "read_unit", looks * ceil(sizes.ledger / 4096) + by_operation["Query"]
        ),
        line(
            "requests of ten messages",
            "fifo_request" if settings.fifo else "queue_request",
            by_operation["SendMessageBatch"] * send_units,
        ),
        line("requests for events of the bucket", "queue_request", 3 * len(day.arrivals)),
        line(
            "states",
            "state_transition",
            STATES_OF_THE_START + len(RUN_STATES) + CHILD_TRANSITIONS * calls["deliver"],
        ),
        line("parts uploaded by the partner", "s3_put", uploads.total() * 3),
        line("files written and listed", "s3_put", sum(by_operation[name] for name in _LISTS)),
        line("files read", "s3_get", sum(by_operation[name] for name in _READS) + 1),
        line("GB of logs", "log_gb", _log_bytes(calls, measured) / 2**30),
        line("traces", "trace", traces + 1),
    ]


def _seconds(day: Day, settings: Settings, sizes: Sizes, moments: Times, speed: Pace) -> dict[str, float]:
    """Return the charged seconds of each function, the starts of their environments included."""
    calls, sent = invocations(day, settings), requests(day, settings, sizes)
    latency = {"ListObjectsV2": moments.s3, "HeadObject": moments.s3, "StartExecution": moments.workflow}
    waits = {
        name: sum(n * latency.get(operation, moments.table) for (where, operation), n in sent.items() if where == name)
        for name in ("intake", "finalize")
    }
    moved = day.customers * (sizes.csv + sizes.chunk_line)
    transform = (
        day.customers / MILLION * moments.transform * MB_PER_CPU / settings.memory_mb["transform"]
        + moved / moments.bytes_a_second
        + 10 * moments.table
    )
    at_once = min(settings.deliver_concurrency, calls["deliver"])
    publishers = min(ceil(NEW_TABLE_WRITES / 1_000) * settings.stream_parallel, calls["publish"])
    return {
        "transform": transform + moments.start,
        # Calls that wait for the table are charged as well.
        "deliver": max(calls["deliver"] * speed.deliver_call, speed.deliver * at_once) + at_once * moments.start,
        "publish": calls["publish"] * speed.publish_call + publishers * moments.start,
        "intake": waits["intake"] + calls["intake"] * moments.idle + moments.start,
        "finalize": waits["finalize"] + moments.idle + moments.start,
    }


def _log_bytes(calls: Mapping[str, int], measured: Measured) -> float:
    """Add up what so many calls of each function log, Lambda's own lines included."""
    return sum(number * (measured.log_bytes.get(name, 0) + PLATFORM_LOG_BYTES) for name, number in calls.items())


def _traces(calls: int, seconds: float) -> float:
    """Lambda records one request a second and a twentieth of the others (developer guide, X-Ray)."""
    first = min(calls, max(ceil(seconds), 1))
    return first + (calls - first) / 20


def consumers(day: Day, settings: Settings) -> Line:
    """Return what whoever takes the messages pays, or the same account under another name: not part of our bill."""
    price = "fifo_request" if settings.fifo else "queue_request"
    return line("requests that receive and delete ten messages", price, 2 * ceil(day.messages / 10))


def standing() -> list[Line]:
    """Return what a month costs in which no file comes; `due-check` and the like are below a cent."""
    polls = POLLERS * MONTH * 86_400 / POLL_SECONDS
    return [
        line(f"{ALARM_METRICS} metrics of alarms", "alarm_month", ALARM_METRICS),
        line("dashboard", "dashboard_month", 1),
        line(f"{METRICS} own metrics, {METRIC_HOURS} hours a day", "metric_month", METRICS * METRIC_HOURS / 24),
        line("empty polls of the ingest queue", "queue_request", polls),
    ]


def stored(day: Day, settings: Settings, measured: Measured, days: int) -> list[Line]:
    """Return what a month costs for what `days` such days have left; nothing but work files and logs expires."""
    sizes = measured.sizes
    items = day.customers * (sizes.result + _INDEX_BYTES) + day.errors * (sizes.error + _INDEX_BYTES)
    objects = day.customers * (sizes.csv + sizes.delivered)
    # An expired object of a versioned bucket is kept as an old version for some time.
    work = day.customers * sizes.chunk_line * min(days, settings.work_days + settings.old_version_days)
    logs = _log_bytes(invocations(day, settings), measured)
    gb = 1 / 2**30
    return [
        line("items in the table", "table_gb_month", items * days * gb),
        line("their backup", "backup_gb_month", items * days * gb),
        line("files", "s3_gb_month", (objects * days + work) * gb),
        line("logs", "log_gb_month", logs * min(days, settings.log_days) * gb),
    ]


def dollars(lines: list[Line]) -> float:
    """Add up."""
    return sum(entry.dollars for entry in lines)


def by_service(lines: list[Line]) -> dict[str, float]:
    """Add up by service, largest first."""
    sums: dict[str, float] = defaultdict(float)
    for entry in lines:
        sums[entry.service] += entry.dollars
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def choices(settings: Settings, measured: Measured, moments: Times) -> dict[str, float]:
    """Return what a day of a million would cost more or less with another setting, in dollars."""
    base = dollars(bill(TYPICAL, settings, measured, moments))

    def other(**changes: Any) -> float:
        return dollars(bill(TYPICAL, replace(settings, **changes), measured, moments)) - base

    children = sum(1 for _ in chunks(TYPICAL, settings.chunk_records))
    seconds = pace(TYPICAL, settings, moments).deliver * min(settings.deliver_concurrency, children)
    express = line("", "express_request", children).dollars + line("", "express_gb_second", seconds / 16).dollars
    return {
        "chunk files of 1,000 instead of 5,000 records": other(chunk_records=1_000),
        "chunk files of 20,000 records": other(chunk_records=20_000),
        "a standard output queue (`output_fifo = false`)": other(fifo=False),
        "`memory_mb.deliver` of 1,769 MB": other(memory_mb={**settings.memory_mb, "deliver": 1_769}),
        "`memory_mb.transform` of 10,240 MB": other(memory_mb={**settings.memory_mb, "transform": 10_240}),
        "express children of the map": express - line("", "state_transition", children).dollars,
        "one message a request": line("", "fifo_request", TYPICAL.messages * 0.9).dollars,
    }
