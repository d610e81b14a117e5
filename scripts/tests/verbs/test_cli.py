"""The command line as a whole: help, targets, and how expected failures are shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions as aws
import pytest
import typer
from pipeline.errors import ThrottledError
from pipeline.ledger import BatchState
from pipeline.model.data_model import MODEL
from pipeline_cli.app import app
from pipeline_cli.deployment.republisher import Republisher
from pipeline_cli.output.errors import UsageError
from pipeline_cli.output.explain import explain
from pipeline_cli.terraform import target as targets
from pipeline_cli.terraform.target import Target
from pipeline_cli.verbs.sample import generate

from scripts.tests.support import Run, Stack
from scripts.tests.verbs.test_upload import DAY, run_batch


def commands() -> Iterator[tuple[list[str], Any]]:
    group: Any = typer.main.get_command(app)
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        nested = getattr(command, "commands", None)
        if nested:
            yield from (([name, inner], found) for inner, found in nested.items())
        else:
            yield [name], command


@pytest.mark.parametrize(("name", "command"), [pytest.param(*found, id=" ".join(found[0])) for found in commands()])
def test_every_command_has_help_with_an_example_and_its_exit_codes(name: list[str], command: Any, run: Run) -> None:
    result = run(*name, "--help")
    assert result.exit_code == 0
    assert f"pipeline {' '.join(name)}" in command.help
    assert "Example: " in command.help
    assert "Exit codes: 0" in command.help
    assert result.stdout.isprintable() or "\x1b" not in result.stdout
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    assert "upload" in run().output
    assert run("nonsense").exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("messages",),
        ("errors", "20220131"),
        ("logs",),
        ("redrive",),
        ("replay", "20220131"),
        ("purge", "--yes"),
        ("backfill",),
    ],
    ids=lambda arguments: arguments[0],
)
def test_without_a_deployed_stack_each_command_says_what_to_do(
    run: Run, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nowhere = Target("local", "eu-west-1", "http://127.0.0.1:1", folder=tmp_path)
    monkeypatch.setattr(targets, "load", lambda _: nowhere)
    result = run(*arguments)
    assert result.exit_code == 1
    assert "make tf-apply" in result.stderr
    assert "Traceback" not in result.output
    assert len([line for line in result.stderr.splitlines() if "Error:" in line]) == 1


def test_an_environment_that_does_not_exist_is_a_usage_error(run: Run) -> None:
    result = run("status", "--env", "nowhere")
    assert result.exit_code == 2
    assert "There is no environment 'nowhere'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "variable", "expected"),
    [
        (["status"], None, "local"),
        (["status"], "staging", "staging"),
        (["--env", "prod", "status"], "staging", "prod"),
        (["--env", "prod", "status", "--env", "qa"], "staging", "qa"),
    ],
)
def test_the_target_comes_from_the_command_else_from_before_it_else_from_the_environment(
    stack: Stack, arguments: list[str], variable: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, [*arguments, "--json"], env={"ENV": variable})
    assert result.exit_code == 0
    words = "the local AWS" if expected == "local" else f"{expected} (AWS, eu-west-1)"
    assert f"Target: {words}" in result.stderr


def hold(stack: Stack) -> None:
    for kind in MODEL.kinds:
        stack.put(f"incoming/{kind}_{DAY}.csv")
    run_batch(stack, BatchState.HELD)


@pytest.mark.parametrize("arguments", [("purge",), ("release", DAY, "--no-wait"), ("redrive", DAY)], ids=" ".join)
def test_on_another_target_what_cannot_be_undone_needs_the_environments_name(
    stack: Stack, run: Run, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(stack)
    monkeypatch.setattr(Republisher, "republish_batch", lambda *_: 0)
    before = stack.cloud.items()
    for answer in ("yes\n", "\n", ""):
        refused = run(*arguments, "--env", "staging", answers=answer)
        assert (refused.exit_code, "That is not the environment's name" in refused.stderr) == (1, True)
        assert stack.cloud.items() == before
    assert "Target: staging (AWS, eu-west-1)" in refused.stderr
    assert run(*arguments, "--env", "staging", answers="staging\n").exit_code == 0


def test_yes_stands_for_the_environments_name(stack: Stack, run: Run) -> None:
    hold(stack)

    assert run("--env", "staging", "purge", "--yes").exit_code == 0

    assert not stack.cloud.items()


def reply(code: str, message: str = "no") -> aws.ClientError:
    return aws.ClientError({"Error": {"Code": code, "Message": message}}, "PutObject")


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (aws.NoCredentialsError(), ["no AWS credentials", "AWS_PROFILE"]),
        (aws.ProfileNotFound(profile="x"), ["profile (x) could not be found", "AWS_PROFILE"]),
        (aws.EndpointConnectionError(endpoint_url="http://x"), ["http://x", "Check the network"]),
        (OSError(28, "No space left on device", "x.csv"), ["x.csv has no room left"]),
        (reply("ExpiredToken"), ["not valid", "aws sso login"]),
        (reply("NoSuchBucket"), ["NoSuchBucket", "make tf-apply ENV=prod"]),
        (reply("AWS.SimpleQueueService.NonExistentQueue"), ["make tf-apply ENV=prod"]),
        (reply("AccessDenied", "User may not"), ["AccessDenied", "User may not"]),
        (ThrottledError("2 of 3 writes"), ["ThrottledError: 2 of 3 writes"]),
        (FileNotFoundError(2, "No such file or directory", "x.csv"), ["x.csv: No such file or directory"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_expected_failures_become_one_sentence(error: Exception, parts: list[str]) -> None:
    explained = explain(error, "prod")
    assert explained is not None
    for part in parts:
        assert part in str(explained)
    assert ".." not in str(explained)


def test_the_local_aws_that_is_down_is_started_by_a_command() -> None:
    assert "make tf-apply starts what is missing" in str(explain(aws.EndpointConnectionError(endpoint_url="http://x")))


def test_an_unexpected_exception_is_not_hidden(stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert explain(KeyError("x")) is None
    monkeypatch.setattr("pipeline_cli.verbs.status.find_batches", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("status")


def test_a_failure_in_a_command_is_one_line_with_its_text_as_it_is(
    stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise UsageError("a [bold]strange[/] name.", "Do [x].")

    monkeypatch.setattr("pipeline_cli.verbs.status.find_batches", fail)
    result = run("status")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "Error: a [bold]strange[/] name. Do [x]."


def test_sample_files_are_not_overwritten(run: Run, tmp_path: Path) -> None:
    arguments = ("sample", str(tmp_path), "--date", DAY, "--records", "2", "--defects", "0")
    assert json.loads(run(*arguments, "--json").stdout)["records"]["customers"] == 2
    again = run(*arguments)
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)
    assert run("sample", str(tmp_path), "--date", "20220231").exit_code == 2


def test_the_demo_runs_on_the_local_target_only(run: Run) -> None:
    result = run("demo", "--env", "prod")
    assert (result.exit_code, "on the local AWS only" in result.stderr) == (2, True)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["status", "--help"], ["check", "DAY"]])
def test_a_closed_pipe_ends_a_command_without_an_error(arguments: list[str], tmp_path: Path) -> None:
    """As in `pipeline --help | head`, but with a pipe that is closed before anything is written."""
    generate(tmp_path, "20220131", records=3)
    reading, writing = os.pipe()
    os.close(reading)
    words = [str(tmp_path) if word == "DAY" else word for word in arguments]
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pipeline_cli.app", *words],
            stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_command_imports_only_what_it_needs() -> None:
    """All commands together take most of a second to import, the AWS SDK a large part of it."""
    code = """
import sys
from pipeline_cli.app import app
app(["check", "--help"], standalone_mode=False)
print("imported", sorted(sys.modules.keys() & {"boto3", "duckdb", "hcl2", "jinja2"}))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.splitlines()[-1] == "imported ['duckdb']"
