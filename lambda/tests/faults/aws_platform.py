"""AWS as the functions see it, in one process: redelivery, retries and failures, on top of moto.

The rules are those of the services: the ingest queue delivers a message until its function succeeds, at most five
times. Step Functions retries a task depending on the class of its error, and then takes the failure path. The table's
stream is read in order, and again from the first record that was not sent. Time does not pass: waiting is another
round.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import PermanentError
from pipeline.handlers import deliver, finalize, intake, publish, transform
from support import TABLE, Cloud, Context, queued, s3_event

MAX_RECEIVES = 5
TASK_TRIES = 6
ROUNDS = 500


class UnfinishedError(AssertionError):
    """There is still something to do after the maximum number of rounds."""


@dataclass
class Run:
    """An execution of the state machine; `steps` yields once for each wait."""

    name: str
    payload: Mapping[str, Any]
    status: str = "RUNNING"


@dataclass
class Platform:
    """Queues, state machine and stream, which advance step by step."""

    cloud: Cloud
    streams: Any
    ingest: deque[tuple[dict[str, Any], int]] = field(default_factory=deque)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    bodies: list[str] = field(default_factory=list)
    during: dict[str, Callable[[], None]] = field(default_factory=dict)
    invocations: Counter[str] = field(default_factory=Counter)
    stage: str = ""
    stream_batch: int | None = None
    """Maximum number of stream records per call of publish; None for no limit."""
    _iterator: str = ""
    _records: list[dict[str, Any]] = field(default_factory=list)
    _position: int = 0

    def upload(self, files: Mapping[str, bytes], events: Iterable[str] | None = None) -> None:
        """Store files and queue their events; `events` names the files in the order of their events."""
        for name, content in files.items():
            self.cloud.upload(name, content)
        for name in files if events is None else events:
            self.ingest.append((queued(s3_event(f"incoming/{name}")), 1))

    def settle(self) -> None:
        """Process everything until nothing is left to do, and receive the messages."""
        self.work()
        self.bodies += [message["Body"] for message in self.cloud.received()]

    def work(self) -> None:
        """Process everything until nothing is left to do."""
        for _ in range(ROUNDS):
            if not (self.take_events() | self._advance_runs() | self._publish()):
                return
        raise UnfinishedError(
            f"ingest {len(self.ingest)}, runs {[(run.name, run.status) for run in self.runs.values()]}"
        )

    def outcome(self) -> tuple[dict[Any, Any], Counter[str]]:
        """Return what must not depend on faults: the table without the ledger, and the messages."""
        items = self.cloud.items()
        return {key: item for key, item in items.items() if key[1] != "ledger"}, Counter(self.bodies)

    def states(self) -> dict[str, str]:
        """Return the state of each batch, from the ledger."""
        items = self.cloud.items()
        return {pk: item["state"]["S"] for (pk, sk), item in items.items() if sk == "ledger"}

    def _call(self, stage: str, handler: Callable[..., Any], event: dict[str, Any]) -> Any:
        self.stage = stage
        self.invocations[stage] += 1
        try:
            hook = self.during.pop(stage, None)
            if hook:
                hook()
            return handler(event, Context())
        finally:
            self.stage = ""

    def take_events(self) -> bool:
        """Give each waiting event to intake once."""
        waiting, self.ingest = self.ingest, deque()
        for event, receives in waiting:
            try:
                self._call("intake", intake.handler, event)
            except Exception:  # noqa: BLE001 (as Lambda: any failure gives the message back)
                if receives < MAX_RECEIVES:
                    self.ingest.append((event, receives + 1))
                else:
                    self.dead_letters.append(event)
        return bool(waiting)

    def _advance_runs(self) -> bool:
        for name, payload in self.cloud.executions().items():
            self.runs.setdefault(name, Run(name, payload))
        active = [run for run in self.runs.values() if run.status == "RUNNING"]
        for run in active:
            self._advance(run)
        return bool(active)

    def _advance(self, run: Run) -> None:
        """Run an execution to its end, or until it has to wait for another."""
        event = {"batch": run.payload["batch"], "version": run.payload["version"], "execution": run.name}
        try:
            outcome = self._task("transform", transform.handler, {**event, "files": run.payload["files"]})
            if outcome["next"] == "WAIT":
                return
            event["outcome"] = outcome
            if outcome["chunks"]:
                manifest = self.cloud.s3.get_object(Bucket=self.cloud.bucket.name, Key=outcome["manifest"])
                for chunk in json.load(manifest["Body"]):
                    self._task("deliver", deliver.handler, {**event, "chunk": chunk})
        except Exception as error:  # noqa: BLE001 (as Step Functions: States.ALL)
            event["error"] = {"Error": type(error).__name__, "Cause": json.dumps({"errorMessage": str(error)})}
        state = self._task("finalize", finalize.handler, event)["state"]
        run.status = "FAILED" if state == "FAILED" else "SUCCEEDED"
        self._stop(run)

    def _task(self, stage: str, handler: Callable[..., Any], event: dict[str, Any]) -> Any:
        """Call a function as a Task state does: retried unless its error is a permanent one."""
        for last in [False] * (TASK_TRIES - 1) + [True]:
            try:
                return self._call(stage, handler, json.loads(json.dumps(event)))
            except PermanentError:
                raise
            except Exception:
                if last:
                    raise
        raise AssertionError("unreachable")

    def _stop(self, run: Run) -> None:
        self.cloud.stepfunctions.stop_execution(executionArn=self.cloud.workflow.execution_arn(run.name))

    def _publish(self) -> bool:
        """Process the stream's records in order; those that were not sent are processed again in the next round."""
        records = self._changes()[self._position :][: self.stream_batch]
        if not records:
            return False
        try:
            reply = self._call("publish", publish.handler, {"Records": records})
        except Exception:  # noqa: BLE001 (as Lambda: the whole batch comes again)
            return True
        failed = {failure["itemIdentifier"] for failure in reply["batchItemFailures"]}
        taken = next((n for n, r in enumerate(records) if r["dynamodb"]["SequenceNumber"] in failed), len(records))
        self._position += taken
        return True

    def _changes(self) -> list[dict[str, Any]]:
        """Read the stream further; as in DynamoDB, a write that changes nothing has no record."""
        if not self._iterator:
            arn = self.cloud.dynamodb.describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
            (shard,) = self.streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
            self._iterator = self.streams.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
        while (reply := self.streams.get_records(ShardIterator=self._iterator))["Records"]:
            self._iterator = reply["NextShardIterator"]
            self._records += [
                {**record, "eventSource": "aws:dynamodb"}
                for record in reply["Records"]
                if record["dynamodb"].get("OldImage") != record["dynamodb"].get("NewImage")
            ]
        return self._records


def given_up(records: Sequence[Mapping[str, Any]], stream_arn: str, shard: str) -> dict[str, Any]:
    """Return what Lambda puts into the dead-letter queue after it gave up on records of a stream: where they are."""
    place = {
        "shardId": shard,
        "startSequenceNumber": records[0]["dynamodb"]["SequenceNumber"],
        "endSequenceNumber": records[-1]["dynamodb"]["SequenceNumber"],
        "batchSize": len(records),
        "streamArn": stream_arn,
    }
    return {"DDBStreamBatchInfo": place}
