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


class StubbedTarget(Target):
    """A target whose clients return prepared responses, which botocore validates against the service models."""

    def client(self, service: str) -> Any:
        return self.__dict__.setdefault("clients", {})[service]


def answer(target: Target, service: str, asked: dict[str, Any] | None = None, /, **answers: dict[str, Any]) -> None:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    client = boto3.client(service, region_name=REGION, **keys)  # type: ignore[call-overload]
    stubber = Stubber(client)
    for call, reply in answers.items():
        stubber.add_response(call, reply, asked)
    stubber.activate()
    target.__dict__.setdefault("clients", {})[service] = client


@pytest.fixture
def prod(tmp_path: Path) -> StubbedTarget:
    outputs = {"alarm_topic_arn": "arn:aws:sns:eu-west-1:123456789012:alarms", "dashboard_name": "csv-pipeline-prod"}
    return StubbedTarget("prod", REGION, None, outputs, tmp_path / "build" / "prod")


def made(check: Check, target: Target) -> list[Finding]:
    return list(doctor._made("subject", check, target))


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
    (found,) = made(doctor.table_quotas, prod)
    assert found.level == level


@pytest.mark.parametrize(
    ("arns", "level", "words"),
    [
        (["arn:aws:sns:eu-west-1:123456789012:alarms:1"], "ok", "1 confirmed subscriber"),
        (["PendingConfirmation"], "problem", "1 subscriber not confirmed yet"),
        ([], "problem", "nobody gets the alarms"),
    ],
)
def test_alarms_without_a_confirmed_subscriber_are_a_problem(
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
    assert (unsent.level, unsent.text) == (
        "problem",
        "1 alarm could not be sent: Failed to execute action arn:2. Received error: not authorized",
    )
    assert subscribers.level == level
    assert words in subscribers.text
    assert (in_alarm.level, in_alarm.text) == ("problem", "in alarm: runs-failed")


def trust(account: str, **condition: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, **condition}
    role = {
        "Path": "/", "RoleName": "partner", "RoleId": "AROA1234567890123456", "CreateDate": datetime.now(UTC),
        "Arn": "arn:aws:iam::123456789012:role/partner",
        "AssumeRolePolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    }  # fmt: skip
    return {"Role": role}


EXTERNAL = {"Condition": {"StringEquals": {"sts:ExternalId": "secret"}}}


@pytest.mark.parametrize(
    ("role", "level"),
    [
        (trust("111111111111", **EXTERNAL), "ok"),
        (trust("111111111111"), "warning"),
        (trust("222222222222", **EXTERNAL), "problem"),
        (None, "problem"),
    ],
)
def test_a_partner_that_cannot_take_its_role_is_a_problem(
    prod: StubbedTarget, role: dict[str, Any] | None, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "variables", lambda _: {"partner": {"account_id": "111111111111"}})
    if role:
        prod.outputs["partner_role_arn"] = "arn:aws:iam::123456789012:role/partner"
        answer(prod, "iam", get_role=role)
    (found,) = made(doctor.partner, prod)
    assert found.level == level


@pytest.mark.parametrize(("same", "expected"), [(True, ["ok"]), (False, ["warning"])])
def test_functions_that_run_another_package_are_found(
    prod: StubbedTarget, same: bool, expected: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "pipeline.zip"
    file.write_bytes(b"built")
    monkeypatch.setattr(doctor.package, "zip_file", lambda _: file)
    digest = base64.b64encode(hashlib.sha256(b"built" if same else b"other").digest()).decode()
    prod.outputs["function_names"] = {"intake": "csv-pipeline-prod-intake"}
    answer(prod, "lambda", get_function_configuration={"CodeSha256": digest, "MemorySize": 256})
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
    prod.outputs["function_names"] = {"publish": "csv-pipeline-prod-publish"}
    client = boto3.client("lambda", region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x")
    stubber = Stubber(client)
    for _ in range(2):
        stubber.add_response("list_event_source_mappings", {"EventSourceMappings": [mapping] if mapping else []})
    stubber.activate()
    prod.__dict__.setdefault("clients", {})["lambda"] = client
    points = [{"Timestamp": datetime.now(UTC), "Maximum": value} for value in metric]
    answer(prod, "cloudwatch", get_metric_statistics={"Datapoints": points})
    (found,) = made(doctor.publishing, prod)
    assert found.level == level
    assert words in found.text


def test_a_deleted_table_and_a_deleted_function_are_problems(stack: Stack, run: Run) -> None:
    assert made(doctor.table, stack.target)[0].level == "ok"
    stack.client("dynamodb").delete_table(TableName=stack.table.name)
    for check in (doctor.table, doctor.functions):
        (found,) = made(check, stack.target)
        assert (found.level, found.text.startswith("missing: ")) == ("problem", True)
        assert found.advice == "make tf-apply creates it again."


def test_a_profile_that_does_not_exist_is_named(prod: StubbedTarget) -> None:
    class Nobody:
        def get_caller_identity(self) -> None:
            raise ProfileNotFound(profile="nope")

    prod.__dict__["clients"] = {"sts": Nobody()}
    (found,) = doctor.examine(prod)
    assert "profile (nope) could not be found" in found.text
    assert "Check AWS_PROFILE" in found.advice


def test_dead_letters_are_a_problem(stack: Stack) -> None:
    assert levels(made(doctor.dead_letters, stack.target)) == ["ok"]
    stack.send({}, queue="ingest_dead_letter")
    (found,) = made(doctor.dead_letters, stack.target)
    assert (found.level, found.text) == ("problem", "1 in ingest-dead-letter")
    assert "dead-letters" in found.advice


def fail(stack: Stack) -> None:
    run_batch(stack, BatchState.FAILED, "no header")


def stop(stack: Stack) -> None:
    run_batch(stack)
    stack.table.update_ledger(DAY, lambda entry: ledger.replay(entry, datetime.now(UTC) - timedelta(hours=1)))


def nothing(stack: Stack) -> None:
    return None


@pytest.mark.parametrize(
    ("happened", "words"),
    [(fail, "FAILED: no header"), (stop, "its run is over"), (nothing, "not noticed"), (run_batch, None)],
)
def test_a_batch_that_needs_attention_is_a_problem(
    stack: Stack, happened: Callable[[Stack], None], words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "NOTICED_WITHIN", timedelta(0))
    for kind in MODEL.kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")
    happened(stack)
    (found,) = made(doctor.batches, stack.target)
    assert found.level == (Level.PROBLEM if words else Level.OK)
    assert words is None or words in found.text
    assert bool(found.advice) is bool(words)


def test_without_credentials_nothing_else_is_checked(prod: StubbedTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nobody:
        def get_caller_identity(self) -> None:
            raise NoCredentialsError

    prod.__dict__["clients"] = {"sts": Nobody()}
    (found,) = doctor.examine(prod)
    assert (found.level, found.subject) == ("problem", "credentials")


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
    findings.append(Finding(Level.PROBLEM, "c", "y"))
    monkeypatch.setattr("pipeline_cli.verbs.doctor.examine", lambda _: findings[:2])
    result = run("doctor")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["ok      a: fine", "warning b: soon. Do x."]
    monkeypatch.setattr("pipeline_cli.verbs.doctor.examine", lambda _: findings)
    result = run("doctor", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)[1] == {"level": "warning", "subject": "b", "text": "soon.", "advice": "Do x."}
