"""`pipeline redrive`: move the messages in the dead-letter queues back to their source queues."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ParamValidationError

from pipeline_cli.deployment import queues
from pipeline_cli.deployment.republisher import republisher
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import target as targets

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from pipeline_cli.terraform.target import Target

SOURCES = {"ingest_dead_letter_queue_url": "ingest_queue_url", "output_dead_letter_queue_url": "output_queue_url"}
"""Terraform output with the URL of a dead-letter queue → output with the URL of its source queue."""


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


def command(env: options.Env = "", as_json: options.Json = False) -> None:
    """Move the messages in the dead-letter queues back to their source, to be tried again. Safe to repeat.

    For changes that the publish function failed to send, the present content of the table is sent. A message that can't
    be sent does not stop the others.

    Example: pipeline redrive

    Exit codes: 0 all dead-letter queues are empty, 1 a message is left: the command says which and why.
    """
    target = targets.chosen(env)
    results = [*redrive_all(target), _republish(target)]
    if as_json:
        terminal.print_json([asdict(result) for result in results])
    else:
        table = terminal.table("Dead-letter queue", "Moved", "Left", "Back to", numbers=("Moved", "Left"))
        for result in results:
            table.add_row(result.queue, f"{result.moved:,}", f"{result.left:,}", result.back_to)
        terminal.print_table(table)
    if problems := [problem for result in results for problem in _problems(result, env)]:
        raise CommandError(". ".join(problems) + ".")


def redrive_all(target: Target) -> list[Redriven]:
    """Redrive the dead-letter queues whose messages come from a queue (publish's come from the table's stream)."""
    sqs = target.client("sqs")
    return [redrive(sqs, target.output(dead), target.output(source)) for dead, source in SOURCES.items()]


def redrive(sqs: SQSClient, dead_letter_url: str, source_url: str) -> Redriven:
    """Move all messages of a dead-letter queue back to its source: send each, then delete it.

    A message that can't be sent stays and does not stop the others. SQS's own move task would tell neither which
    message it could not move nor why.
    """
    moved, stays, failed = 0, list["MessageTypeDef"](), list[str]()
    try:
        for message in queues.receive_each(sqs, dead_letter_url):
            fifo: dict[str, Any] = {}
            if source_url.endswith(".fifo"):
                # A new deduplication id: the source queue may still know the first one and would drop the message.
                fifo = {
                    "MessageGroupId": message["Attributes"]["MessageGroupId"],
                    "MessageDeduplicationId": f"redrive-{message['MessageId']}",
                }
            attributes = message.get("MessageAttributes", {})
            try:
                sqs.send_message(QueueUrl=source_url, MessageBody=message["Body"], MessageAttributes=attributes, **fifo)
            except (ClientError, ParamValidationError) as error:
                stays.append(message)
                failed.append(f"{message['MessageId']}: {error}")
                continue
            sqs.delete_message(QueueUrl=dead_letter_url, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    finally:
        queues.put_back(sqs, dead_letter_url, stays)
    left = queues.waiting(sqs, dead_letter_url)
    return Redriven(queues.name(dead_letter_url), queues.name(source_url), moved, left, failed=tuple(failed))


def _republish(target: Target) -> Redriven:
    url = target.output("publish_dead_letter_queue_url")
    done = republisher(target).republish(url)
    records = f"the output queue ({terminal.counted(done.records, 'record')})"
    left = queues.waiting(target.client("sqs"), url)
    return Redriven(queues.name(url), records, done.messages, left, done.expired, done.failed)


def _problems(result: Redriven, env: str) -> Iterator[str]:
    """Yield sentences that say how many messages are left in a queue and why."""

    def of_these(count: int) -> str:
        return f"{terminal.counted(count, 'message')} in {result.queue}"

    if result.failed:
        see = hints.command("dead-letters", env=env)
        yield f"{of_these(len(result.failed))} can't be sent ({result.failed[0]}): see {see}"
    if result.expired:
        again = hints.command("republish", "BATCH", env=env)
        delete = hints.command("dead-letters", "--delete", "ID", env=env)
        yield (
            f"{of_these(result.expired)} expired: the table's stream keeps a change for 24 hours. The table is right; "
            f"{again} sends a day's results again, then delete these messages ({delete})"
        )
    if hidden := result.left - result.expired - len(result.failed):
        # SQS counts are approximate: messages that were just moved may still count as hidden until the next run.
        yield f"{of_these(hidden)} hidden, as another client has received it: run again in 60 s"
