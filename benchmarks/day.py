"""A day from its last upload to its last message, and many days at once, on the deployed stack on a local AWS."""

from __future__ import annotations

import os
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.aws.dynamodb import Table
from pipeline.ledger import BatchState, Ledger
from pipeline.model.data_model import INCOMING_PREFIX, Kind
from pipeline_cli.deploy import package
from pipeline_cli.deploy.local_stack import deployed_stack
from pipeline_cli.deploy.target import LOCAL, Target
from pipeline_cli.local.emulator import Emulator
from pipeline_cli.operations.queues import Waiting, waiting
from pipeline_cli.operations.runs import Runs

from benchmarks import outcome
from benchmarks.document import table
from benchmarks.generate import Day, generate
from benchmarks.outcome import NotExactError, compare, expected, receive
from benchmarks.results import SCRATCH, Result

PATIENCE_SECONDS = 900.0
STALL_SECONDS = 60.0
"""If no message arrives for this long, the benchmark stops waiting for more."""
POLL_SECONDS = 0.2
UPLOADS = 16
"""Concurrent uploads of the files of many days."""
FIRST_DAY = date(2022, 1, 31)

Say = Callable[[str], None]
Facts = Counter[outcome.Result]


def measure(quick: bool, say: Say) -> dict[str, Any]:
    """Process one large day and then many small ones on a separate stack; fail if any result is not exact."""
    say("packaging")
    zip_file = package.build(LOCAL, quiet=True).file
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="day-", dir=SCRATCH) as folder:
        say("starting a local AWS and applying the stack")
        with deployed_stack(Path(folder), zip_file) as target:
            record = Emulator(Path(folder)).running()
            stack = Stack(target, record.pid if record else 0)
            one, kept = one_day(stack, Day(1_000 if quick else 10_000), say)
            # The table still holds the first day: the check shows that the other days do not change it.
            many = many_days(stack, 5 if quick else 20, 500, kept, say)
    return {"one": one, "many": many}


class Stack:
    """A deployed stack, as the partner and the operator see it; `emulator` is the process id of the emulator."""

    def __init__(self, target: Target, emulator: int) -> None:
        self.target = target
        self.emulator = emulator
        self.s3 = target.client("s3")
        self.sqs = target.client("sqs")
        self.dynamodb = target.client("dynamodb")
        self.stepfunctions = target.client("stepfunctions")
        self.machine = target.output("state_machine_arn")
        self.table = Table(target.output("table_name"), self.dynamodb)

    def upload(self, batch: str, kind: Kind, path: Path) -> None:
        """Store a file under incoming/."""
        key = f"{INCOMING_PREFIX}{kind}_{batch}.csv"
        self.s3.put_object(Bucket=self.target.output("bucket_name"), Key=key, Body=path.read_bytes())

    def queue(self, name: str) -> Waiting:
        """Count the messages in a queue, given the name of the Terraform output with its URL."""
        return waiting(self.sqs, self.target.output(name))

    def completed(self, batch: str) -> Ledger | None:
        """Return the ledger entry of a batch that is COMPLETED, and None before that.

        Raises
        ------
        NotExactError
            The batch has failed.
        """
        entry = self.table.get_ledger(batch)
        if entry and entry.state is BatchState.FAILED:
            raise NotExactError(f"batch {batch} has failed: {entry.cause}")
        return entry if entry and entry.state is BatchState.COMPLETED else None

    def executions(self, batches: Iterable[str]) -> list[tuple[str, str]]:
        """Return (batch, status) of all runs of these batches."""
        pages = self.stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=self.machine)
        runs = [(run["name"].partition("-")[0], run["status"]) for page in pages for run in page["executions"]]
        wanted = set(batches)
        return sorted(run for run in runs if run[0] in wanted)

    def calls(self, since: float) -> dict[str, tuple[int, float]]:
        """Return the number of calls of each function since a time and their total seconds, from Lambda's reports."""
        times = {
            name: [int(match[1]) for text in texts if (match := re.search(r"\tDuration: (\d+)", text))]
            for name, texts in self._logged("REPORT", since)
        }
        return {name: (len(found), sum(found) / 1000) for name, found in times.items()}

    def cold_starts(self, since: float) -> int:
        """Count the cold starts of all functions since a time, by the metric that they log."""
        return sum(len(texts) for _, texts in self._logged("ColdStart", since))

    def _logged(self, word: str, since: float) -> Iterator[tuple[str, list[str]]]:
        """Yield each function's log lines that contain a word."""
        paginator = self.target.client("logs").get_paginator("filter_log_events")
        for function, group in self.target.output("log_group_names").items():
            pages = paginator.paginate(logGroupName=group, startTime=int(since * 1000), filterPattern=word)
            yield function, [event["message"] for page in pages for event in page["events"]]


def one_day(stack: Stack, shape: Day, say: Say) -> tuple[dict[str, Any], Facts]:
    """Process a day of this shape; return the measurements and the expected results."""
    batch = batches(1)[0]
    say(f"generating a day of {shape.customers:,} customers")
    files = files_of(shape)
    wanted = expected(batch, files)
    say("sending it")
    begun = time.time()
    for kind, path in files.items():
        stack.upload(batch, kind, path)
    uploaded, before = time.time(), processor_seconds(stack.emulator)
    say("waiting for its messages")
    entry: Ledger = eventually(lambda: stack.completed(batch), f"the end of batch {batch}")
    await_messages(stack, shape.customers)
    used = used_since(before, stack.emulator)
    say("receiving and checking them")
    received = receive(stack.target)
    check(stack, [batch], wanted, received.results, wanted)
    runs, name = Runs(stack.machine, stack.stepfunctions), str(entry.execution)
    run = stack.stepfunctions.describe_execution(executionArn=runs.arn(name))
    started = run["startDate"].timestamp() - uploaded
    stages = runs.stages(name, datetime.now(UTC))
    sent = sorted(moment - uploaded for moment in received.sent[batch])
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
            "publish": [sent[0], sent[-1]],
        },
        "calls": stack.calls(uploaded),
        "processor_seconds": used,
    }, wanted


def many_days(stack: Stack, days: int, customers: int, kept: Facts, say: Say) -> dict[str, Any]:
    """Process many days at once, with their files in random order; return the measurements."""
    say(f"generating {days} days")
    sets = dict(zip(batches(1 + days)[1:], map(files_of, shapes(days, customers)), strict=True))
    wanted: Facts = Counter()
    for batch, files in sets.items():
        wanted += expected(batch, files)
    uploads = [(batch, kind, path) for batch, files in sets.items() for kind, path in files.items()]
    random.Random(days).shuffle(uploads)
    say(f"sending {len(uploads)} files at once")
    deepest, pending, ended = Waiting(0, 0, 0), set(sets), {}
    start, before = time.time(), processor_seconds(stack.emulator)
    deadline = start + PATIENCE_SECONDS
    with ThreadPoolExecutor(UPLOADS) as pool:
        sending = [pool.submit(stack.upload, *upload) for upload in uploads]
        while pending:
            deepest = max(deepest, stack.queue("ingest_queue_url"), key=lambda depth: depth.total)
            for batch in [batch for batch in pending if stack.completed(batch)]:
                pending.remove(batch)
                ended[batch] = time.time() - start
            if time.time() > deadline:
                raise NotExactError(f"{len(pending)} days did not end: {', '.join(sorted(pending))}")
            say(f"{len(ended)} of {days} days have ended")
            time.sleep(POLL_SECONDS)
        for upload in sending:
            upload.result()
    await_messages(stack, wanted.total())
    used = used_since(before, stack.emulator)
    say("receiving and checking the messages")
    received = receive(stack.target)
    check(stack, list(sets), wanted, received.results, kept + wanted)
    return {
        "days": days,
        "customers": customers,
        "files": len(uploads),
        "csv_mb": sum(path.stat().st_size for _, _, path in uploads) / 1e6,
        "deepest": deepest.total,
        "hidden": deepest.hidden,
        "first_ended": min(ended.values()),
        "last_ended": max(ended.values()),
        "last_message": max(max(moments) for moments in received.sent.values()) - start,
        "messages": received.results.total(),
        "cold_starts": stack.cold_starts(start),
        "processor_seconds": used,
    }


def check(stack: Stack, sent: Sequence[str], wanted: Facts, received: Facts, standing: Facts) -> None:
    """Compare the results with the expected ones.

    Raises
    ------
    NotExactError
        A result in the queue or table is lost, doubled or wrong, a batch did not have exactly one successful run, or a
        queue that should be empty is not.
    """
    compare("messages", wanted, received)
    compare("items in the table", standing, outcome.stored(stack.dynamodb, stack.table.name))
    one_each = [(batch, "SUCCEEDED") for batch in sorted(sent)]
    eventually(lambda: stack.executions(sent) == one_each, "the success of one run a day")
    queues = [name for name in stack.target.outputs if name.endswith("dead_letter_queue_url")]
    held = {name: stack.queue(name).total for name in [*queues, "ingest_queue_url"]}
    if any(held.values()):
        raise NotExactError(f"queues that should be empty hold messages: {held}")


def batches(count: int) -> list[str]:
    """Return the names of consecutive days."""
    return [(FIRST_DAY + timedelta(number)).strftime("%Y%m%d") for number in range(count)]


def shapes(days: int, customers: int) -> list[Day]:
    """Return a different shape for each day, so that results of different days can't be confused."""
    return [Day(customers, 1 + number % 5, 1 + number // 5) for number in range(days)]


def files_of(shape: Day) -> dict[Kind, Path]:
    """Generate the files of a day unless they exist."""
    name = f"day-{shape.customers}-{shape.orders_per_customer}-{shape.items_per_order}"
    return generate(shape, SCRATCH / name)


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition returns a true value and return that value.

    Raises
    ------
    NotExactError
        The condition was not met in time.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise NotExactError(f"{what} did not come within {PATIENCE_SECONDS:.0f} seconds")
        time.sleep(POLL_SECONDS)
    return value


def await_messages(stack: Stack, count: int) -> None:
    """Wait until the output queue holds `count` messages or stops growing; the check reports missing ones."""
    most, since = 0, time.monotonic()
    while (there := stack.queue("output_queue_url").total) < count and time.monotonic() - since < STALL_SECONDS:
        if there > most:
            most, since = there, time.monotonic()
        time.sleep(POLL_SECONDS)


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
    return f"""One day of {one["customers"]:,} customers, {one["orders"]:,} orders and {one["items"]:,} items
({one["csv_mb"]:.1f} MB) on the deployed stack, on MiniStack with access rules enforced, every function started cold:
**{end:.1f} seconds from the last upload to the last message**, after {one["upload"]:.1f} seconds of uploading, in which
`intake` and `publish` have their first calls already. Seconds after the last upload:

{table(["stage", "begins", "ends", "takes", "calls", "seconds in the function"], _stage_rows(one))}

All {one["customers"]:,} messages and as many items in the table are those of an independent sum over the files: none is
lost, doubled or wrong. {outcome.CONSUMERS} consumers receive them after the clock has stopped; the time of a message is
the queue's own.
{_emulator(one)}

{many["days"]} days at once, {many["customers"]:,} customers each: {many["files"]} files in random order, {UPLOADS} at a
time, {many["csv_mb"]:.1f} MB. Seconds after the first upload:

{table(["what", "value"], _many_rows(many))}

Each day had one run, which succeeded; every message and item is there once, the day before is as it was, and ingest and
dead-letter queues are empty.{_pace(many)}"""


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


def _emulator(one: Mapping[str, Any]) -> str:
    text = """The emulator sets the pace of publishing: it calls `publish` for one batch of the stream after the other,
where Lambda has four a shard, and a profile of MiniStack 1.5.33 shows 87% of the time that it spends on sending in
going through all earlier deduplication ids, anew for each message."""
    if used := one["processor_seconds"]:
        text += f"""
Its one process was busy for {used["emulator"]:.0f} of the {one["stages"]["publish"][1]:.0f} seconds, all functions
together for {used["functions"]:.0f}."""
    return text


def _pace(many: Mapping[str, Any]) -> str:
    if not (used := many["processor_seconds"]):
        return ""
    return f"""
Here too the emulator's one process sets the pace: it was busy for {used["emulator"]:.0f} of the
{many["last_message"]:.0f} seconds, with sending as above and with {many["cold_starts"]} cold starts, each of which
unpacks the whole package; all functions together for {used["functions"]:.0f}."""


def _many_rows(many: Mapping[str, Any]) -> Iterator[list[str]]:
    yield ["most events seen in the ingest queue", f"{many['deepest']:,}"]
    yield ["of these, in the hands of intake", f"{many['hidden']:,}"]
    yield ["first day COMPLETED", f"{many['first_ended']:.1f}"]
    yield ["last day COMPLETED", f"{many['last_ended']:.1f}"]
    yield ["last message sent", f"{many['last_message']:.1f}"]
    yield ["messages", f"{many['messages']:,}"]
