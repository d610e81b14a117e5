"""`pipeline doctor`: each line is ok, a warning or a problem, and says what to do."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import NoCredentialsError, ProfileNotFound
from botocore.stub import Stubber
from pipeline import ledger
from pipeline.ledger import BatchState
from pipeline.model.data_model import MODEL
from pipeline_cli.terraform.target import Target
from pipeline_cli.verbs import doctor
from pipeline_cli.verbs.doctor import Check, Finding

from scripts.tests.support import REGION, Run, Stack
from scripts.tests.verbs.test_upload import DAY, run_batch

BUILT = b"the package that is built here"


class StubbedTarget(Target):
    """A target whose clients return prepared responses, which botocore validates against the service models."""

    def client(self, service: str) -> Any:
        return self.__dict__.setdefault("clients", {})[service]


def answer(target: Target, service: str, **answers: dict[str, Any]) -> None:
    """Prepare the responses of a service to calls in this order."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    client = boto3.client(service, region_name=REGION, **keys)  # type: ignore[call-overload]
    stubber = Stubber(client)
    for call, reply in answers.items():
        asked = {"ServiceCode": "glue", "QuotaCode": "L-08F3B322"} if call == "get_service_quota" else None
        stubber.add_response(call.removesuffix("_again"), reply, asked)
    stubber.activate()
    target.__dict__.setdefault("clients", {})[service] = client


@pytest.fixture
def prod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubbedTarget:
    """An environment on AWS, with its packages built."""
    file = tmp_path / "pipeline.zip"
    file.write_bytes(BUILT)
    for module in (doctor.package, doctor.job_package):
        monkeypatch.setattr(module, "zip_file", lambda _: file)
    outputs = {
        "alarm_topic_arn": "arn:aws:sns:eu-west-1:123456789012:alarms",
        "dashboard_name": "csv-pipeline-prod",
        "function_names": {"publish": "csv-pipeline-prod-publish"},
        "large_day_job_name": "large-day",
    }
    return StubbedTarget("prod", REGION, None, outputs, tmp_path / "build" / "prod")


def made(check: Check, target: Target) -> list[Finding]:
    return list(doctor.findings_of("subject", check, target))


Answers = dict[str, dict[str, Any]]


def concurrency(calls: int) -> Answers:
    return {"lambda": {"get_account_settings": {"AccountLimit": {"ConcurrentExecutions": calls}}}}


def writes(units: int) -> Answers:
    limits = {"TableMaxWriteCapacityUnits": units, "AccountMaxWriteCapacityUnits": 80_000}
    return {"dynamodb": {"describe_limits": limits}}


def alarms(*subscribers: str) -> Answers:
    history = [
        ("other-alarm", "Failed to execute action arn:1"),
        ("csv-pipeline-prod-runs-failed", "Failed to execute action arn:2. Received error: not authorized"),
        ("csv-pipeline-prod-runs-failed", "Successfully executed action arn:2"),
        ("csv-pipeline-prod-batches-held", "Successfully executed action arn:2"),
        ("csv-pipeline-prod-batches-held", "Failed to execute action arn:2"),  # mended since
    ]
    items = [{"AlarmName": name, "HistorySummary": summary} for name, summary in history]
    ringing = {"MetricAlarms": [{"AlarmName": "csv-pipeline-prod-runs-failed"}]}
    return {
        "sns": {"list_subscriptions_by_topic": {"Subscriptions": [{"SubscriptionArn": arn} for arn in subscribers]}},
        "cloudwatch": {"describe_alarms": ringing, "describe_alarm_history": {"AlarmHistoryItems": items}},
    }


def publish(age: float | None = None, **mapping: str) -> Answers:
    mappings = {"EventSourceMappings": [mapping] if mapping else []}
    points = [{"Timestamp": datetime.now(UTC), "Maximum": age}] if age else []
    return {
        "lambda": {"list_event_source_mappings": mappings, "list_event_source_mappings_again": mappings},
        "cloudwatch": {"get_metric_statistics": {"Datapoints": points}},
    }


def code(deployed: bytes) -> Answers:
    digest = base64.b64encode(hashlib.sha256(deployed).digest()).decode()
    return {"lambda": {"get_function_configuration": {"CodeSha256": digest}}}


def job(deployed: bytes, dpus: float = 0) -> Answers:
    known: dict[str, Any] = {
        "NumberOfWorkers": 10,
        "WorkerType": "G.2X",
        "ExecutionProperty": {"MaxConcurrentRuns": 2},
        "DefaultArguments": {"--additional-python-modules": "s3://bucket/code/pipeline.gluewheels.zip"},
    }
    quota = {"QuotaName": "Max task DPUs per account", "QuotaCode": "L-08F3B322", "Value": dpus}
    return {
        "glue": {"get_job": {"Job": known}},
        "s3": {"head_object": {"Metadata": {"sha256": hashlib.sha256(deployed).hexdigest()}}},
        "service-quotas": {"get_service_quota": {"Quota": quota}},
    }


UNSENT = "1 alarm could not be sent: Failed to execute action arn:2. Received error: not authorized"


@pytest.mark.parametrize(
    ("check", "answers", "levels", "words"),
    [
        (doctor.lambda_quotas, concurrency(110), ["ok"], "110 concurrent calls"),
        (doctor.lambda_quotas, concurrency(109), ["problem"], "transform can't reserve 10"),
        (doctor.table_quotas, writes(40_000), ["ok"], ""),
        (doctor.table_quotas, writes(10_000), ["warning"], "10,000 writes a second"),
        (doctor.alarms, alarms("arn:aws:sns:eu-west-1:123456789012:alarms:1"), ["ok", *2 * ["problem"]], UNSENT),
        (doctor.alarms, alarms("PendingConfirmation"), 3 * ["problem"], "1 subscriber not confirmed yet"),
        (doctor.alarms, alarms(), 3 * ["problem"], "nobody gets the alarms; in alarm: runs-failed"),
        (doctor.functions, code(BUILT), ["ok"], ""),
        (doctor.functions, code(b"other"), ["warning"], "publish run another package"),
        (doctor.publishing, publish(LastProcessingResult="OK"), ["ok"], "no change of the table waits"),
        (
            doctor.publishing,
            publish(LastProcessingResult="PROBLEM: it failed"),
            ["problem"],
            "publish fails",
        ),
        (doctor.publishing, publish(State="Disabled"), ["problem"], "publish is switched off"),
        (doctor.publishing, publish(600_000.0, LastProcessingResult="OK"), ["problem"], "has waited for 10 min 0 s"),
        (doctor.publishing, publish(), ["problem"], "missing: publish does not read the table's stream"),
        (doctor.large_days, job(BUILT, 40), ["ok", "ok"], "up to 40 DPUs needed at once, 40 allowed (Max task DPUs"),
        (doctor.large_days, job(BUILT, 39), ["ok", "problem"], "runs wait or fail"),
        (doctor.large_days, job(b"older", 40), ["warning", "ok"], ""),
    ],
)
def test_what_is_too_little_or_reaches_nobody_or_differs_is_found_and_says_what_to_do(
    prod: StubbedTarget, check: Check, answers: Answers, levels: list[str], words: str
) -> None:
    for service, replies in answers.items():
        answer(prod, service, **replies)
    found = made(check, prod)
    assert [finding.level for finding in found] == levels
    assert words in "; ".join(finding.text for finding in found)
    assert all(bool(finding.advice) is (finding.level != "ok") for finding in found)


@pytest.mark.parametrize(("limit", "level"), [(20, "ok"), (19, "warning"), (9, "problem")])
def test_without_a_reservation_a_small_quota_only_slows_large_days(
    prod: StubbedTarget, monkeypatch: pytest.MonkeyPatch, limit: int, level: str
) -> None:
    monkeypatch.setattr(doctor, "variables", lambda _: {"transform": {"concurrency": 0}})
    answer(prod, "lambda", **concurrency(limit)["lambda"])
    assert [finding.level for finding in made(doctor.lambda_quotas, prod)] == [level]


@pytest.mark.parametrize(("reason", "level"), [("there is no Java", "problem"), (None, "ok")])
def test_a_large_day_on_this_machine_needs_java_and_spark(
    prod: StubbedTarget, monkeypatch: pytest.MonkeyPatch, reason: str | None, level: str
) -> None:
    monkeypatch.setattr(doctor.glue, "missing", lambda: reason)
    local = StubbedTarget("local", REGION, "http://127.0.0.1:1", {}, prod.folder)
    assert [finding.level for finding in made(doctor.large_days, local)] == ["ok"], "large days are off"
    local.outputs["large_day_job_name"] = "large-day"
    for service, replies in job(BUILT).items():
        answer(local, service, **replies)
    assert [finding.level for finding in made(doctor.large_days, local)] == ["ok", level]


def test_a_deleted_table_and_a_deleted_function_are_problems(stack: Stack) -> None:
    assert made(doctor.table, stack.target)[0].level == "ok"
    stack.client("dynamodb").delete_table(TableName=stack.table.name)
    for check in (doctor.table, doctor.functions):
        (found,) = made(check, stack.target)
        assert (found.level, found.text.startswith("missing: ")) == ("problem", True)
        assert found.advice == "make tf-apply creates it again."


@pytest.mark.parametrize(
    ("error", "text", "advice"),
    [
        (ProfileNotFound(profile="nope"), "profile (nope) could not be found", "Check AWS_PROFILE"),
        (NoCredentialsError(), "no AWS credentials", "Sign in"),
    ],
)
def test_without_credentials_nothing_else_is_checked(
    prod: StubbedTarget, error: Exception, text: str, advice: str
) -> None:
    class Nobody:
        def get_caller_identity(self) -> None:
            raise error

    prod.__dict__["clients"] = {"sts": Nobody()}
    (found,) = doctor.examine(prod)
    assert (found.level, found.subject, text in found.text) == ("problem", "credentials", True)
    assert advice in found.advice


def test_dead_letters_are_a_problem(stack: Stack) -> None:
    assert made(doctor.dead_letters, stack.target)[0].level == "ok"
    stack.send({}, queue="ingest_dead_letter")
    (found,) = made(doctor.dead_letters, stack.target)
    assert (found.level, found.text) == ("problem", "1 in ingest-dead-letter")
    assert "redrive --list" in found.advice


def fail(stack: Stack) -> None:
    run_batch(stack, BatchState.FAILED, "no header")


def hold(stack: Stack) -> None:
    run_batch(stack, BatchState.HELD, "too many")


def stop(stack: Stack) -> None:
    run_batch(stack)
    stack.table.update_ledger(DAY, lambda entry: ledger.replay(entry, datetime.now(UTC) - timedelta(hours=1)))


@pytest.mark.parametrize(
    ("happened", "words"),
    [
        (fail, "FAILED: no header"),
        (hold, "is HELD: too many"),
        (stop, "its run is over"),
        (lambda _: None, "not noticed"),
        (run_batch, None),
    ],
)
def test_a_batch_that_needs_attention_is_a_problem(
    stack: Stack, happened: Callable[[Stack], object], words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "NOTICED_WITHIN", timedelta(0))
    for kind in MODEL.kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")
    happened(stack)
    (found,) = made(doctor.batches, stack.target)
    assert found.level == ("problem" if words else "ok")
    assert words is None or words in found.text
    assert bool(found.advice) is bool(words)


def test_before_the_first_deployment_the_account_is_examined(
    monkeypatch: pytest.MonkeyPatch, stack: Stack, tmp_path: Path
) -> None:
    bare = type(stack.target)("prod", REGION, None, None, tmp_path / "none")
    monkeypatch.setattr(doctor, "BEFORE_DEPLOYMENT", {"tools": doctor.tools})
    found = list(doctor.examine(bare))
    assert found[-1].subject == "deployment"
    assert "make tf-apply ENV=prod" in found[-1].advice


def test_the_command_exits_with_1_if_there_is_a_problem(
    stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = [Finding("ok", "a", "fine"), Finding("warning", "b", "soon.", "Do x.")]
    monkeypatch.setattr(doctor, "examine", lambda _: findings)
    result = run("doctor")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["ok      a: fine", "warning b: soon. Do x."]
    findings.append(Finding("problem", "c", "y"))
    result = run("doctor", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)[1] == {"level": "warning", "subject": "b", "text": "soon.", "advice": "Do x."}
