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
from pipeline_cli.verbs.doctor import Check, Finding, Level

from scripts.tests.support import REGION, Run, Stack
from scripts.tests.verbs.test_upload import DAY, run_batch

BUILT = b"the package that is built here"


class StubbedTarget(Target):
    """A target whose clients return prepared responses, which botocore validates against the service models."""

    def client(self, service: str) -> Any:
        return self.__dict__.setdefault("clients", {})[service]


def answer(target: Target, service: str, asked: dict[str, Any] | None = None, /, **answers: dict[str, Any]) -> None:
    """Prepare the responses of a service to calls in this order."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    client = boto3.client(service, region_name=REGION, **keys)  # type: ignore[call-overload]
    stubber = Stubber(client)
    for call, reply in answers.items():
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
    }
    return StubbedTarget("prod", REGION, None, outputs, tmp_path / "build" / "prod")


def made(check: Check, target: Target) -> list[Finding]:
    return list(doctor.findings_of("subject", check, target))


def levels(findings: list[Finding]) -> list[str]:
    return [str(finding.level) for finding in findings]


@pytest.mark.parametrize(
    ("reserved", "limit", "level"),
    [(0, 20, "ok"), (0, 19, "warning"), (0, 9, "problem"), (10, 110, "ok"), (10, 109, "problem")],
)
def test_a_small_quota_of_concurrent_calls_is_found_before_a_deployment(
    prod: StubbedTarget, monkeypatch: pytest.MonkeyPatch, reserved: int, limit: int, level: str
) -> None:
    monkeypatch.setattr(doctor, "variables", lambda _: {"transform": {"concurrency": reserved}})
    answer(prod, "lambda", get_account_settings={"AccountLimit": {"ConcurrentExecutions": limit}})
    (found,) = made(doctor.lambda_quotas, prod)
    assert found.level == level
    assert f"{limit:,} concurrent calls" in found.text
    assert bool(found.advice) is (level != "ok")


@pytest.mark.parametrize(("writes", "level"), [(40_000, "ok"), (10_000, "warning")])
def test_a_small_quota_of_table_writes_is_found(prod: StubbedTarget, writes: int, level: str) -> None:
    limits = {"TableMaxWriteCapacityUnits": writes, "AccountMaxWriteCapacityUnits": 80_000}
    answer(prod, "dynamodb", describe_limits=limits)
    assert levels(made(doctor.table_quotas, prod)) == [level]


@pytest.mark.parametrize(
    ("arns", "level", "words"),
    [
        (["arn:aws:sns:eu-west-1:123456789012:alarms:1"], "ok", "1 confirmed subscriber"),
        (["PendingConfirmation"], "problem", "1 subscriber not confirmed yet"),
        ([], "problem", "nobody gets the alarms"),
    ],
)
def test_alarms_that_ring_or_reach_nobody_are_problems(
    prod: StubbedTarget, arns: list[str], level: str, words: str
) -> None:
    subscriptions = [{"SubscriptionArn": arn} for arn in arns]
    answer(prod, "sns", list_subscriptions_by_topic={"Subscriptions": subscriptions})
    history = [
        ("other-alarm", "Failed to execute action arn:1"),
        ("csv-pipeline-prod-runs-failed", "Failed to execute action arn:2. Received error: not authorized"),
        ("csv-pipeline-prod-runs-failed", "Successfully executed action arn:2"),
        ("csv-pipeline-prod-batches-held", "Successfully executed action arn:2"),
        ("csv-pipeline-prod-batches-held", "Failed to execute action arn:2"),  # mended since
    ]
    items = [{"AlarmName": name, "HistorySummary": summary} for name, summary in history]
    answer(
        prod,
        "cloudwatch",
        describe_alarms={"MetricAlarms": [{"AlarmName": "csv-pipeline-prod-runs-failed"}]},
        describe_alarm_history={"AlarmHistoryItems": items},
    )
    subscribers, in_alarm, unsent = made(doctor.alarms, prod)
    assert (subscribers.level, words in subscribers.text) == (level, True)
    assert (in_alarm.level, in_alarm.text) == ("problem", "in alarm: runs-failed")
    assert (unsent.level, unsent.text) == (
        "problem",
        "1 alarm could not be sent: Failed to execute action arn:2. Received error: not authorized",
    )


EXTERNAL = {"Condition": {"StringEquals": {"sts:ExternalId": "secret"}}}


@pytest.mark.parametrize(
    ("account", "condition", "level"),
    [("111111111111", EXTERNAL, "ok"), ("111111111111", {}, "warning"), ("222222222222", EXTERNAL, "problem"),
     ("", {}, "problem")],
)  # fmt: skip
def test_a_partner_that_cannot_take_its_role_is_a_problem(
    prod: StubbedTarget, account: str, condition: dict[str, Any], level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "variables", lambda _: {"partner": {"account_id": "111111111111"}})
    if account:  # that the role trusts; else there is no role
        prod.outputs["partner_role_arn"] = "arn:aws:iam::123456789012:role/partner"
        statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, **condition}
        role = {
            "Path": "/", "RoleName": "partner", "RoleId": "AROA1234567890123456", "CreateDate": datetime.now(UTC),
            "Arn": "arn:aws:iam::123456789012:role/partner",
            "AssumeRolePolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        }  # fmt: skip
        answer(prod, "iam", get_role={"Role": role})
    assert levels(made(doctor.partner, prod)) == [level]


@pytest.mark.parametrize(("deployed", "expected"), [(BUILT, ["ok"]), (b"other", ["warning"])])
def test_functions_that_run_another_package_are_found(
    prod: StubbedTarget, deployed: bytes, expected: list[str]
) -> None:
    digest = base64.b64encode(hashlib.sha256(deployed).digest()).decode()
    answer(prod, "lambda", get_function_configuration={"CodeSha256": digest})
    assert levels(made(doctor.functions, prod)) == expected


@pytest.mark.parametrize(
    ("mapping", "metric", "level", "words"),
    [
        ({"LastProcessingResult": "OK"}, [], "ok", "no change of the table waits"),
        ({"LastProcessingResult": "PROBLEM: Function call failed"}, [], "problem", "publish fails (PROBLEM: Function"),
        ({"LastProcessingResult": "OK", "State": "Disabled"}, [], "problem", "publish is switched off"),
        ({"LastProcessingResult": "OK"}, [600_000.0], "problem", "the oldest has waited for 10 min 0 s"),
        (None, [], "problem", "missing: publish does not read the table's stream"),
    ],
)
def test_messages_that_are_not_sent_are_a_problem(
    prod: StubbedTarget, mapping: dict[str, Any] | None, metric: list[float], level: str, words: str
) -> None:
    mappings = {"EventSourceMappings": [mapping] if mapping else []}
    answer(prod, "lambda", list_event_source_mappings=mappings, list_event_source_mappings_again=mappings)
    points = [{"Timestamp": datetime.now(UTC), "Maximum": value} for value in metric]
    answer(prod, "cloudwatch", get_metric_statistics={"Datapoints": points})
    (found,) = made(doctor.publishing, prod)
    assert (found.level, words in found.text) == (level, True)


@pytest.mark.parametrize(
    ("deployed", "dpus", "expected", "said"),
    [
        (BUILT, 40, ["ok", "ok"], "up to 40 DPUs needed at once, 40 allowed (Max task DPUs per account)"),
        (BUILT, 39, ["ok", "problem"], "runs wait or fail"),
        (b"older", 40, ["warning", "ok"], ""),
    ],
)
def test_the_job_for_large_days_is_compared_with_what_is_built_and_allowed(
    prod: StubbedTarget, deployed: bytes, dpus: float, expected: list[str], said: str
) -> None:
    answer_about_the_job(prod, deployed)
    quota = {"QuotaName": "Max task DPUs per account", "QuotaCode": "L-08F3B322", "Value": dpus}
    asked = {"ServiceCode": "glue", "QuotaCode": "L-08F3B322"}
    answer(prod, "service-quotas", asked, get_service_quota={"Quota": quota})
    found = made(doctor.large_days, prod)
    assert levels(found) == expected
    assert said in found[1].text


@pytest.mark.parametrize(("reason", "level"), [("there is no Java", "problem"), (None, "ok")])
def test_a_large_day_on_this_machine_needs_java_and_spark(
    prod: StubbedTarget, monkeypatch: pytest.MonkeyPatch, reason: str | None, level: str
) -> None:
    monkeypatch.setattr(doctor.glue, "missing", lambda: reason)
    local = StubbedTarget("local", REGION, "http://127.0.0.1:1", {}, prod.folder)
    assert levels(made(doctor.large_days, local)) == ["ok"], "large days are off"
    answer_about_the_job(local)
    assert levels(made(doctor.large_days, local)) == ["ok", level]


def answer_about_the_job(target: StubbedTarget, deployed: bytes = BUILT) -> None:
    target.outputs["large_day_job_name"] = "large-day"
    job: dict[str, Any] = {
        "NumberOfWorkers": 10,
        "WorkerType": "G.2X",
        "ExecutionProperty": {"MaxConcurrentRuns": 2},
        "DefaultArguments": {"--additional-python-modules": "s3://bucket/code/pipeline.gluewheels.zip"},
    }
    answer(target, "glue", get_job={"Job": job})
    answer(target, "s3", head_object={"Metadata": {"sha256": hashlib.sha256(deployed).hexdigest()}})


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
    assert levels(made(doctor.dead_letters, stack.target)) == ["ok"]
    stack.send({}, queue="ingest_dead_letter")
    (found,) = made(doctor.dead_letters, stack.target)
    assert (found.level, found.text) == ("problem", "1 in ingest-dead-letter")
    assert "dead-letters" in found.advice


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
    assert found.level == (Level.PROBLEM if words else Level.OK)
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
    findings = [Finding(Level.OK, "a", "fine"), Finding(Level.WARNING, "b", "soon.", "Do x.")]
    monkeypatch.setattr(doctor, "examine", lambda _: findings)
    result = run("doctor")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["ok      a: fine", "warning b: soon. Do x."]
    findings.append(Finding(Level.PROBLEM, "c", "y"))
    result = run("doctor", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)[1] == {"level": "warning", "subject": "b", "text": "soon.", "advice": "Do x."}
