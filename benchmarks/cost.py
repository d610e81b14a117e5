"""The cost of a day of a million results: extrapolated from the usage of two days of different size, at list prices.

Both days are processed in memory and each request is counted. The difference between them is the usage of the
additional results, the rest is fixed per day. Durations can't be measured in memory: they follow from the processor
times that were measured elsewhere, and from the rate at which a new table accepts writes.
"""

from __future__ import annotations

import contextlib
import io
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import counting
from pipeline.model.data_model import MODEL
from pipeline.stages.transform import MB_PER_CPU
from pipeline_cli.terraform.target import ROOT, declared_variables

from benchmarks.generate import PER_PARENT, Day, generate
from benchmarks.results import SCRATCH, Result, load, paragraph

MILLION = 1_000_000
MONTH = 30
Usage = Mapping[str, float]
"""Quantities by the name of their price."""

NEW_TABLE_WRITES = 4_000
"""Writes per second that a new on-demand table accepts (DynamoDB Developer Guide, on-demand capacity mode)."""
S3_MB_A_SECOND = 75
"""Assumed throughput between S3 and one function."""
RUN_STATES = ("Begin", "Transform", "Transformed", "Deliver", "Finalize", "Verdict", "Completed")
"""The states that a run enters; AWS's examples count the start as an additional transition."""
CHILD_TRANSITIONS = 2
"""Transitions of a map's child: its start and its state (Step Functions Developer Guide, Distributed Map state)."""
STANDING = {"alarm_month": 39, "dashboard_month": 1, "metric_month": 1, "queue_request": 5 * MONTH * 86_400 / 20}
"""The usage of a month without any file: metrics of alarms (infra/tests/test_monitoring.py counts them), dashboard, a
dozen metrics in two of 24 hours, and five connections with which Lambda polls the ingest queue every 20 seconds."""

_PUTS = {"ListObjectsV2", "PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"}
_GETS = {"GetObject", "HeadObject"}
_PART = 8 << 20
_PLATFORM_LOG_BYTES = 450
"""Size of the log lines that Lambda writes per call."""
SEND_SECONDS = 1 / 10_715
"""Processor time of publish per message (docs/adr/0008-the-sdk-serialises.md, median of seven runs)."""


@cache
def prices() -> Mapping[str, tuple[str, float]]:
    """Read prices.toml, which has a table for each service: by a price's name its service and its US dollars."""
    services = tomllib.loads(Path(__file__).with_name("prices.toml").read_text())
    return {
        name: (service, price["usd"])
        for service, entries in services.items()
        if isinstance(entries, dict)
        for name, price in entries.items()
        if name != "page"
    }


def dollars(usage: Usage) -> float:
    """Return the cost of `usage`."""
    return sum(by_service(usage).values())


def by_service(usage: Usage) -> dict[str, float]:
    """Return the cost by service, largest first."""
    services: dict[str, float] = {}
    for name, number in usage.items():
        service, usd = prices()[name]
        services[service] = services.get(service, 0.0) + number * usd
    return dict(sorted(services.items(), key=lambda item: -item[1]))


@dataclass(frozen=True, slots=True)
class Basis:
    """What the durations follow from: settings of infra/, and the transform per result of the largest day measured."""

    memory_mb: Mapping[str, int]
    storage_mb: int
    chunk_records: int
    deliver_concurrency: int
    transform_seconds: float


def basis() -> Basis:
    """Read the settings and the stored results."""
    transform = load("transform")
    if not transform:
        raise SystemExit("The cost follows from another result: run `make bench ARGS=transform` first.")
    variables, written = declared_variables(), (ROOT / "infra" / "locals.tf").read_text()
    transform_size = optional_defaults(variables["transform"]["type"])
    ((memory, chunk),) = re.findall(r"memory_mb\s*= \{(.*?)\}.*CHUNK_RECORDS\s*= \"(\d+)\"", written, re.DOTALL)
    largest = max(transform.data["sizes"], key=lambda size: size["roots"])
    ours = largest["sides"]["ours"]
    return Basis(
        {name: int(mb) for name, mb in re.findall(r"(\w+) = (\d+)", memory)}
        | {"transform": int(transform_size["memory_mb"])},
        int(transform_size["storage_mb"]),
        int(chunk),
        variables["deliver_concurrency"]["default"],
        ours["cpu_seconds"] / largest["roots"],
    )


def optional_defaults(object_type: str) -> dict[str, float]:
    """Return the numbers in `optional(number, …)` of an object type, by attribute."""
    found = re.findall(r"(\w+) *= optional\(number, ([^)]+)\)", object_type)
    return {name: float(number) for name, number in found}


@cache
def _log() -> io.StringIO:
    """Return the log stream of the functions; cached, as a logger keeps its first stream."""
    return io.StringIO()


def count(results: int, chunk_records: int) -> dict[str, float]:
    """Process a generated day in memory and return its usage, and its messages, chunks and bytes."""
    files = generate(Day(results, bad=max(results // 1_000, 1)), SCRATCH / f"cost-{results}")
    log_start = len(_log().getvalue())
    with contextlib.redirect_stdout(_log()), counting.counted_platform(CHUNK_RECORDS=chunk_records) as platform:
        requests = platform.day({path.name: path.read_bytes() for path in files.values()}).requests
        items = platform.cloud.items()
        objects = {found["Key"]: found["Size"] for found in platform.objects()}
        calls: Counter[str] = platform.invocations
    sent = Counter(request.operation for request in requests)
    sizes = {key: item_bytes(item) for key, item in items.items()}
    (ledger,) = (key for key in sizes if key[1] == "ledger")
    written = sum(ceil(size / 1024) for key, size in sizes.items() if key != ledger)
    files_bytes = sum(size for key, size in objects.items() if key.startswith("incoming/"))
    return {
        "write_unit": written + sent["PutItem"] * ceil(sizes[ledger] / 1024),
        "read_unit": sent["GetItem"] * ceil(sizes[ledger] / 4096) + sent["Query"],
        "fifo_request": sum(ceil(one.size / (64 << 10)) for one in requests if one.operation == "SendMessageBatch"),
        "queue_request": 3 * len(files),
        "state_transition": 1 + len(RUN_STATES) + CHILD_TRANSITIONS * calls["deliver"],
        "s3_put": sum(sent[name] for name in _PUTS) + len(files) + files_bytes / _PART,
        "s3_get": sum(sent[name] for name in _GETS),
        "function_call": calls.total(),
        "log_gb": (len(_log().getvalue()[log_start:].encode()) + _PLATFORM_LOG_BYTES * calls.total()) / 2**30,
        "calls of publish": calls["publish"],
        "chunks": calls["deliver"],
        "messages": len(platform.bodies),
        "bytes of files": files_bytes,
    }


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


def day_of(results: int, counted: Mapping[int, Usage]) -> dict[str, float]:
    """Return the usage of a day of any size, by linear extrapolation from the two counted days."""
    (small, first), (large, second) = sorted(counted.items())
    share = (results - small) / (large - small)
    return {name: max(number + (second[name] - number) * share, 0) for name, number in first.items()}


def bill(results: int, counted: Mapping[int, Usage], given: Basis) -> dict[str, float]:
    """Return the billed quantities of a run. The table's write rate limits how fast `deliver` is."""
    usage = day_of(results, counted)
    cpus = {name: memory / MB_PER_CPU for name, memory in given.memory_mb.items()}
    copied = usage["bytes of files"] / 1e6 / S3_MB_A_SECOND
    at_once = min(given.deliver_concurrency, usage["chunks"])
    seconds = {
        "intake": 4.0,
        "transform": 3 + results * given.transform_seconds / cpus["transform"] + copied,
        "deliver": at_once * (1.5 + usage["write_unit"] / NEW_TABLE_WRITES),
        "publish": 6 + usage["calls of publish"] * 0.02 + usage["messages"] * SEND_SECONDS / cpus["publish"],
        "finalize": 2.0,
    }
    return {name: number for name, number in usage.items() if name in prices()} | {
        "gb_second": sum(time * given.memory_mb[name] / 1024 for name, time in seconds.items()),
        "storage_gb_second": seconds["transform"] * (given.storage_mb - 512) / 1024,
        # One call a second of each function is traced, and a twentieth of the others (Lambda Developer Guide, X-Ray).
        "trace": usage["function_call"] / 20 + 2 * usage["write_unit"] / NEW_TABLE_WRITES,
    }


def measure(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Count the usage of two days and compute the bill of a million results."""
    given = basis()
    chunk = 100 if quick else given.chunk_records
    counted = {}
    for results in (chunk, 2 * chunk):
        say(f"counting a day of {results:,} {MODEL.root}")
        counted[results] = count(results, chunk)
    return {
        "counted": sorted(counted),
        "lines": bill(MILLION, counted, given),
        "messages": day_of(MILLION, counted)["messages"],
        "months": [[results, MONTH * dollars(bill(results, counted, given))] for results in (10_000, MILLION)],
    }


def render(result: Result) -> str:
    """Return the bill of a million results and that of a month."""
    data, total = result.data, dollars(result.data["lines"])
    small, large = data["counted"]
    months = " and ".join(f"${runs:.2f} with {results:,} {MODEL.root} a day" for results, runs in data["months"])
    per_parent = " and ".join(map(str, PER_PARENT))
    shares = ", ".join(f"{name} {amount / total:.1%}" for name, amount in by_service(data["lines"]).items())
    text = f"""A day of a million {MODEL.root}, {per_parent} records of a kind for each of its parent and 1,000 errors,
        costs **${total:.2f}** at list prices in eu-west-1 ([prices.toml](../benchmarks/prices.toml)): {shares}. A month
        costs {months}, alarms and dashboard ${dollars(STANDING):.2f}. Requests were counted in memory for {small:,} and
        {large:,} {MODEL.root} and extrapolated; no bill from AWS was compared."""
    return paragraph(text)
