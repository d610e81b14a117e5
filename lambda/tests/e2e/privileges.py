"""Remove single permissions from the roles of a deployed stack, and run one function at a time."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from e2e.stack import Stack
from e2e.test_day import files_of
from pipeline import ledger
from pipeline.ledger import BatchState, Ledger
from support import load_event, queued, s3_event

INFRA = Path(__file__).resolve().parents[3] / "infra"
FUNCTIONS = ("intake", "transform", "deliver", "finalize", "publish")
OLD_VERSION = "0000000000000000"


@dataclass(frozen=True)
class Grant:
    """One action that one statement of a policy allows on one resource."""

    statement: str
    action: str
    place: int
    resource: str

    def __str__(self) -> str:
        return f"{self.action} on {self.resource}"


def grants_of(template: Path) -> list[Grant]:
    """Every permission of a policy template; resources as the template writes them."""
    return [
        Grant(statement["Sid"], action, place, resource)
        for statement in json.loads(template.read_text())["Statement"]
        for action in _as_list(statement["Action"])
        for place, resource in enumerate(_as_list(statement["Resource"]))
    ]


def without(policy: Mapping[str, Any], grant: Grant) -> dict[str, Any]:
    """A policy without this permission; each other one has its own statement."""
    statements = []
    for statement in policy["Statement"]:
        for action in _as_list(statement["Action"]):
            # The local AWS asks for sqs:SendMessageBatch where AWS asks for sqs:SendMessage: they go together.
            same = statement["Sid"] == grant.statement and action.replace("MessageBatch", "Message") == grant.action
            for place, resource in enumerate(_as_list(statement["Resource"])):
                if not (same and place == grant.place):
                    rest = {name: value for name, value in statement.items() if name != "Sid"}
                    statements.append(rest | {"Action": action, "Resource": resource})
    return {"Version": policy["Version"], "Statement": statements}


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@dataclass(frozen=True)
class Reply:
    """A function's response: its result, or the error with which it failed."""

    body: Any
    error: str | None

    @property
    def denied(self) -> bool:
        """Whether a permission was missing. A HEAD request has no body to say more than Forbidden."""
        return self.error is not None and any(
            word in self.error for word in ("AccessDenied", "not authorized", "Forbidden")
        )


class Privileges:
    """The roles of a stack, and its functions, which are called one by one."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._iam = stack.target.client("iam")
        self._lambda = stack.target.client("lambda")
        self._names: dict[str, str] = stack.target.output("function_names")

    def role(self, part: str) -> str:
        """The name of a part's role: that of the function or of the job (`large_day`)."""
        if part == "large_day":
            return str(self.stack.target.output("large_day_job_name"))
        return self._names[part]

    @contextmanager
    def changed(self, part: str, policy: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[None]:
        """Give a role another policy within the block."""
        role = {"RoleName": self.role(part), "PolicyName": policy}
        document = self._iam.get_role_policy(**role)["PolicyDocument"]
        self._iam.put_role_policy(**role, PolicyDocument=json.dumps(change(document)))
        try:
            yield
        finally:
            self._iam.put_role_policy(**role, PolicyDocument=json.dumps(document))

    @contextmanager
    def by_hand(self) -> Iterator[None]:
        """Within the block only the test calls intake, so stored files start no run."""
        (mapping,) = self._lambda.list_event_source_mappings(FunctionName=self._names["intake"])["EventSourceMappings"]
        self._lambda.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        try:
            yield
        finally:
            self.stack.sqs.purge_queue(QueueUrl=self.stack.target.output("ingest_queue_url"))
            self._lambda.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)

    def invoke(self, part: str, event: Mapping[str, Any]) -> Reply:
        """Call a function and wait for its response."""
        reply = self._lambda.invoke(FunctionName=self._names[part], Payload=json.dumps(event))
        body = json.loads(reply["Payload"].read())
        return Reply(body, f"{body['errorType']}: {body['errorMessage']}" if "FunctionError" in reply else None)

    def work(self, part: str, day: str) -> Reply:
        """Let a function do everything that it can do, on a day that no other call has used."""
        reply: Reply = getattr(self, f"_{part}")(day)
        return reply

    def _intake(self, day: str) -> Reply:
        """Missing files are reported; a complete set starts a run; its next event finds the run in progress."""
        noon = datetime.strptime(day, "%Y%m%d").replace(hour=12, tzinfo=UTC) + timedelta(days=1)
        report = self.invoke("intake", {**load_event("scheduled"), "time": noon.isoformat()})
        if report.error:
            return report
        later = datetime.now(UTC) + timedelta(hours=1)
        self.stack.table.update_ledger(day, lambda _: Ledger(day, blocked_until=later.isoformat(timespec="seconds")))
        self.stack.upload(files_of(day))
        event = queued(s3_event(f"incoming/items_{day}.csv"))
        event["Records"][0]["body"] = event["Records"][0]["body"].replace("pipeline-test", self.stack.bucket.name)
        try:
            first = self.invoke("intake", event)
            return first if first.error else self.invoke("intake", event)
        finally:
            self._stop_runs(day)

    def _transform(self, day: str) -> Reply:
        """A correction with refused records, after an older run that still holds the batch."""
        self.stack.upload(files_of(day))
        entry = self._claimed(day, holder=f"{day}-{OLD_VERSION}", delivered=(OLD_VERSION,))
        self.stack.s3.put_object(
            Bucket=self.stack.bucket.name, Key=f"delivered/{day}/{OLD_VERSION}.parquet", Body=self._customers()
        )
        return self.invoke("transform", run_of(entry))

    def _customers(self) -> bytes:
        """Store what a first version of a day leaves for its correction."""
        day = "20240229"
        key = f"delivered/{day}/"
        if not list(self.stack.bucket.keys(key)):
            self.stack.upload(files_of(day))
            assert self.invoke("transform", run_of(self._claimed(day))).error is None
        (found,) = self.stack.bucket.keys(key)
        body: bytes = self.stack.s3.get_object(Bucket=self.stack.bucket.name, Key=found)["Body"].read()
        return body

    def _deliver(self, day: str) -> Reply:
        """One chunk with one item."""
        self.stack.upload(files_of(day))
        entry = self._claimed(day)
        key = f"work/{day}/{entry.version}/chunks/00000.jsonl"
        item = load_event("stream_record")["dynamodb"]["NewImage"] | {"sk": {"S": f"batch#{day}"}}
        body = json.dumps({"PutRequest": {"Item": item}}).encode()
        self.stack.s3.put_object(Bucket=self.stack.bucket.name, Key=key, Body=body)
        return self.invoke("deliver", {"batch": day, "execution": entry.execution, "chunk": {"key": key, "records": 1}})

    def _finalize(self, day: str) -> Reply:
        """The check for lost end events, a run whose map failed, and a normal end whose verdict has errors."""
        checked = self.invoke("finalize", load_event("scheduled"))
        if checked.error:
            return checked
        name = f"{day}-{OLD_VERSION}"
        self.stack.workflow.start(name, {"batch": day, "version": OLD_VERSION, "files": {}})
        self._stop_runs(day)
        failed = {"Error": "States.ExceedToleratedFailureThreshold", "Cause": ""}
        broken = self.invoke("finalize", {"batch": day, "execution": name, "error": failed})
        if broken.error:
            return broken
        self.stack.upload(files_of(day))
        entry = self._claimed(day)
        examples = f"work/{day}/{entry.version}/examples.json"
        self.stack.bucket.put_json(examples, [])
        outcome = {"state": "READY", "summary": {"state": "READY", "examples": examples}}
        return self.invoke("finalize", {"batch": day, "execution": entry.execution, "outcome": outcome})

    def _publish(self, day: str) -> Reply:
        """One new result."""
        record = load_event("stream_record")
        for keys in (record["dynamodb"]["Keys"], record["dynamodb"]["NewImage"]):
            keys["sk"] = {"S": f"batch#{day}"}
        return self.invoke("publish", {"Records": [record | {"eventID": uuid.uuid4().hex}]})

    def _claimed(self, day: str, **more: Any) -> Ledger:
        """The ledger entry of a day whose run is about to begin."""
        files = self.stack.bucket.find_set(day)
        return self.stack.table.update_ledger(
            day, lambda entry: replace(ledger.claim(entry, files, datetime.now(UTC)), **more)
        )

    def _stop_runs(self, day: str) -> None:
        for name, state in self.stack.executions(day).items():
            if state == "RUNNING":
                self.stack.stepfunctions.stop_execution(executionArn=self.stack.workflow.execution_arn(name))


def run_of(entry: Ledger) -> dict[str, Any]:
    """The state machine's input for transform."""
    assert entry.state is BatchState.QUEUED
    files = {kind: source.as_dict() for kind, source in entry.files.items()}
    return {"batch": entry.batch, "version": entry.version, "execution": entry.execution, "files": files}
