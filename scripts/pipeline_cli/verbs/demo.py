"""`pipeline demo`: start a local AWS on this machine, deploy the stack, send a sample day and show its results."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.ledger import BatchState, Ledger

from pipeline_cli.deployment import queues
from pipeline_cli.deployment.batches import find_batches, headline, read
from pipeline_cli.deployment.feedback import find_verdict
from pipeline_cli.deployment.following import wait
from pipeline_cli.local import emulator
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError, UsageError
from pipeline_cli.output.summary import Numbers, message_line
from pipeline_cli.terraform import package
from pipeline_cli.terraform import target as targets
from pipeline_cli.terraform.local_stack import LocalStack
from pipeline_cli.terraform.target import LOCAL, ROOT, Target
from pipeline_cli.verbs import feedback, messages, purge, sample, upload

DAY = "20220131"
FOLDER = ROOT / "build" / LOCAL
RUN_SECONDS = 300.0
MESSAGES_SECONDS = 60.0
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
    show_results(target, entry, again=again)


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
        zip_file = package.build(LOCAL).file
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
    if find_batches(target) == ([DAY], []):
        with step("Empty what the last demo left"):
            if problems := [f"{part.name}: {part.problem}" for part in purge.purge(target) if part.problem]:
                reasons = "; ".join(problems)
                raise CommandError(f"What the last demo left could not be emptied: {reasons}.", "See: make purge")
    known = target.table.get_ledger(DAY)
    with step(f"Make a sample day ({DAY}) with some bad records"):
        files = sample.generate(FOLDER / "sample", DAY).files
    with step(f"Upload its {len(files)} files to incoming/"):
        uploads, _ = upload.plan(list(files.values()), DAY)
        upload.send(target, uploads)
    with step("Validate, join, store and announce"):
        (status,) = wait(lambda: read(target, [DAY]), timeout=RUN_SECONDS)
        if status.ledger is None or not status.settled or status.state is not BatchState.COMPLETED:
            cause = status.ledger.cause if status.ledger else ""
            raise CommandError(f"The demo's batch ended {status.state}: {cause}", f"See: make logs BATCH={DAY}")
    return status.ledger, known is not None and known.execution == status.ledger.execution


def show_results(target: Target, entry: Ledger, *, again: bool) -> None:
    """Print the results as tables, and what to try next; `again` is true if the same files had run before."""
    numbers, sqs, url = Numbers.of(entry.summary), target.client("sqs"), target.output("output_queue_url")
    expected = 0 if again else numbers.results + numbers.errors
    with step("Wait for the messages in the output queue and the verdict for the partner"):
        _await(lambda: queues.waiting(sqs, url) >= expected, f"Not all {expected} messages arrived.")
        _await(lambda: target.bucket.head(f"feedback/{DAY}/verdict.json"), "The verdict was not written.")

    out = terminal.out()
    out.print(f"\n{headline(entry)}.\n", soft_wrap=True)
    if again:
        out.print("These very files had been processed before: nothing was written and nothing was sent again.")
    out.print(f"[bold]What the partner reads[/] (feedback/{DAY}/verdict.json)")
    feedback.show(find_verdict(target.bucket, DAY), target.bucket.name)
    out.print(f"\n[bold]Messages in the SQS output queue[/] ({queues.waiting(sqs, url):,} wait, the first {ROWS})")
    for received in messages.peek(sqs, url, ROWS)[0]:
        out.print(message_line(received["Body"]), soft_wrap=True)
    out.print("\n[bold]What to try next[/]")
    for command_line, meaning in NEXT:
        out.print(f"  [cyan]{command_line:<36}[/] {meaning}")


def _await(found: Callable[[], Any], failure: str) -> None:
    deadline = time.monotonic() + MESSAGES_SECONDS
    while not found():
        if time.monotonic() > deadline:
            raise CommandError(failure, f"See: make logs BATCH={DAY}")
        time.sleep(0.2)
