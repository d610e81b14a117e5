"""A day from its last upload to its last message, and many days at once, on the deployed stack on a local AWS."""

from __future__ import annotations

import os
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from e2e.stack import Stack, eventually
from pipeline.model.record_kinds import RecordKind
from pipeline_cli.deployment import runs
from pipeline_cli.deployment.queues import Waiting, waiting
from pipeline_cli.local.emulator import Emulator
from pipeline_cli.terraform import package
from pipeline_cli.terraform.local_stack import deployed_stack
from pipeline_cli.terraform.target import LOCAL, Target

from benchmarks.document import paragraph, table
from benchmarks.generate import Day, generate
from benchmarks.outcome import NotExactError, compare, expected, sent, stored
from benchmarks.outcome import Result as Fact
from benchmarks.results import SCRATCH, Result

STALL_SECONDS = 120.0
"""If no message arrives for this long, the benchmark stops waiting for more."""
POLL_SECONDS = 0.2
UPLOADS = 16
"""Concurrent uploads of the files of many days."""
FIRST_DAY = date(2022, 1, 31)

Say = Callable[[str], None]
Facts = Counter[Fact]


def measure(quick: bool, say: Say) -> dict[str, Any]:
    """Process one large day and then many small ones on a separate stack; fail if any result is not exact."""
    say("packaging")
    zip_file = package.build(LOCAL, quiet=True).file
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="day-", dir=SCRATCH) as folder:
        say("starting a local AWS and applying the stack")
        with deployed_stack(Path(folder), zip_file) as target:
            stack, record = Stack(target), Emulator(Path(folder)).running()
            emulator = record.pid if record else 0
            one, kept = one_day(stack, emulator, Day(1_000 if quick else 10_000), say)
            # The table still holds the first day: the check shows that the other days do not change it.
            many = many_days(stack, emulator, 5 if quick else 20, 500, kept, say)
    return {"one": one, "many": many}


def one_day(stack: Stack, emulator: int, shape: Day, say: Say) -> tuple[dict[str, Any], Facts]:
    """Process a day of this shape; return the measurements and the expected results."""
    (batch,) = batches(1)
    say(f"generating a day of {shape.customers:,} customers")
    files = files_of(shape)
    facts = expected(batch, files)
    say("sending it")
    begun = time.time()
    stack.upload(contents(batch, files))
    uploaded, before = time.time(), processor_seconds(emulator)
    say("waiting for its messages")
    entry = stack.ended(batch)
    await_messages(stack, shape.customers)
    used = used_since(before, emulator)
    say("receiving and checking them")
    moments = receive_and_check(stack, [batch], facts, facts)
    history, name = runs.Runs(stack.target), str(entry.execution)
    run = stack.stepfunctions.describe_execution(executionArn=history.arn(name))
    started = run["startDate"].timestamp() - uploaded
    stages = history.stages(name, datetime.now(UTC))
    return {
        "customers": shape.customers,
        "orders": shape.orders,
        "items": shape.items,
        "csv_mb": sum(path.stat().st_size for path in files.values()) / 1e6,
        "upload": uploaded - begun,
        "chunks": entry.chunks,
        "stages": {
            "intake": [0.0, started],
            **{stage.name.lower(): [started + stage.start, started + stage.start + stage.seconds] for stage in stages},
            "publish": [min(moments) - uploaded, max(moments) - uploaded],
        },
        "calls": calls(stack.target, uploaded),
        "processor_seconds": used,
    }, facts


def many_days(stack: Stack, emulator: int, days: int, customers: int, kept: Facts, say: Say) -> dict[str, Any]:
    """Process many days at once, with their files in random order; return the measurements."""
    say(f"generating {days} days")
    sets = dict(zip(batches(1 + days)[1:], map(files_of, shapes(days, customers)), strict=True))
    facts: Facts = Counter()
    for batch, files in sets.items():
        facts += expected(batch, files)
    uploads = [{name: content} for batch, files in sets.items() for name, content in contents(batch, files).items()]
    random.Random(days).shuffle(uploads)
    say(f"sending {len(uploads)} files at once")
    start, before = time.time(), processor_seconds(emulator)
    with ThreadPoolExecutor(UPLOADS) as pool:
        sending = [pool.submit(stack.upload, upload) for upload in uploads]
        deepest = await_messages(stack, facts.total())
        for upload in sending:
            upload.result()
    used = used_since(before, emulator)
    say("receiving and checking the messages")
    moments = receive_and_check(stack, list(sets), facts, kept + facts)
    ended = [moment - start for batch in sets for moment in ends(stack, batch)]
    return {
        "days": days,
        "customers": customers,
        "files": len(uploads),
        "csv_mb": sum(len(content) for upload in uploads for content in upload.values()) / 1e6,
        "deepest": deepest.total,
        "hidden": deepest.hidden,
        "first_ended": min(ended),
        "last_ended": max(ended),
        "last_message": max(moments) - start,
        "messages": len(moments),
        "cold_starts": sum(len(texts) for _, texts in logged(stack.target, "ColdStart", start)),
        "processor_seconds": used,
    }


def await_messages(stack: Stack, count: int) -> Waiting:
    """Wait until the output queue holds `count` messages or stops growing; the check reports missing ones.

    Returns the largest counts of the ingest queue that were seen meanwhile.
    """
    urls = [stack.target.output(name) for name in ("ingest_queue_url", "output_queue_url")]
    most, since, deepest = -1, time.monotonic(), Waiting(0, 0, 0)
    while most < count and time.monotonic() - since < STALL_SECONDS:
        arriving, there = (waiting(stack.sqs, url) for url in urls)
        deepest = max(deepest, arriving, key=lambda depth: depth.total)
        if there.total > most:
            most, since = there.total, time.monotonic()
        time.sleep(POLL_SECONDS)
    return deepest


def receive_and_check(stack: Stack, names: list[str], messages: Facts, items: Facts) -> list[float]:
    """Receive the messages, compare all results with the expected ones, and return when the messages were sent.

    Raises
    ------
    NotExactError
        A result in the queue or table is lost, doubled or wrong, a batch did not have exactly one successful run, or a
        queue that should be empty is not.
    """
    earlier = len(stack.received)
    stack.receive_all()
    received = stack.received[earlier:]
    compare("messages", messages, sent(received))
    compare("items in the table", items, stored(stack.items()))
    one_each = [["SUCCEEDED"]] * len(names)
    eventually(
        lambda: [list(stack.executions(batch).values()) for batch in names] == one_each, "the success of one run a day"
    )
    ingest = waiting(stack.sqs, stack.target.output("ingest_queue_url")).total
    if ingest or any(stack.dead_letters().values()):
        raise NotExactError(f"queues that should be empty hold messages: ingest {ingest}, {stack.dead_letters()}")
    return [message["sent"] for message in received]


def ends(stack: Stack, batch: str) -> list[float]:
    """Return when the runs of a batch ended, in Unix seconds."""
    history = runs.Runs(stack.target)
    arns = [history.arn(name) for name in stack.executions(batch)]
    return [stack.stepfunctions.describe_execution(executionArn=arn)["stopDate"].timestamp() for arn in arns]


def calls(target: Target, since: float) -> dict[str, tuple[int, float]]:
    """Return the number of calls of each function since a time and their total seconds, from Lambda's reports."""
    times = {
        name: [int(match[1]) for text in texts if (match := re.search(r"\tDuration: (\d+)", text))]
        for name, texts in logged(target, "REPORT", since)
    }
    return {name: (len(found), sum(found) / 1000) for name, found in times.items()}


def logged(target: Target, word: str, since: float) -> Iterator[tuple[str, list[str]]]:
    """Yield each function's log lines since a time that contain a word."""
    paginator = target.client("logs").get_paginator("filter_log_events")
    for function, group in target.output("log_group_names").items():
        pages = paginator.paginate(logGroupName=group, startTime=int(since * 1000), filterPattern=word)
        yield function, [event["message"] for page in pages for event in page["events"]]


def batches(count: int) -> list[str]:
    """Return the names of consecutive days."""
    return [(FIRST_DAY + timedelta(number)).strftime("%Y%m%d") for number in range(count)]


def shapes(days: int, customers: int) -> list[Day]:
    """Return a different shape for each day, so that results of different days can't be confused."""
    return [Day(customers, 1 + number % 5, 1 + number // 5) for number in range(days)]


def files_of(shape: Day) -> dict[RecordKind, Path]:
    """Generate the files of a day unless they exist."""
    name = f"day-{shape.customers}-{shape.orders_per_customer}-{shape.items_per_order}"
    return generate(shape, SCRATCH / name)


def contents(batch: str, files: Mapping[RecordKind, Path]) -> dict[str, bytes]:
    """Return the files of a batch by the names under which they are uploaded."""
    return {f"{kind}_{batch}.csv": path.read_bytes() for kind, path in files.items()}


def processor_seconds(emulator: int) -> dict[str, float]:
    """Return the CPU time of the emulator and of the functions, the other processes of its session (Linux only)."""
    used: dict[str, float] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        if int(fields[3]) == emulator:
            whose = "emulator" if file.parent.name == str(emulator) else "functions"
            used[whose] = used.get(whose, 0.0) + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def used_since(before: Mapping[str, float], emulator: int) -> dict[str, float]:
    """Return the processor time that was used since an earlier reading."""
    return {name: seconds - before.get(name, 0.0) for name, seconds in processor_seconds(emulator).items()}


def render(result: Result) -> str:
    """Return the stages of the single day and the figures of the many days as Markdown."""
    one, many = result.data["one"], result.data["many"]
    end = one["stages"]["publish"][1]
    first = f"""One day of {one["customers"]:,} customers, {one["orders"]:,} orders and {one["items"]:,} items
        ({one["csv_mb"]:.1f} MB) on the deployed stack, on MiniStack with access rules enforced, every function started
        cold: **{end:.1f} seconds from the last upload to the last message**, after {one["upload"]:.1f} seconds of
        uploading, in which `intake` and `publish` have their first calls already. Seconds after the last upload:"""
    pace = f"""The emulator sets the pace{_busy(one, end)}. It calls `publish` for one batch of the stream after the
        other, where Lambda has four a shard, and for each message it goes through all earlier deduplication ids."""
    then = f"""{many["days"]} days at once, {many["customers"]:,} customers each: {many["files"]} files in random
        order, {UPLOADS} at a time, {many["csv_mb"]:.1f} MB. The ingest queue held at most {many["deepest"]} events,
        {many["hidden"]} of them in the hands of intake. Seconds after the first upload, the first day was COMPLETED
        at {many["first_ended"]:.1f}, the last at {many["last_ended"]:.1f}, and the last of {many["messages"]:,}
        messages was sent at **{many["last_message"]:.1f}**. Here too the emulator sets the
        pace{_busy(many, many["last_message"])}, with {many["cold_starts"]} cold starts."""
    exact = """All messages and table items are those of an independent calculation: none is lost, doubled or wrong.
        Each day had one run, which succeeded, and the ingest and dead-letter queues are empty."""
    stages = table(["stage", "begins", "ends", "takes", "calls", "seconds in the function"], _stage_rows(one))
    return "\n\n".join([paragraph(first), stages, *map(paragraph, (pace, then, exact))])


def _busy(part: Mapping[str, Any], seconds: float) -> str:
    if not (used := part["processor_seconds"]):
        return ""
    return (
        f": its one process was busy for {used['emulator']:.0f} of the {seconds:.0f} seconds, all functions together"
        f" for {used['functions']:.0f}"
    )


def _stage_rows(one: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, (begins, ends) in one["stages"].items():
        number, seconds = one["calls"].get(name, (0, 0.0))
        yield [name, f"{begins:.2f}", f"{ends:.2f}", f"{ends - begins:.2f}", f"{number:,}", f"{seconds:.2f}"]
    total = one["stages"]["publish"][1]
    calls = [call for name, call in one["calls"].items() if name in one["stages"]]
    yield [
        "all",
        "0.00",
        f"{total:.2f}",
        f"{total:.2f}",
        f"{sum(number for number, _ in calls):,}",
        f"{sum(seconds for _, seconds in calls):.2f}",
    ]
