"""`pipeline redrive`: send again what did not arrive: the dead letters, or all messages of a day."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pipeline.ledger import CLOSED

from pipeline_cli.deployment import queues
from pipeline_cli.deployment.republisher import removed, republisher
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import target as targets

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from pipeline_cli.terraform.target import Target

SOURCES = {"ingest_dead_letter_queue_url": "ingest_queue_url", "output_dead_letter_queue_url": "output_queue_url"}
"""Terraform output with the URL of a dead-letter queue → output with the URL of its source queue."""
HIDDEN_SECONDS = 900
"""Visibility timeout of the messages shown: longer than the question whether to delete one waits for an answer."""


@dataclass(frozen=True, slots=True)
class Redriven:
    """How many messages were moved from a dead-letter queue, and how many are left.

    Of those left, `expired` name changes that the table's stream no longer keeps, and `failed` has the reason for each
    that could not be sent. The others are hidden, as another receiver has them.
    """

    queue: str
    back_to: str
    moved: int
    left: int
    expired: int = 0
    failed: tuple[str, ...] = ()


def command(
    batch: Annotated[
        str | None,
        typer.Argument(metavar="BATCH", callback=options.day, help="A day: send all of its messages once more."),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Only show the dead letters: id, queue, age, cause.")] = False,
    delete: Annotated[
        str, typer.Option("--delete", metavar="ID", help="Show the dead letter whose id begins so; asks, and deletes.")
    ] = "",
    yes: options.Yes = False,
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Move the messages in the dead-letter queues back to their source, to be tried again. Safe to repeat.

    For changes that the publish function failed to send, the present content of the table is sent. A message that can't
    be sent does not stop the others. One that fails every time is deleted with --delete.

    With BATCH, for consumers that lost messages: sends the day's current results and errors, and the removals by its
    corrections. Each message keeps its first message_id, so a consumer that stores these ids ignores what it has
    already. This reads the whole table, and asks for the environment's name first, except on local.

    Example: pipeline redrive --list

    Exit codes: 0 all dead-letter queues are empty, or the day is sent, 1 a message is left (the command says which and
    why), there is no such message or batch, a run of it is under way, or the answer was no, 2 BATCH is not a date.
    """
    target = targets.chosen(env)
    if batch:
        _send_again(target, batch, yes=yes)
    elif show or delete:
        with received(target) as found:
            if delete:
                _delete(target, found, delete, yes=yes)
            else:
                _show([_plain(target, output, one) for output, messages in found.items() for one in messages], as_json)
    else:
        _move(target, as_json)


def _send_again(target: Target, batch: str, *, yes: bool) -> None:
    """Send all messages of a batch once more."""
    entry = target.table.get_ledger(batch)
    if entry is None or entry.version is None:
        raise CommandError(f"Batch {batch} has no results: no set of files of it was complete.")
    if entry.state not in CLOSED:
        raise CommandError(
            f"A run of batch {batch} is under way, and what it changes could be overtaken.",
            f"Wait for its end: {hints.command('status', batch, env=target.name)}",
        )
    if not (yes or target.is_local):
        terminal.confirm(target.name, f"This sends all messages of batch {batch} to the consumers once more.")
    count = republisher(target).republish_batch(batch, removed(target.bucket, entry))
    terminal.out().print(f"{terminal.counted(count, 'message')} of batch {batch} sent again.")


# --- the dead letters -----------------------------------------------------------------------------------------------


@contextmanager
def received(target: Target) -> Iterator[dict[str, list[MessageTypeDef]]]:
    """Receive the messages of each dead-letter queue, by its Terraform output; put them back at the end of the block.

    A dead-letter queue has no dead-letter queue itself, so receiving never moves a message.
    """
    sqs = target.client("sqs")
    found: dict[str, list[MessageTypeDef]] = {output: [] for output in queues.DEAD_LETTERS}
    try:
        for output, messages in found.items():
            for message in queues.receive_each(sqs, target.output(output), HIDDEN_SECONDS):
                messages.append(message)
        yield found
    finally:
        for output, messages in found.items():
            queues.put_back(sqs, target.output(output), messages)


def _plain(target: Target, output: str, message: MessageTypeDef) -> dict[str, Any]:
    """Return a message as plain values; `sent_at` of a FIFO queue is when it was moved to the dead-letter queue."""
    sent = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
    return {
        "queue": queues.name(target.output(output)),
        "id": message["MessageId"],
        "cause": "; ".join([queues.DEAD_LETTERS[output], *_details(message)]),
        "sent_at": sent.isoformat(timespec="seconds"),
        "body": message["Body"],
    }


def _details(message: MessageTypeDef) -> Iterator[str]:
    """Yield what the message says about its cause in its body, as Lambda and publish write it."""
    try:
        body = json.loads(message["Body"])
        if "cause" in body:
            yield f"SQS refused its message: {body['cause']['code']} {body['cause']['message']}"
        context = body["requestContext"]
        yield f"{context['condition']} after {context['approximateInvokeCount']} tries"
    except (ValueError, KeyError, TypeError):
        return


def _show(known: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        terminal.print_json(known)
    elif not known:
        terminal.err().print("The dead-letter queues are empty.")
    else:
        now, table = datetime.now(UTC), terminal.table("Id", "Queue", "Age", "Cause", numbers=("Age",))
        for one in known:
            age = terminal.duration((now - datetime.fromisoformat(one["sent_at"])).total_seconds())
            table.add_row(one["id"][:8], one["queue"], age, terminal.shown(one["cause"]))
        terminal.print_table(table)


def _delete(target: Target, found: dict[str, list[MessageTypeDef]], start: str, *, yes: bool) -> None:
    """Show the one message whose id begins with `start`, ask, and delete it."""
    chosen = [(output, one) for output, messages in found.items() for one in messages]
    chosen = [(output, one) for output, one in chosen if one["MessageId"].startswith(start)]
    if len(chosen) != 1:
        several = f"{len(chosen)} messages have an id that begins with {start}." if chosen else ""
        raise CommandError(several or f"No message has the id {start}.", "Nothing was deleted.")
    ((output, message),) = chosen
    terminal.out().print(f"{message['MessageId']}: {terminal.shown(message['Body'])}", soft_wrap=True)
    if not (yes or terminal.agreed("Delete this message? Its content is lost.")):
        raise CommandError("Nothing was deleted.")
    target.client("sqs").delete_message(QueueUrl=target.output(output), ReceiptHandle=message["ReceiptHandle"])
    found[output].remove(message)
    terminal.err().print("Deleted.")


def _move(target: Target, as_json: bool) -> None:
    results = redrive_all(target)
    if as_json:
        terminal.print_json([asdict(result) for result in results])
    else:
        table = terminal.table("Dead-letter queue", "Moved", "Left", "Back to", numbers=("Moved", "Left"))
        for result in results:
            table.add_row(result.queue, f"{result.moved:,}", f"{result.left:,}", result.back_to)
        terminal.print_table(table)
    if problems := [problem for result in results for problem in _problems(result, target.name)]:
        raise CommandError(". ".join(problems) + ".")


def redrive_all(target: Target) -> list[Redriven]:
    """Empty all dead-letter queues: two back into the queues from which they came, publish's from the table."""
    sqs, url = target.client("sqs"), target.output("publish_dead_letter_queue_url")
    moved = [redrive(sqs, target.output(dead), target.output(source)) for dead, source in SOURCES.items()]
    done = republisher(target).republish(url)
    records = f"the output queue ({terminal.counted(done.records, 'record')})"
    left = queues.waiting(sqs, url)
    return [*moved, Redriven(queues.name(url), records, done.messages, left, done.expired, done.failed)]


def redrive(sqs: SQSClient, dead_letter_url: str, source_url: str) -> Redriven:
    """Move all messages of a dead-letter queue back to its source: send each, then delete it.

    SQS's own move task would tell neither which message it could not move nor why.
    """

    def send(message: MessageTypeDef) -> None:
        fifo: dict[str, Any] = {}
        if source_url.endswith(".fifo"):
            # A new deduplication id: the source queue may still know the first one and would drop the message.
            fifo = {
                "MessageGroupId": message["Attributes"]["MessageGroupId"],
                "MessageDeduplicationId": f"redrive-{message['MessageId']}",
            }
        attributes = message.get("MessageAttributes", {})
        sqs.send_message(QueueUrl=source_url, MessageBody=message["Body"], MessageAttributes=attributes, **fifo)

    moved, failed = queues.settle(sqs, dead_letter_url, send)
    reasons = tuple(f"{message}: {error}" for message, error in failed.items())
    left = queues.waiting(sqs, dead_letter_url)
    return Redriven(queues.name(dead_letter_url), queues.name(source_url), moved, left, failed=reasons)


def _problems(result: Redriven, env: str) -> Iterator[str]:
    """Yield sentences that say how many messages are left in a queue and why."""

    def of_these(count: int) -> str:
        return f"{terminal.counted(count, 'message')} in {result.queue}"

    delete = hints.command("redrive", "--delete", "ID", env=env)
    if result.failed:
        yield f"{of_these(len(result.failed))} can't be sent ({result.failed[0]}): {delete} shows one and deletes it"
    if result.expired:
        again = hints.command("redrive", "BATCH", env=env)
        yield (
            f"{of_these(result.expired)} expired: the table's stream keeps a change for 24 hours. The table is right; "
            f"{again} sends a day's results again, then delete these messages ({delete})"
        )
    if hidden := result.left - result.expired - len(result.failed):
        # SQS counts are approximate: messages that were just moved may still count as hidden until the next run.
        yield f"{of_these(hidden)} hidden, as another client has received it: run again in 60 s"
