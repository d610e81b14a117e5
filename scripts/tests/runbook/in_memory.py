"""The pipeline and its operator on an AWS in memory: functions, queues, runs and stream at work, commands typed."""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from faults.aws_platform import Platform, Run, given_up
from pipeline import observability
from pipeline.handlers import finalize, intake, publish, transform
from pipeline_cli.deployment import following
from support import REGION, load_event, queued, s3_event
from typer.testing import Result

from scripts.tests.runbook.scenario import Operator
from scripts.tests.support import FUNCTIONS, MotoTarget, Stack
from scripts.tests.support import Run as CommandLine

DAY = "20220131"
PAUSE_SECONDS = 0.05
HANDLERS: Mapping[str, Callable[..., Any]] = {
    "intake": intake.handler,
    "finalize": finalize.handler,
    "publish": publish.handler,
}


@dataclass
class DeployedPlatform(Platform):
    """The platform with real queues for events and dead letters, logs and metrics; functions can lack a setting."""

    stack: Any = None
    broken: set[str] = field(default_factory=set)
    """Functions without the setting TABLE_NAME."""
    metrics: Counter[str] = field(default_factory=Counter)
    console: io.StringIO = field(default_factory=io.StringIO)

    def _call(self, stage: str, handler: Callable[..., Any], event: dict[str, Any]) -> Any:
        with pytest.MonkeyPatch.context() as environment, redirect_stdout(self.console):
            if stage in self.broken:
                environment.delenv("TABLE_NAME")
            try:
                return super()._call(stage, handler, event)
            except Exception:
                self.metrics[f"Errors {stage}"] += 1
                raise
            finally:
                self._log(stage)

    def invoke(self, stage: str, handler: Callable[..., Any], event: dict[str, Any]) -> Any:
        """Call a function directly, as EventBridge or a command does."""
        return self._call(stage, handler, event)

    def _log(self, stage: str) -> None:
        """Store what a function printed in its log group, and count its metrics as CloudWatch does."""
        lines = self.console.getvalue().splitlines()
        self.console.seek(0)
        self.console.truncate()
        for line in lines:
            fields = json.loads(line)
            for directive in fields.get("_aws", {}).get("CloudWatchMetrics", ()):
                for metric in directive["Metrics"]:
                    self.metrics[metric["Name"]] += sum(fields[metric["Name"]])
        if lines:
            now = int(time.time() * 1000)
            events = [{"timestamp": now, "message": line} for line in lines]
            self.stack.client("logs").put_log_events(
                logGroupName=f"/aws/lambda/{stage}", logStreamName="stream", logEvents=events
            )

    def take_events(self) -> bool:
        sqs, url = self.stack.client("sqs"), self.stack.url("ingest")
        self.ingest += [(queued(message["Body"]), 1) for message in self.cloud.received(url)]
        taken = super().take_events()
        while self.dead_letters:
            body = self.dead_letters.pop()["Records"][0]["body"]
            sqs.send_message(QueueUrl=self.stack.url("ingest_dead_letter"), MessageBody=body)
        return taken

    def _advance_runs(self) -> bool:
        before = [run for run in self.runs.values() if run.status != "RUNNING"]
        super()._advance_runs()
        ended = [run for run in self.runs.values() if run.status != "RUNNING" and run not in before]
        self.metrics["ExecutionsFailed"] += sum(run.status == "FAILED" for run in ended)
        return bool(ended)  # a run that has to wait for another goes on when the command that follows it waits

    def _publish(self) -> bool:
        if "publish" in self.broken and self.changes_waiting():
            super()._publish()
            return False  # Lambda tries again later, and does not go on before
        return super()._publish()

    def pass_time(self, _: float = 0) -> None:
        """Let everything happen while a command waits."""
        time.sleep(PAUSE_SECONDS)
        self.work()

    def changes_waiting(self) -> int:
        """How many records of the stream publish has not processed."""
        return len(self._changes()) - self._position

    def give_up(self) -> None:
        """Do what Lambda does after 12 hours of failures of publish: name the records in the dead-letter queue."""
        records = self._changes()[self._position :]
        self._position = len(self._changes())
        arn = self.cloud.dynamodb.describe_table(TableName=self.cloud.table.name)["Table"]["LatestStreamArn"]
        (shard,) = self.streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        self.stack.send(given_up(records, arn, shard["ShardId"]), queue="publish_dead_letter")

    def lose(self) -> None:
        """Forget what publish has not processed: the stream and the dead-letter queue keep nothing of it."""
        self._position = len(self._changes())
        self.metrics["DestinationDeliveryFailures"] += 1

    def end(self, status: str, *, notice: bool = True) -> None:
        """End the run that is under way after its transform, as Step Functions or a person does."""
        self.take_events()
        ((name, payload),) = self.cloud.executions().items()
        event = {"batch": payload["batch"], "version": payload["version"], "execution": name}
        self._task("transform", transform.handler, {**event, "files": payload["files"]})
        arn = self.cloud.workflow.execution_arn(name)
        self.cloud.stepfunctions.stop_execution(executionArn=arn)
        self.runs[name] = Run(name, payload, status)
        metric = {"ABORTED": "ExecutionsAborted", "TIMED_OUT": "ExecutionsTimedOut"}[status]
        self.metrics[metric] += 1
        if notice:
            message = load_event("execution_timed_out")
            message["detail"] |= {"name": name, "status": status, "input": json.dumps(payload), "executionArn": arn}
            self._call("finalize", finalize.handler, message)


class Functions:
    """Lambda as the commands call it: the function runs here, and a failure is in the reply."""

    def __init__(self, platform: DeployedPlatform) -> None:
        self._platform = platform

    def list_event_source_mappings(self, **_: str) -> dict[str, Any]:
        return {"EventSourceMappings": []}

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 (as boto3)
        try:
            reply = self._platform.invoke(FunctionName, HANDLERS[FunctionName], json.loads(Payload))
        except Exception as error:  # noqa: BLE001 (as Lambda)
            failure = {"errorType": type(error).__name__, "errorMessage": str(error)}
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(failure).encode())}
        return {"Payload": io.BytesIO(json.dumps(reply).encode())}


@dataclass
class World(Operator):
    """A deployed pipeline in memory and an operator at its command line."""

    stack: Stack
    platform: DeployedPlatform
    run: CommandLine

    def command_line(self, *arguments: str) -> Result:
        return self.run(*arguments, answers="y\n")

    def upload(self, files: Mapping[str, bytes], *, noticed: bool = True) -> None:
        """Store files as the partner does; the event of the last one waits in the ingest queue, if it is noticed."""
        for name, content in files.items():
            self.stack.cloud.upload(name, content)
        if noticed:
            event = json.dumps(s3_event(f"incoming/{name}"))
            self.stack.client("sqs").send_message(QueueUrl=self.stack.url("ingest"), MessageBody=event)

    def measured(self, metric: str, row: str) -> int:
        if metric == "ApproximateNumberOfMessagesVisible":
            return self.stack.visible(row.replace("-", "_").removesuffix("s"))
        return self.platform.metrics[metric]

    @property
    def state(self) -> str:
        """The state of the day in the ledger."""
        return self.platform.states()[f"batch#{DAY}"]

    @property
    def sent(self) -> set[str]:
        """The customers about whom consumers have received a message."""
        self.platform.settle()
        bodies = map(json.loads, self.platform.bodies)
        return {body["customer_reference"] for body in bodies if body["type"] == "customer_message"}


@contextmanager
def world(stack: Stack, run: CommandLine, environment: pytest.MonkeyPatch, folder: Path) -> Iterator[World]:
    """A world whose time passes only while something works or a command waits."""
    for name, value in {"WRITER_GRACE_SECONDS": "1", "CALLED_BY": "make"}.items():
        environment.setenv(name, value)
    environment.setattr("pipeline.aws.backoff.BASE_SECONDS", 0.0)
    platform = DeployedPlatform(stack.cloud, boto3.client("dynamodbstreams", region_name=REGION), stack=stack)
    functions, sqs, client = Functions(platform), stack.client("sqs"), MotoTarget.client
    environment.setattr(
        MotoTarget,
        "client",
        lambda self, service: {"lambda": functions, "sqs": sqs}.get(service) or client(self, service),
    )
    environment.setattr(following, "sleep", platform.pass_time)
    environment.chdir(folder)
    logs = stack.client("logs")
    for function in FUNCTIONS:
        logs.create_log_group(logGroupName=f"/aws/lambda/{function}")
        logs.create_log_stream(logGroupName=f"/aws/lambda/{function}", logStreamName="stream")
    handler = observability.logger().registered_handler
    before = handler.setStream(platform.console)
    try:
        values = {"…": DAY, "BATCH": DAY, "DIR": str(folder / "day"), "FOLDER": str(folder / "refused")}
        yield World(stack, platform, run, values=values)
    finally:
        handler.setStream(before)
