"""How many requests a day makes, by function and operation: arithmetic, held against counted days by the tests."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from pipeline.aws.dynamodb import BATCH_ITEMS
from pipeline.aws.sqs import BATCH_ENTRIES
from pipeline.model.data_model import Kind

from benchmarks.results import ROOT

PART = 8 << 20
"""Bytes from which the SDK's transfer manager moves a file in parts of this size (boto3's TransferConfig)."""

Requests = Counter[tuple[str, str]]
"""HTTP requests by function and operation."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What of the infrastructure's settings decides how many requests a day makes and what they cost."""

    memory_mb: Mapping[str, int]
    storage_mb: int
    chunk_records: int
    deliver_concurrency: int
    fifo: bool
    log_days: int
    work_days: int
    old_version_days: int
    stream_batch: int
    """Records of the table's stream that one call of publish gets."""
    stream_parallel: int
    """Calls of publish at the same time for each shard of the stream."""


def read_settings() -> Settings:
    """Read the defaults of infra/variables.tf, and of infra/locals.tf what no variable sets."""
    import hcl2
    from hcl2 import SerializationOptions

    plain = SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)
    read = {
        name: hcl2.loads((ROOT / "infra" / name).read_text(), serialization_options=plain)
        for name in ("variables.tf", "locals.tf")
    }
    variables = {name: body for entry in read["variables.tf"]["variable"] for name, body in entry.items()}
    (source,) = (block["functions"]["publish"]["event_source"] for block in read["locals.tf"]["locals"])
    return Settings(
        memory_mb={name: int(mb) for name, mb in optional_defaults(variables["memory_mb"]).items()},
        storage_mb=variables["transform_storage_mb"]["default"],
        chunk_records=variables["chunk_records"]["default"],
        deliver_concurrency=variables["deliver_concurrency"]["default"],
        fifo=variables["output_fifo"]["default"],
        log_days=variables["log_retention_days"]["default"],
        work_days=variables["work_retention_days"]["default"],
        old_version_days=variables["old_version_retention_days"]["default"],
        stream_batch=source["batch_size"],
        stream_parallel=source["parallelization_factor"],
    )


def optional_defaults(variable: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers in `optional(number, …)` of a variable's object type, by attribute."""
    found = re.findall(r"(\w+) = optional\(number, ([^)]+)\)", variable["type"])
    return {name: float(number) for name, number in found}


@dataclass(frozen=True, slots=True)
class Day:
    """What reaches the table and the queue of one run of a batch, without a fault or a retry.

    `changed` is how many of the written results and errors differ from what stands there, so that they become
    messages: all by default. `removed` customers and `stale` errors stood there before a correction, `previous` lists
    of customers were delivered before. `arrivals` tells, for each event, how many of the three files lie there.
    """

    customers: int
    errors: int = 0
    rejects: int = 0
    changed: int | None = None
    removed: int = 0
    stale: int = 0
    previous: int = 0
    arrivals: tuple[int, ...] = (1, 2, 3)

    @property
    def messages(self) -> int:
        """Messages that the day sends."""
        changed = self.customers + self.errors if self.changed is None else self.changed
        return changed + self.removed

    @property
    def writes(self) -> int:
        """Items that deliver puts or deletes: a removed customer is a marker and its deletion."""
        return self.customers + self.errors + 2 * self.removed + self.stale


@dataclass(frozen=True, slots=True)
class Sizes:
    """Measured bytes; the defaults are those of benchmarks/generate.py's days."""

    result: float = 150
    """Of a result in the table."""
    error: float = 600
    ledger: float = 3_500
    chunk_line: float = 230
    delivered: float = 9
    """Of a customer's reference in the list of delivered customers."""
    reject: float = 120
    message: float = 510
    """Of a message in a request, with its attributes."""
    csv: float = 770
    """Of a customer in the three files, with 4 orders of 3 items each."""


def chunks(day: Day, size: int) -> Iterator[tuple[int, int]]:
    """Yield puts and deletes of each chunk file, as `pipeline.joining.chunks` cuts them."""
    puts, deletes = day.customers + day.errors, 0
    removed = day.removed
    while removed:
        yield from _cut(puts, deletes, size)
        puts = deletes = min(removed, max(size // 2, 1))
        removed -= puts
    yield from _cut(puts, deletes + day.stale, size)


def _cut(puts: int, deletes: int, size: int) -> Iterator[tuple[int, int]]:
    while puts or deletes:
        first = min(puts, size)
        last = min(deletes, size - first)
        yield first, last
        puts, deletes = puts - first, deletes - last


def stream_batches(day: Day, settings: Settings) -> Iterator[int]:
    """Yield how many messages each call of publish sends.

    The stream also carries what is nobody's business: changes of the ledger, and deletions. Here it is one shard; with
    several, each has a last call that is not full.
    """
    records = [(False, max(len(day.arrivals), 1) + 2), (True, day.messages - day.removed)]
    for _, deletes in chunks(Day(0, removed=day.removed), settings.chunk_records):
        records += [(True, deletes), (False, deletes)]
    records += [(False, day.stale + 1)]
    room, messages = settings.stream_batch, 0
    for is_message, count in records:
        while count:
            taken = min(count, room)
            count, room, messages = count - taken, room - taken, messages + taken * is_message
            if not room:
                yield messages
                room, messages = settings.stream_batch, 0
    if room < settings.stream_batch:
        yield messages


def requests(day: Day, settings: Settings, sizes: Sizes | None = None) -> Requests:
    """Return what each function sends."""
    sizes = sizes or Sizes()
    cut = list(chunks(day, settings.chunk_records))
    published = list(stream_batches(day, settings))
    events = len(day.arrivals)
    counted: Requests = Counter(
        {
            # The bucket is looked at before and after the claim, kind by kind.
            ("intake", "ListObjectsV2"): 2 * len(Kind) * events,
            ("intake", "HeadObject"): 2 * sum(day.arrivals),
            ("intake", "GetItem"): events,
            ("intake", "PutItem"): events,
            ("intake", "StartExecution"): min(events, 1),
            ("transform", "GetItem"): 3,
            ("transform", "PutItem"): 2,
            ("transform", "Query"): 1 + int(day.stale * sizes.error) // (1 << 20),
            ("transform", "ListObjectsV2"): 1,
            ("transform", "GetObject"): len(Kind),
            ("transform", "PutObject"): 1,
            ("deliver", "GetItem"): len(cut),
            ("deliver", "GetObject"): len(cut),
            ("deliver", "BatchWriteItem"): sum(ceil(put / BATCH_ITEMS) + ceil(gone / BATCH_ITEMS) for put, gone in cut),
            ("publish", "GetItem"): sum(1 for messages in published if messages),
            ("publish", "SendMessageBatch"): sum(ceil(messages / BATCH_ENTRIES) for messages in published),
            ("finalize", "GetItem"): 1,
            ("finalize", "PutItem"): 1,
        }
    )
    uploads = [(put + gone) * sizes.chunk_line for put, gone in cut]
    uploads += [day.errors * sizes.reject] * day.rejects + [day.customers * sizes.delivered]
    for size in uploads:
        counted.update({("transform", operation): number for operation, number in put_object(size).items()})
    for _ in range(day.previous):
        parts = max(ceil(day.customers * sizes.delivered / PART), 1)
        counted.update({("transform", "HeadObject"): 1, ("transform", "GetObject"): parts})
    return Counter({name: number for name, number in counted.items() if number})


def put_object(size: float) -> dict[str, int]:
    """Return the requests that upload a file of so many bytes."""
    if size < PART:
        return {"PutObject": 1}
    return {"CreateMultipartUpload": 1, "UploadPart": ceil(size / PART), "CompleteMultipartUpload": 1}


def invocations(day: Day, settings: Settings) -> Counter[str]:
    """Return how often each function is called."""
    return Counter(
        {
            "intake": len(day.arrivals),
            "transform": 1,
            "deliver": sum(1 for _ in chunks(day, settings.chunk_records)),
            "publish": sum(1 for _ in stream_batches(day, settings)),
            "finalize": 1,
        }
    )
