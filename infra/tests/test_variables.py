"""Every variable has a description, and an invalid value is refused with a sentence that says what is valid."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from pipeline_cli.terraform.terraform_command import find_terraform

from infra.tests.support import INFRA, MODULES, Terraform, blocks, one_line, parse

pytestmark = pytest.mark.terraform

ROOT_VARIABLES = blocks(INFRA, "variable")
FOLDERS = [INFRA, *(INFRA / "modules" / name for name in MODULES)]

BAD: list[tuple[str, Any, str]] = [
    ("name", "Csv", "3 to 30 lower-case letters"),
    ("name", "csv--pipeline", "3 to 30 lower-case letters"),
    ("name", "a-name-that-is-far-too-long-for-it", "S3 takes at most 63 characters"),
    ("name", "aws-pipeline", "AWS keeps these prefixes"),
    ("environment", "Production!", "2 to 16 lower-case letters"),
    ("environment", "an-environment-of-length", "IAM takes at most 64 characters"),
    ("region", "Ireland", "a region's code such as eu-west-1"),
    ("region", "eu-west-1a", "not its name or an availability zone"),
    ("tags", {"aws:owner": "me"}, "must not start with aws:"),
    ("tags", {f"tag-{number}": "x" for number in range(41)}, "at most 40"),
    ("package_file", "pipeline.tar.gz", "path of a .zip file"),
    ("python_runtime", "python3.9", "the code needs Python 3.11"),
    ("python_runtime", "nodejs22.x", "the code needs Python 3.11"),
    ("architecture", "arm", "arm64 or x86_64"),
    ("memory_mb", {"deliver": 64}, "from 128 to 10240"),
    ("memory_mb", {"publish": 20480}, "from 128 to 10240"),
    ("memory_mb", {"transform": 512}, "at least 1024"),
    ("timeout_seconds", {"transform": 901}, "Lambda ends every call after 15 minutes"),
    ("timeout_seconds", {"intake": 3}, "from 10 to 900"),
    ("transform_storage_mb", 256, "from 512 to 10240"),
    ("transform_storage_mb", 20480, "from 512 to 10240"),
    ("reserved_concurrency", {"publish": 0}, "with 0 the function would never run"),
    ("log_level", "debug", "DEBUG, INFO, WARNING, ERROR or CRITICAL"),
    ("chunk_records", 10, "from 25"),
    ("chunk_records", 50_000, "20000"),
    ("deliver_concurrency", 0, "from 1 to 1000"),
    ("max_error_messages", 0, "the partner would get no message"),
    ("batch_timeout_hours", 400, "from 1 to 336"),
    ("large_days", {"workers": 1}, "one is the driver"),
    ("large_days", {"workers": 300}, "AWS Glue's limit"),
    ("large_days", {"worker_type": "G.025X"}, "too small for a join"),
    ("large_days", {"timeout_minutes": 5}, "from 10"),
    ("large_days", {"timeout_minutes": 720}, "fit twice into batch_timeout_hours"),
    ("large_days", {"max_concurrent_runs": 0}, "further days wait"),
    ("large_days", {"from_bytes": -1}, "a whole number of bytes"),
    ("due_days", 31, "from 0"),
    ("due_days", 0.5, "whole number"),
    ("days_ahead", 367, "a mistyped year"),
    ("days_ahead", -1, "from 0"),
    ("due_check_schedule", "noon", "a time of day in UTC such as cron(30 6 * * ? *)"),
    ("due_check_schedule", "cron(60 12 * * ? *)", "minutes 0 to 59"),
    ("due_check_schedule", "cron(0 24 * * ? *)", "hours 0 to 23"),
    ("due_check_schedule", "cron(0/5 * * * ? *)", "each check looks at one day's files, once"),
    ("due_check_schedule", "cron(0 12 * * * *)", "cron(30 6 ? * MON-FRI *)"),
    ("due_check_schedule", "rate(1 day)", "a time of day in UTC"),
    ("max_receive_count", 1, "a single interrupted call"),
    ("output_visibility_timeout_seconds", 5, "from 30 to 43200"),
    ("alarm_emails", ["night"], "e-mail addresses such as night@example.com"),
    ("alarm_emails", [f"night-{number}@example.com" for number in range(21)], "at most 20"),
    ("completed_batch_within_hours", 6, "batches come at most once a day"),
    ("completed_batch_within_hours", 200, "CloudWatch looks back seven days"),
    ("refused_share_percent", 101, "from 0"),
    ("output_age_alarm_hours", 336, "somebody needs time to act"),
    ("prices", {"queue_request": 5}, "for a single unit, not for a million"),
    ("log_retention_days", 100, "one of CloudWatch's steps"),
    ("work_retention_days", 7, "a run may last up to 14 days"),
    ("feedback_retention_days", 0, "from 1 to 3650"),
    ("max_refused_percent", 101, "from 0 to 100"),
    ("max_refused_percent", -1, "from 0 to 100"),
    ("max_refused_percent", 12.5, "a whole number"),
    ("old_version_retention_days", 1, "exact versions"),
    ("aborted_upload_retention_days", 0, "from 1 to 365"),
    ("kms_key", "yes", "must be create, the ARN of a key in this region"),
    ("kms_key", "arn:aws:kms:eu-west-1:123456789012:alias/mine", "not an alias"),
    ("kms_key", "arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef", "in this region"),
    ("access_log_bucket", "arn:aws:s3:::logs", "not its ARN"),
    ("partner_account_id", "1234", "12 digits"),
    ("partner_external_id", "short", "long enough not to be guessed"),
    ("partner_external_id", "given-without-an-account", "and only then"),
    ("table_ttl_attribute", "sk", "other than pk and sk"),
    ("vpc", {"cidr": "10.20.0.0"}, "a private range of /16 to /24"),
    ("vpc", {"cidr": "8.8.0.0/16"}, "a private range"),
    ("vpc", {"cidr": "10.20.0.0/28"}, "a sixteenth of it"),
    ("vpc", {"cidr": "10.20.0.0/20", "zones": ["a"]}, "two to four different letters"),
    ("vpc", {"cidr": "10.20.0.0/20", "zones": ["eu-west-1a", "eu-west-1b"]}, "two to four different letters"),
    ("require_tls", False, "in every environment but local"),
]
EDGES: list[dict[str, Any]] = [
    {"name": "abc", "environment": "a1", "region": "us-gov-west-1"},
    {"name": "a" * 30, "environment": "b" * 16, "tags": {f"tag-{number}": "x" for number in range(40)}},
    {"memory_mb": {"intake": 128, "transform": 1024}, "timeout_seconds": {"intake": 10, "transform": 900}},
    {"memory_mb": {"transform": 10240}, "transform_storage_mb": 10240, "reserved_concurrency": {"deliver": 1000}},
    {"chunk_records": 25, "deliver_concurrency": 1, "max_error_messages": 1, "max_receive_count": 2},
    {"chunk_records": 20_000, "deliver_concurrency": 1000, "max_error_messages": 100_000, "max_receive_count": 1000},
    {"alarm_emails": ["night@example.com"], "completed_batch_within_hours": None, "refused_share_percent": 0},
    {"completed_batch_within_hours": 168, "output_age_alarm_hours": 300, "prices": {"gb_second": 0}},
    {"kms_key": "create", "table_ttl_attribute": "expires_at", "output_fifo": False},
    {"kms_key": "arn:aws:kms:eu-west-1:123456789012:key/mrk-0123456789abcdef0123456789abcdef"},
    {"partner_account_id": "000000000012", "partner_external_id": "x" * 1224, "access_log_bucket": "logs.example"},
    {"vpc": {"cidr": "192.168.0.0/24", "zones": ["a", "b", "c", "f"]}},
    {"large_days": {}},
    {"large_days": {"workers": 299, "worker_type": "G.8X", "timeout_minutes": 1440}, "batch_timeout_hours": 49},
    {"due_check_schedule": None, "due_days": 0},
    {"due_check_schedule": "cron(59 23 ? * MON-THU,SAT *)", "due_days": 30, "days_ahead": 0},
    {"environment": "local", "require_tls": False},
    {"environment": "local-tests", "require_tls": False},
    {"architecture": "x86_64", "python_runtime": "python3.11", "package_file": "somewhere/else.zip"},
]


class Checker:
    """The root's variables alone, so that a value is checked without a provider in a fraction of a second."""

    def __init__(self, folder: Path) -> None:
        shutil.copy(INFRA / "variables.tf", folder)
        self._folder = folder
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
        quiet = {"TF_DATA_DIR": str(folder / "terraform"), "TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1"}
        self._terraform = Terraform(folder, str(find_terraform()), environment | quiet)

    def complaint(self, values: dict[str, Any]) -> str:
        """Return Terraform's error for these values; empty if they are valid."""
        file = self._folder / "values.tfvars.json"
        file.write_text(json.dumps(values))
        code, _, said = self._terraform.plan(var_file=str(file), detailed_exitcode=None, lock=False)
        return one_line(said) if code else ""


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Checker:
    return Checker(tmp_path_factory.mktemp("variables"))


@pytest.mark.parametrize(("name", "value", "reason"), BAD, ids=[f"{name}={str(value)[:20]}" for name, value, _ in BAD])
def test_bad_value_is_refused_with_the_reason(checker: Checker, name: str, value: Any, reason: str) -> None:
    complaint = checker.complaint({name: value})

    assert "Invalid value for variable" in complaint
    assert reason in complaint


@pytest.mark.parametrize("values", EDGES, ids=lambda values: ",".join(values))
def test_a_value_at_the_limit_is_accepted(checker: Checker, values: dict[str, Any]) -> None:
    assert checker.complaint(values) == ""


def test_every_bad_value_worth_a_validation_is_tried_here() -> None:
    validated = {name for name, body in ROOT_VARIABLES.items() if "validation" in body}

    assert {name for name, _, _ in BAD} == validated


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_variable_has_a_type_and_a_description_that_is_a_sentence(folder: Path) -> None:
    for name, body in blocks(folder, "variable").items():
        assert body.get("type"), name
        assert "any" not in str(body["type"]), name
        assert len(body["description"].split()) > 2, name
        assert body["description"].endswith("."), name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_output_has_a_description_that_is_a_sentence(folder: Path) -> None:
    for name, body in blocks(folder, "output").items():
        assert body["description"].endswith("."), name


def test_number_says_its_unit_and_its_range_and_is_validated() -> None:
    for name, body in ROOT_VARIABLES.items():
        if body["type"] == "number":
            assert body["validation"], name
            assert " to " in body["description"] or name == "log_retention_days", name


def test_root_variable_has_a_default_so_that_a_clean_checkout_plans() -> None:
    assert all("default" in body for body in ROOT_VARIABLES.values())


def test_message_names_the_variable_that_it_is_about() -> None:
    for name, body in ROOT_VARIABLES.items():
        for validation in body.get("validation", []):
            assert validation["error_message"].startswith(name), name
            assert validation["error_message"].endswith("."), name


def test_environment_file_sets_known_variables_only() -> None:
    for file in (INFRA / "env").glob("*.tfvars"):
        names = set(parse(file))
        assert names <= set(ROOT_VARIABLES), file.name
        assert f'"{file.stem}"' in file.read_text()
