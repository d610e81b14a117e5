"""`pipeline demo`: start a local AWS on this machine, deploy the stack, send a sample day and show its results."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.aws.dynamodb import plain_item
from pipeline.aws.s3 import Bucket
from pipeline.ledger import BatchState, Ledger
from pipeline.model.items import REFUSED_RECORDS
from pipeline.model.messages import number_text

from pipeline_cli.deployment.batch_errors import Fault, find, group, show
from pipeline_cli.deployment.batches import duration_of, find_batches
from pipeline_cli.deployment.feedback import find_verdict
from pipeline_cli.deployment.follow import wait
from pipeline_cli.deployment.messages import Peek, line, look
from pipeline_cli.deployment.purge import purge
from pipeline_cli.deployment.queues import waiting
from pipeline_cli.deployment.recognise import plan
from pipeline_cli.deployment.sample import generate
from pipeline_cli.deployment.send import send
from pipeline_cli.local import emulator
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError, UsageError
from pipeline_cli.output.summary import Numbers, amount, files_table, reconciliation
from pipeline_cli.terraform import package
from pipeline_cli.terraform import target as targets
from pipeline_cli.terraform.local_stack import LocalStack
from pipeline_cli.terraform.target import LOCAL, ROOT, Target

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

DAY = "20220131"
FOLDER = ROOT / "build" / LOCAL
MESSAGES_SECONDS = 60.0
VERDICT_SECONDS = 10.0
ROWS = 5

NEXT = (
    ("make upload FILE=my.csv", "send a file of your own; a partner's name for it will do"),
    ("make status", "every batch: files, state, counts"),
    (f"make errors BATCH={DAY}", "all that was wrong, by cause"),
    (f".venv/bin/pipeline feedback {DAY}", "the verdict that the partner reads"),
    (f"make report BATCH={DAY}", "all about a day on one page, with charts"),
    ("make messages", "what waits in the output queue"),
    (f"make logs BATCH={DAY}", "what the functions said, in order"),
    ("make purge", "empty the bucket, the queues and the table"),
    ("make tf-destroy", "remove the stack; make clean stops the local AWS too"),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a demo shows: the ledger entry, customers, errors, messages and the partner's verdict.

    `again` is true if the pipeline had processed the same files before.
    """

    entry: Ledger
    customers: Sequence[dict[str, Any]]
    errors: Sequence[Fault]
    messages: Peek
    verdict: Mapping[str, Any]
    again: bool


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show a step while it runs, then how long it took."""
    console, start = terminal.err(), time.monotonic()
    with console.status(f"{title}…"):
        yield
    console.print(f"[green]✓[/] {title:<58} [dim]{time.monotonic() - start:>6.1f} s[/]")


def deploy() -> Target:
    """Start the local AWS, build the package and apply the stack; what exists already is kept."""
    port = emulator.port_from_environment()
    with step("Start the local AWS (MiniStack, access rules enforced)"):
        emulator.Emulator(FOLDER).start(port)
    with step("Build the Lambda package"):
        zip_file = package.build(LOCAL, quiet=True).file
    stack = LocalStack(quiet=True)
    with step("Initialise Terraform with the offline AWS provider"):
        stack.init()
    with step("Apply the stack"):
        return stack.apply(zip_file, port)


def send_sample(target: Target) -> tuple[Ledger, bool]:
    """Send the sample day and wait until its run ends. Return its ledger entry, and whether it had run before.

    The data of an earlier demo is deleted first, so that every demo shows the same. If there are other batches or
    files, nothing is deleted and the day is sent again.
    """
    s3, bucket, table = target.client("s3"), target.bucket, target.table
    if find_batches(s3, bucket.name) == ([DAY], []):
        with step("Empty what the last demo left"):
            _check_empty(target)
    known = table.get_ledger(DAY)
    with step(f"Make a sample day ({DAY}) with some bad records"):
        files = generate(FOLDER / "sample", DAY).files
    with step("Upload its three files to incoming/"):
        uploads, _ = plan(list(files.values()), DAY)
        send(s3, bucket.name, uploads, lambda *_: None)
    with step("Validate, join, store and announce"):
        result = wait(bucket, table, DAY, lambda _: None, timeout=300)
    if result.ledger is None or result.state is not BatchState.COMPLETED:
        cause = result.ledger.cause if result.ledger else ""
        raise CommandError(f"The demo's batch ended {result.state}: {cause}", f"See: make logs BATCH={DAY}")
    return result.ledger, known is not None and known.execution == result.ledger.execution


def _check_empty(target: Target) -> None:
    problems = [result for result in purge(target, lambda *_: None) if result.left or result.problems]
    if problems:
        reasons = "; ".join(f"{result.name} {', '.join(result.problems)}".strip() for result in problems)
        raise CommandError(f"What the last demo left could not be emptied: {reasons}.", "See: make purge")


def gather(target: Target, entry: Ledger, *, again: bool) -> Shown:
    """Read the results from the table, and the messages from the queue once all of them have been published."""
    dynamodb, name = target.client("dynamodb"), target.output("table_name")
    sqs, url = target.client("sqs"), target.output("output_queue_url")
    numbers = Numbers.of(entry.summary)
    if not again:
        with step("Wait for the messages in the output queue"):
            _await_messages(sqs, url, numbers.customers + numbers.errors)
    errors = find(dynamodb, name, DAY)
    with step("Wait for the verdict for the partner"):
        verdict = _await_verdict(target.bucket)
    try:
        seen = look(target)
    except CommandError:  # earlier looks used up the receives that the queue allows: leave the messages alone
        seen = Peek([], waiting(sqs, url).visible, None)
    return Shown(entry, customers_of(dynamodb, name, DAY), errors, seen, verdict, again)


def _await_messages(sqs: SQSClient, url: str, expected: int) -> None:
    deadline = time.monotonic() + MESSAGES_SECONDS
    while (there := waiting(sqs, url).total) < expected:
        if time.monotonic() > deadline:
            raise CommandError(f"Only {there} of {expected} messages arrived.", f"See: make logs BATCH={DAY}")
        time.sleep(0.2)


def _await_verdict(bucket: Bucket) -> dict[str, Any]:
    """Wait for the verdict, which is written shortly after the run is closed."""
    deadline = time.monotonic() + VERDICT_SECONDS
    while True:
        try:
            return find_verdict(bucket, DAY)
        except CommandError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def customers_of(dynamodb: DynamoDBClient, table: str, batch: str) -> list[dict[str, Any]]:
    """Read a batch's results, the largest spenders first. It scans the whole table, which only a demo may do."""
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table,
        FilterExpression="sk = :sk AND begins_with(pk, :pk)",
        ExpressionAttributeValues={":sk": {"S": f"batch#{batch}"}, ":pk": {"S": "customer#"}},
    )
    items = [plain_item(item) for page in pages for item in page["Items"]]
    return sorted(items, key=lambda item: (-item["total_amount_spent"], item["customer_reference"]))


def _first_customers(customers: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Return the first rows; if none of them has an incomplete total, replace the last by one that has."""
    rows, rest = customers[:ROWS], customers[ROWS:]
    incomplete = next((item for item in rest if REFUSED_RECORDS in item), None)
    if incomplete is None or any(REFUSED_RECORDS in item for item in rows):
        return rows
    return [*rows[:-1], incomplete]


def show_results(shown: Shown) -> None:
    """Print the results as tables, and what to try next."""
    out, summary = terminal.out(), shown.entry.summary
    numbers = Numbers.of(summary)
    seconds = duration_of(shown.entry) or 0
    out.print(
        f"\n[bold]Batch {DAY} [green]{shown.entry.state}[/] in {terminal.duration(seconds)}[/]: {numbers.sentence()}.",
        soft_wrap=True,
    )
    if shown.again:
        out.print("These very files had been processed before: nothing was written and nothing was sent again.")
    out.print(f"{reconciliation(summary)}.\n", soft_wrap=True)
    out.print(files_table(summary))

    out.print(f"\n[bold]Results in the DynamoDB table[/] (the first {ROWS} of {numbers.customers:,} customers)")
    table = terminal.table("Customer", "Orders", "Spent", "", numbers=("Orders", "Spent"))
    for item in _first_customers(shown.customers):
        orders, spent = item["number_of_orders"], number_text(item["total_amount_spent"])
        lost = int(item.get(REFUSED_RECORDS, 0))
        note = f"[yellow]incomplete: {terminal.counted(lost, 'refused record')}[/]" if lost else ""
        table.add_row(terminal.shown(item["customer_reference"]), f"{orders:,}", amount(spent), note)
    out.print(table)

    out.print(f"\n[bold]Errors[/] ({numbers.errors:,}, by cause, one example each)")
    show(group(shown.errors, 1, summary), more=False)

    out.print(f"\n[bold]What the partner reads[/] (feedback/{DAY}/verdict.json, and the refused records)")
    out.print(terminal.shown(shown.verdict["what_to_do"]), soft_wrap=True)

    types = [message.fields.get("type") for message in shown.messages.messages]
    out.print(
        f"\n[bold]Messages in the SQS output queue[/] ({shown.messages.waiting:,} wait, the first {ROWS} and errors)"
    )
    for message in shown.messages.messages[:ROWS]:
        out.print(line(message), soft_wrap=True)
    for message in [m for m, kind in zip(shown.messages.messages, types, strict=True) if kind == "error_message"][:3]:
        out.print(line(message), soft_wrap=True)

    out.print("\n[bold]What to try next[/]")
    for command_line, meaning in NEXT:
        out.print(f"  [cyan]{command_line:<36}[/] {meaning}")


def command(env: options.Env = "") -> None:
    """Show the pipeline at work on this machine.

    Starts a local AWS, deploys the stack to it, sends a sample day with some bad records and shows the results, the
    errors and the messages. A second run takes seconds and shows the same.

    Example: pipeline demo

    Exit codes: 0 shown, 1 a step failed, 2 the target is not local.
    """
    if env != LOCAL:
        raise UsageError(f"The demo runs on the local AWS only, not on {env}.", "Run: make demo")
    os.environ.pop("AWS_PROFILE", None)
    target = deploy()
    targets.announce(target)
    entry, again = send_sample(target)
    show_results(gather(target, entry, again=again))
