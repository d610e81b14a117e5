"""A deployed stack on its own emulator, and the operations that the tests need."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts import check_message
from pipeline.aws.dynamodb import Table
from pipeline.aws.s3 import Bucket
from pipeline.aws.workflow import Workflow
from pipeline.ledger import CLOSED, Ledger
from pipeline.model.data_model import MODEL
from pipeline.model.file_set import set_version
from pipeline.model.items import notice_item
from pipeline_cli.deployment.queues import in_tens, waiting
from pipeline_cli.terraform.target import Target

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.05
MAX_POLL_SECONDS = 0.5
"""The pause between two looks grows up to this: what is awaited for long needs the processors itself."""
ROOM_BYTES = 4 << 30
"""Ten days at once have some 20 processes, which take 2 GB."""
MARKER = "marker"


def eventually(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until a condition holds and return its value; fail with `what` when it never does."""
    deadline, pause = time.monotonic() + seconds, POLL_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} seconds"
        time.sleep(pause)
        pause = min(pause * 1.25, MAX_POLL_SECONDS)
    return value


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """Create a folder for a stack, in memory if there is room: each process of a function unpacks 84 MB there."""
    memory = Path("/dev/shm")  # Linux
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > ROOM_BYTES
    with tempfile.TemporaryDirectory(prefix="csv-pipeline-", dir=memory if has_room else None) as folder:
        yield Path(folder)


@dataclass
class Stack:
    """A deployed stack, seen from outside: as the partner, the operator and a consumer see it."""

    target: Target
    received: list[dict[str, Any]] = field(default_factory=list)
    """Messages that consumers have seen: body, batch, refused records, and the time sent in Unix seconds."""
    _markers: set[str] = field(default_factory=set)
    _consumer: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.s3 = self.target.client("s3")
        self.sqs = self.target.client("sqs")
        self.dynamodb = self.target.client("dynamodb")
        self.stepfunctions = self.target.client("stepfunctions")
        self.bucket = Bucket(self.target.output("bucket_name"), self.s3)
        self.table = Table(self.target.output("table_name"), self.dynamodb)
        self.workflow = Workflow(self.target.output("state_machine_arn"), self.stepfunctions)

    def upload(self, files: Mapping[str, bytes]) -> None:
        """Store files under incoming/, in this order."""
        for name, content in files.items():
            self.s3.put_object(Bucket=self.bucket.name, Key=f"incoming/{name}", Body=content)

    def ended(self, batch: str, seconds: float = PATIENCE_SECONDS) -> Ledger:
        """Wait until the run of the files that are there now has ended and return the batch's ledger entry.

        Files come one by one, so a set of new and old ones may have its own run on the way to the last.
        """

        def look() -> Ledger | None:
            entry = self.table.get_ledger(batch)
            if entry is None or entry.state not in CLOSED or entry.holder is not None:
                return None
            files = self.bucket.find_set(batch)
            return entry if len(files) < len(MODEL.kinds) or set_version(files) == entry.version else None

        entry: Ledger = eventually(look, f"the end of batch {batch}", seconds)
        return entry

    def items(self, batch: str = "") -> dict[tuple[str, str], dict[str, Any]]:
        """Everything that the table holds of a batch, or of all, but the ledger, by key, in DynamoDB JSON."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.table.name, ConsistentRead=True)
        return {
            (item["pk"]["S"], item["sk"]["S"]): item
            for page in pages
            for item in page["Items"]
            if batch in item["pk"]["S"] + item["sk"]["S"] and item["sk"]["S"] != "ledger"
        }

    def receive_all(self) -> None:
        """Receive messages until those of all changes so far have come.

        A marker item is processed like every change; when its message arrives, those of all earlier changes have
        arrived.
        """
        marker = self.mark()

        def marked() -> bool:
            with self._consumer:
                self._drain()
                return marker in self._markers

        eventually(marked, "the marker's message")

    def mark(self) -> str:
        """Cause a message that means nothing, and return its code."""
        marker = f"m{uuid.uuid4().hex}"
        self.table.put(notice_item(None, "marker", marker, MARKER) | {"pk": "batch#marker"})
        return marker

    def messages(self, batch: str) -> list[dict[str, Any]]:
        """Return the bodies of all messages of a batch that consumers have seen, after everything is sent."""
        self.receive_all()
        return [json.loads(message["body"]) for message in self.received if message["batch"] == batch]

    def incomplete_totals(self, batch: str) -> dict[str, str | None]:
        """Return the number of refused records in the last message about each customer of a batch."""
        self.messages(batch)
        return {
            body["customer_reference"]: message["refused_records"]
            for message in self.received
            if message["batch"] == batch and (body := json.loads(message["body"]))["type"] == "customer_message"
        }

    def counted(self, batch: str) -> Counter[str]:
        """Return the messages of a batch as a multiset of their texts."""
        return Counter(json.dumps(body, sort_keys=True) for body in self.messages(batch))

    def _drain(self) -> None:
        """Consume what can be received now, as a consumer does."""
        url = self.target.output("output_queue_url")
        while found := self.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=0,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        ).get("Messages"):
            for message in found:
                self._take(message)
            receipts = [message["ReceiptHandle"] for message in found]
            kept = in_tens(receipts, lambda entries: self.sqs.delete_message_batch(QueueUrl=url, Entries=entries))
            assert not kept, f"{kept} messages could not be deleted"

    def _take(self, message: MessageTypeDef) -> None:
        check_message(message)
        body = json.loads(message["Body"])
        if body.get("message") == MARKER:
            self._markers.add(body["code"])
            return
        attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
        self.received.append(
            {
                "body": message["Body"],
                "batch": attributes["batch"],
                "refused_records": attributes.get("refused_records"),
                "sent": int(message["Attributes"]["SentTimestamp"]) / 1000,
            }
        )

    def invoke(self, part: str, event: dict[str, Any]) -> Any:
        """Call one of the functions and return its reply."""
        reply = self.target.client("lambda").invoke(
            FunctionName=self.target.output("function_names")[part], Payload=json.dumps(event).encode()
        )
        answer = json.load(reply["Payload"])
        assert "FunctionError" not in reply, answer
        return answer

    def dead_letters(self) -> dict[str, int]:
        """Count the messages in each dead-letter queue."""
        names = [name for name in self.target.outputs if name.endswith("dead_letter_queue_url")]
        return {name: waiting(self.sqs, self.target.output(name)) for name in names}

    def executions(self, batch: str) -> dict[str, str]:
        """Return the state of each run of a batch, by name."""
        pages = self.stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=self.workflow.arn)
        return {
            run["name"]: run["status"] for page in pages for run in page["executions"] if run["name"].startswith(batch)
        }
