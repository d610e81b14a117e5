from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pipeline_cli.local import emulator
from pipeline_cli.local.emulator import Emulator
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import terraform_command
from pipeline_cli.terraform.account_stack import AccountStack
from pipeline_cli.terraform.local_stack import LocalStack
from pipeline_cli.terraform.target import read_outputs
from pipeline_cli.terraform.terraform_command import Terraform, find_terraform

from scripts.tests.support import Run

CONFIGURATION = """
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

provider "aws" {
  region = var.region
}

variable "package_file" {
}

variable "region" {
}

resource "aws_sqs_queue" "this" {
  name                    = "one"
  sqs_managed_sse_enabled = true
}

resource "aws_s3_bucket" "this" {
  bucket = "files-of-this-test"
}

output "bucket_name" {
  value = aws_s3_bucket.this.bucket
}
"""


def fake_terraform(folder: Path, script: str) -> str:
    folder.mkdir()
    (folder / "terraform").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "terraform").chmod(0o755)
    return str(folder)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "infra"
    (folder / "env").mkdir(parents=True)
    (folder / "env" / "local.tfvars").touch()
    (folder / "main.tf").write_text(CONFIGURATION)
    return folder


@pytest.fixture
def package(tmp_path: Path) -> Path:
    file = tmp_path / "pipeline.zip"
    file.write_bytes(b"a package")
    return file


@pytest.fixture
def stack(tmp_path: Path, source: Path) -> Iterator[LocalStack]:
    folder = tmp_path / "local"
    yield LocalStack(folder, source=source)
    Emulator(folder).stop()


@pytest.mark.parametrize("script", ['echo \'{"terraform_version": "1.9.8"}\'', "echo no JSON", "exec /does/not/exist"])
def test_a_terraform_on_path_that_does_not_work_is_replaced_by_the_packages(tmp_path: Path, script: str) -> None:
    search = fake_terraform(tmp_path / "path", script)

    found = find_terraform.__wrapped__(tmp_path / "bin", search=search)

    assert found == tmp_path / "bin" / "terraform"
    assert terraform_command.version_of(str(found)) >= (1, 10)


def test_a_recent_terraform_on_path_is_used(tmp_path: Path) -> None:
    search = fake_terraform(tmp_path / "path", 'echo \'{"terraform_version": "1.12.0-rc1"}\'')

    assert find_terraform.__wrapped__(tmp_path / "bin", search=search) == tmp_path / "path" / "terraform"


@pytest.mark.terraform
def test_a_stack_stays_as_it_is_and_is_created_again_once_the_local_aws_was_killed(
    stack: LocalStack, source: Path, package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # On a machine without Terraform it is the package's that runs.
    command = find_terraform.__wrapped__(source / "bin", search=str(source))
    monkeypatch.setattr(terraform_command, "find_terraform", lambda: command)
    port = emulator.free_port()

    target = stack.apply(package, port)
    first = capsys.readouterr().out
    assert "aws_sqs_queue: sqs_managed_sse_enabled" in first, "what the old provider does not know is left out"
    assert "Apply complete! Resources: 2 added" in first
    assert target.client("s3").get_bucket_versioning(Bucket="files-of-this-test")["Status"] == "Enabled"

    stack.apply(package, port)
    assert "Apply complete! Resources: 0 added, 0 changed, 0 destroyed." in capsys.readouterr().out

    record = Emulator(stack.folder).running()
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    while Emulator(stack.folder).running():
        time.sleep(0.02)
    stack.apply(package, emulator.free_port())
    assert "Resources: 2 added" in capsys.readouterr().out

    stack.destroy(package)
    stack.destroy(package)
    said = capsys.readouterr().out
    assert "2 destroyed." in said
    assert "Nothing is deployed" in said


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Terraform]:
    """Return a function that makes a Terraform of a shell script."""

    def make(script: str) -> Terraform:
        command = Path(fake_terraform(tmp_path / "path", script)) / "terraform"
        monkeypatch.setattr(terraform_command, "find_terraform", lambda: command)
        return Terraform(tmp_path, tmp_path, {})

    return make


SAVES = """
trap 'echo stopping; sleep 1; yes saved | head -n 20000; echo state > state; exit 1' INT
touch started; while :; do sleep 0.1; done
"""
"""Like Terraform: after a signal it ends what it has begun, writes more than a pipe holds, and saves its state."""

TWICE = """
trap 'trap "echo state > state; exit 1" INT; touch again' INT
touch started; while :; do sleep 0.1; done
"""
"""Like Terraform: a second signal ends it at once."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "call", "signals"),
    [
        (SAVES, "run('x')", [signal.SIGINT]),
        (SAVES, "show('x')", [signal.SIGINT]),
        (SAVES, "show('x')", [signal.SIGTERM]),
        (TWICE, "run('x')", [signal.SIGINT, signal.SIGINT]),
    ],
)
def test_an_interrupted_terraform_saves_its_state(
    tmp_path: Path, script: str, call: str, signals: list[signal.Signals]
) -> None:
    command = Path(fake_terraform(tmp_path / "path", script)) / "terraform"
    code = f"""
import signal
from pathlib import Path
from pipeline_cli.terraform import terraform_command
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores the signal otherwise
terraform_command.find_terraform = lambda: {str(command)!r}
here = Path({str(tmp_path)!r})
try:
    terraform_command.Terraform(here, here, {{}}).{call}
except KeyboardInterrupt:
    raise SystemExit(130)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for file, number in zip(("started", "again"), signals, strict=False):
        while not (tmp_path / file).exists():
            assert process.poll() is None, "it ended before it could be interrupted"
            time.sleep(0.02)
        process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert (tmp_path / "state").read_text() == "state\n"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("Error: Failed to query\n\ncould not connect to registry.terraform.io: no", "can't reach registry.terraform"),
        ("Error: Error acquiring the state lock\n\nLock Info:", "Another plan, apply or destroy of this environment"),
        ("Error: Invalid value\n on main.tf line 3", r"terraform apply failed:"),
    ],
)
def test_what_terraform_often_says_is_one_sentence(
    stand_in: Callable[[str], Terraform], said: str, sentence: str
) -> None:
    terraform = stand_in(f"printf '{said}' >&2\nexit 1")
    for call in (terraform.run, terraform.show):
        with pytest.raises(CommandError, match=sentence):
            call("apply")


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], AccountStack]:
    """Return a function that writes a configuration without a provider, and an environment with a name."""
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", os.devnull)

    def write(env: str, name: str, main: str) -> AccountStack:
        source = tmp_path / "infra"
        (source / "env").mkdir(parents=True, exist_ok=True)
        (source / "variables.tf").write_text('variable "package_file" {}\nvariable "name" {}\n')
        (source / "main.tf").write_text(main)
        (source / "env" / f"{env}.tfvars").write_text(f'name = "{name}"\n')
        return AccountStack(env, source, tmp_path / "build")

    return write


Configured = Callable[[str, str, str], AccountStack]
NAMED = """resource "terraform_data" "this" {
  input = var.name
}
output "region" {
  value = terraform_data.this.output
}
output "dashboard_name" {
  value = "${var.name}-prod"
}
"""


@pytest.mark.terraform
def test_each_account_has_its_own_state_and_outputs(
    configured: Configured, package: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dev, prod = (configured(env, f"region of {env}", NAMED.replace("-prod", f"-{env}")) for env in ("dev", "prod"))

    dev.apply(package, lambda: None)
    prod.apply(package, lambda: None)
    prod.plan(package)

    assert "No changes" in capfd.readouterr().out
    outputs = {stack.name: read_outputs(stack.folder / "outputs.json")["region"] for stack in (dev, prod)}
    assert outputs == {"dev": "region of dev", "prod": "region of prod"}

    dev.destroy(package, lambda: None)
    assert not (dev.folder / "outputs.json").exists()
    (prod.folder / "outputs.json").unlink()
    prod.init()
    assert read_outputs(prod.folder / "outputs.json")["region"] == "region of prod"

    with pytest.raises(CommandError, match="terraform init failed"):
        configured("prod", "x", "resource {").apply(package, lambda: None)


@pytest.mark.terraform
def test_a_deployed_stack_is_not_renamed(configured: Configured, package: Path) -> None:
    configured("prod", "ours", NAMED).apply(package, lambda: None)
    with pytest.raises(CommandError, match=r"ours-prod is deployed.*now calls it theirs-prod"):
        configured("prod", "theirs", NAMED).apply(package, lambda: pytest.fail("it asked"))


@pytest.mark.terraform
def test_what_was_not_approved_is_not_applied(configured: Configured, package: Path) -> None:
    stack = configured("prod", "ours", NAMED)

    def no() -> None:
        raise CommandError("no")

    with pytest.raises(CommandError, match="no"):
        stack.apply(package, no)
    assert '"values"' not in stack.terraform.run("show", "-json"), "there are resources or outputs"
    assert not list(stack.folder.glob("*.tfplan"))


def test_without_credentials_no_account_is_touched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(AccountStack, "plan", lambda *_: pytest.fail("it was planned"))
    result = run("deploy", "plan", "--env", "dev")
    assert result.exit_code == 1
    assert "There are no AWS credentials." in result.stderr


@pytest.mark.parametrize(("answer", "destroyed"), [("dev\n", True), ("yes\n", False), ("", False)])
def test_an_account_is_destroyed_only_by_its_name(
    monkeypatch: pytest.MonkeyPatch, answer: str, destroyed: bool, run: Run
) -> None:
    done: list[str] = []

    def change(self: AccountStack, approve: Callable[[], object], *_: str) -> bool:
        approve()
        done.append(self.name)
        return True

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setattr(AccountStack, "_prepare", lambda _: None)
    monkeypatch.setattr(AccountStack, "_change", change)
    result = run("deploy", "destroy", "--env", "dev", answers=answer)
    assert result.exit_code == (0 if destroyed else 1)
    assert destroyed or "not the environment's name" in result.stderr
    assert done == (["dev"] if destroyed else [])
