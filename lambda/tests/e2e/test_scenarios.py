"""The rows of docs/runbook.md that need the deployed stack, with its Terraform and roles: one scenario each.

`make test-scenarios` runs them, on one stack.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.stack import Stack, eventually
from e2e.test_day import CUSTOMERS, ITEMS, files_of
from e2e.test_partner import AWS
from pipeline.ledger import BatchState
from pipeline_cli.app import app
from pipeline_cli.terraform import target as targets
from pipeline_cli.terraform.local_stack import LocalStack
from pipeline_cli.verbs import deploy, doctor
from typer.testing import CliRunner, Result

from scripts.tests.runbook.scenario import Operator, Scenario

pytestmark = [pytest.mark.e2e, pytest.mark.scenarios]

RETRY_SECONDS = 15
"""After so long the ingest queue gives an event again; longer than tf-apply takes, as it does so five times only."""
WITHOUT_ONE = CUSTOMERS.replace("3,Eva,Dal,c-3,Active\n4,Eva,Dal,c-3,Active\n", "")
DENIED = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Action": "dynamodb:PutItem", "Resource": "*"}],
}


@dataclass
class World(Operator):
    """A deployed stack, one day of it, and an operator at its command line."""

    stack: Stack
    day: str
    folder: Path

    def command_line(self, *arguments: str) -> Result:
        result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "CALLED_BY": "make"})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def aws(self, command: str) -> str:
        """Run the real AWS CLI with the operator's credentials."""
        target = self.stack.target
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
            **target.environment,
            "AWS_CONFIG_FILE": str(self.folder / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        (self.folder / "config").write_text("[default]\ns3 =\n  addressing_style = path\n")
        done = subprocess.run(
            [AWS, *shlex.split(command)[1:]], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def set_variable(self, function: str, name: str, value: str | None) -> None:
        """Change or remove an environment variable of a function manually."""
        functions, full = self.stack.target.client("lambda"), self.stack.target.output("function_names")[function]
        variables = functions.get_function_configuration(FunctionName=full)["Environment"]["Variables"]
        changed = {key: text for key, text in {**variables, name: value}.items() if text is not None}
        functions.update_function_configuration(FunctionName=full, Environment={"Variables": changed})

    def role(self, function: str) -> str:
        """The name of a function's role."""
        functions, full = self.stack.target.client("lambda"), self.stack.target.output("function_names")[function]
        return str(functions.get_function_configuration(FunctionName=full)["Role"]).rpartition("/")[2]

    def send_while_intake_fails(self, *contents: str) -> None:
        """Send the day; its events come again and again until intake works."""
        self.stack.sqs.set_queue_attributes(
            QueueUrl=self.stack.target.output("ingest_queue_url"),
            Attributes={"VisibilityTimeout": str(RETRY_SECONDS)},
        )
        self.stack.upload(files_of(self.day, *contents))


def completed(world: World) -> None:
    """The day is complete, and consumers have all of its messages."""
    assert world.stack.ended(world.day).state is BatchState.COMPLETED
    bodies = world.stack.messages(world.day)
    assert {body["customer_reference"] for body in bodies if body["type"] == "customer_message"} >= {"c-1", "c-2"}


def logs_say(text: str) -> Callable[[World], None]:
    """The function's error is in the logs, and `status` shows that nobody has noticed the day."""

    def act(world: World) -> None:
        eventually(lambda: text in world.type("make logs"), f"the log line {text}")
        assert "not noticed yet" in world.type("make status BATCH=…")

    return act


def a_variable_is_gone(world: World) -> None:
    world.set_variable("intake", "TABLE_NAME", None)
    world.send_while_intake_fails()


def a_role_was_changed(world: World) -> None:
    """One of its policies was deleted manually, and another one was added."""
    iam, role = world.stack.target.client("iam"), world.role("intake")
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=policy)
    iam.put_role_policy(RoleName=role, PolicyName="added", PolicyDocument=json.dumps(DENIED))
    world.values |= {"NAME": role, "POLICY": "added"}
    world.send_while_intake_fails()


def permissions(world: World) -> dict[str, str]:
    """The rules that may call finalize, by the id of the permission's statement."""
    functions, name = world.stack.target.client("lambda"), world.stack.target.output("function_names")["finalize"]
    statements = json.loads(functions.get_policy(FunctionName=name)["Policy"])["Statement"]
    return {one["Sid"]: next(iter(next(iter(one["Condition"].values())).values())) for one in statements}


def the_permission_is_for_another_rule(world: World) -> None:
    """Changed, not deleted: the provider would look for a missing permission for a minute."""
    functions, name = world.stack.target.client("lambda"), world.stack.target.output("function_names")["finalize"]
    before = permissions(world)
    world.values["permissions"] = json.dumps(before)
    for statement, rule in before.items():
        functions.remove_permission(FunctionName=name, StatementId=statement)
        functions.add_permission(
            FunctionName=name,
            StatementId=statement,
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=f"{rule}-of-somebody-else",
        )


def no_rule_may_call(world: World) -> None:
    assert not set(permissions(world).values()) & set(json.loads(world.values["permissions"]).values())


def permissions_are_back(world: World) -> None:
    assert permissions(world) == json.loads(world.values["permissions"])


def the_list_of_customers_is_lost(world: World) -> None:
    for function in ("transform", "finalize"):
        world.set_variable(function, "WRITER_GRACE_SECONDS", "1")
    world.stack.upload(files_of(world.day))
    version = str(world.stack.ended(world.day).version)
    bucket = world.stack.bucket.name
    world.stack.s3.delete_object(Bucket=bucket, Key=f"delivered/{world.day}/{version}.parquet")
    world.values |= {"BUCKET": bucket, "<batch>": world.day, "<version>": version}
    world.stack.upload(files_of(world.day, ITEMS, WITHOUT_ONE))


def correction_has_failed(world: World) -> None:
    eventually(lambda: world.stack.ended(world.day).state is BatchState.FAILED, "the failure of the correction")
    cause = (
        f"PreviousVersionLostError: batch {world.day}: the list of references that version {world.values['<version>']}"
    )
    assert cause in world.type("make status BATCH=…")


def finds_the_version(world: World) -> None:
    """Read the id of the newest version in what `list-object-versions` has printed."""
    listing = json.loads(world.printed[world.printed.rindex('{\n    "Versions"') :])
    assert listing["DeleteMarkers"][0]["IsLatest"]
    world.values["ID"] = listing["Versions"][0]["VersionId"]


def customer_is_removed(world: World) -> None:
    completed(world)
    removed = [body for body in world.stack.messages(world.day) if body["type"] == "customer_removed"]
    assert [body["customer_reference"] for body in removed] == ["c-3"]


def the_table_is_gone(world: World) -> None:
    """Deleted manually, with the backup that AWS makes then; a correction comes before it is back."""
    world.stack.upload(files_of(world.day))
    completed(world)
    dynamodb, table = world.stack.target.client("dynamodb"), world.stack.target.output("table_name")
    backup = dynamodb.create_backup(TableName=table, BackupName="DeletedTableBackup")["BackupDetails"]["BackupArn"]
    dynamodb.delete_table(TableName=table)
    world.values |= {"TABLE": table, "ARN": backup}
    world.send_while_intake_fails(ITEMS, WITHOUT_ONE)


def doctor_misses_the_table(world: World) -> None:
    eventually(lambda: "ResourceNotFoundException" in world.type("make logs"), "the error of intake in the logs")
    findings = {finding.subject: finding for finding in doctor.examine(world.stack.target)}
    assert (findings["table"].level, findings["table"].text[:8]) == ("problem", "missing:"), findings["table"]


SCENARIOS: list[Scenario[World]] = [
    Scenario(
        "*-errors",
        "SettingsError",
        create=a_variable_is_gone,
        shows=logs_say("TABLE_NAME is not set"),
        mended=completed,
    ),
    Scenario(
        "*-errors",
        "AccessDenied",
        create=a_role_was_changed,
        shows=logs_say("AccessDenied"),
        says='"added"',
        mended=completed,
    ),
    Scenario(
        "*-not-called",
        create=the_permission_is_for_another_rule,
        shows=no_rule_may_call,
        mended=permissions_are_back,
    ),
    Scenario(
        "runs-failed",
        "PreviousVersionLostError",
        create=the_list_of_customers_is_lost,
        shows=correction_has_failed,
        others=finds_the_version,
        mended=customer_is_removed,
    ),
    Scenario(
        "*-errors",
        "ResourceNotFoundException",
        create=the_table_is_gone,
        shows=doctor_misses_the_table,
        says="DeletedTableBackup",
        mended=customer_is_removed,
    ),
]


@pytest.fixture
def world(stack: Stack, day: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    if not AWS.exists():
        pytest.skip("the AWS CLI is not installed: make test-scenarios")
    monkeypatch.delenv("ENV", raising=False)
    monkeypatch.setattr(targets, "load", lambda _: stack.target)
    monkeypatch.setattr(deploy, "LocalStack", lambda: LocalStack(stack.target.folder, quiet=True))
    return World(stack, day, tmp_path, values={"…": day, "BATCH": day})


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_following_the_row_mends_the_situation(scenario: Scenario[World], world: World) -> None:
    scenario.act_out(world)
