"""`pipeline redrive`: move the messages in the dead-letter queues back to their source queues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

    from pipeline_cli.terraform.target import Target

SOURCES = {"ingest_dead_letter_queue_url": "ingest_queue_url", "output_dead_letter_queue_url": "output_queue_url"}
"""Terraform output with the URL of a dead-letter queue → output with the URL of its source queue."""


@dataclass(frozen=True, slots=True)
class Redriven:
    """How many messages were moved from a dead-letter queue back to its source, and how many are left.

    `failed` has the reason for each message that could not be sent. The other remaining messages are hidden, as another
    receiver has them.
    """

    queue: str
    source: str
    moved: int
    left: int
    failed: tuple[str, ...] = ()


def command(env: options.Env = "", as_json: options.Json = False) -> None:
    """Move the messages in the dead-letter queues back to their source, to be tried again. Safe to repeat.

    For changes that the publish function failed to send, the present content of the table is sent. A message that can't
    be sent does not stop the others. The command names what is left and why.

    Example: pipeline redrive

    Exit codes: 0 all dead-letter queues are empty, 1 a message is left in one.
    """
    target = targets.chosen(env)
    results = redrive_all(target)
    queue = target.output("publish_dead_letter_queue_url")
    republished = republisher(target).republish(queue)
    left = queues.waiting(target.client("sqs"), queue).total
    if as_json:
        terminal.print_json(
            {"queues": [asdict(result) for result in results], "publish": asdict(republished) | {"left": left}}
        )
    else:
        table = terminal.table("Dead-letter queue", "Moved", "Left", "Back to", numbers=("Moved", "Left"))
        for result in results:
            table.add_row(result.queue, f"{result.moved:,}", f"{result.left:,}", result.source)
        records = terminal.counted(republished.records, "record")
        table.add_row(queues.name(queue), f"{republished.messages:,}", f"{left:,}", f"the output queue ({records})")
        terminal.print_table(table)
    problems = [problem for result in results for problem in _problems(result.queue, result.left, result.failed, env)]
    problems += _problems(queues.name(queue), left - republished.expired, republished.failed, env)
    if republished.expired:
        again = hints.command("republish", "BATCH", env=env)
        problems.append(
            f"{terminal.counted(republished.expired, 'message')} in {queues.name(queue)} expired: the table's stream "
            f"no longer keeps those changes (24 hours). The table is right; {again} sends its results of a day again, "
            f"then delete these messages ({hints.command('dead-letters', '--delete', 'ID', env=env)})"
        )
    if problems:
        raise CommandError(". ".join(problems) + ".")


def redrive_all(target: Target) -> list[Redriven]:
    """Redrive the dead-letter queues whose messages come from a queue (publish's come from the table's stream)."""
    sqs = target.client("sqs")
    return [redrive(sqs, target.output(dead), target.output(source)) for dead, source in SOURCES.items()]


def redrive(sqs: SQSClient, dead_letter_url: str, source_url: str) -> Redriven:
    """Move all messages of a dead-letter queue back to its source: send each, then delete it. Safe to repeat.

    A message that can't be sent stays and does not stop the others. SQS's own move task would tell neither which
    message it could not move nor why.
    """
    moved, stays, failed = 0, list[str](), list[str]()
    try:
        for message in queues.receive_each(sqs, dead_letter_url):
            fifo: dict[str, Any] = {}
            if source_url.endswith(".fifo"):
                # A new deduplication id: the source queue may still know the first one and would drop the message.
                fifo = {
                    "MessageGroupId": message["Attributes"]["MessageGroupId"],
                    "MessageDeduplicationId": f"redrive-{message['MessageId']}",
                }
            try:
                sqs.send_message(
                    QueueUrl=source_url,
                    MessageBody=message["Body"],
                    MessageAttributes=message.get("MessageAttributes", {}),
                    **fifo,
                )
            except (ClientError, ParamValidationError) as error:
                stays.append(message["ReceiptHandle"])
                failed.append(f"{message['MessageId']}: {error}")
                continue
            sqs.delete_message(QueueUrl=dead_letter_url, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    finally:
        queues.put_back(sqs, dead_letter_url, stays)
    left = queues.waiting(sqs, dead_letter_url).total
    return Redriven(queues.name(dead_letter_url), queues.name(source_url), moved, left, tuple(failed))


def _problems(queue: str, left: int, failed: Sequence[str], env: str) -> Iterator[str]:
    """Yield sentences that say how many messages are left in a queue and why."""
    if failed:
        see = hints.command("dead-letters", env=env)
        yield f"{terminal.counted(len(failed), 'message')} in {queue} can't be sent ({failed[0]}): see {see}"
    if hidden := left - len(failed):
        # SQS counts are approximate: messages that were just moved may still count as hidden until the next run.
        hidden_ones = terminal.counted(hidden, "message")
        yield f"{hidden_ones} in {queue} hidden, as another client has received it: run again in 60 s"
