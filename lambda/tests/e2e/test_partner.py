"""docs/partner.md as a test: a partner sends and corrects a day with the real AWS CLI and reads the feedback."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from e2e.stack import Stack
from pipeline.ledger import BatchState
from pipeline_cli.terraform.target import ROOT
from pipeline_cli.verbs.local import partner_environment
from pipeline_cli.verbs.sample import generate

pytestmark = pytest.mark.e2e

AWS = ROOT / "build" / "aws-cli" / "bin" / "aws"
GUIDE = (ROOT / "docs" / "partner.md").read_text()
Cli = Callable[..., subprocess.CompletedProcess[str]]


def block(language: str, containing: str) -> str:
    """The block of code of the guide that contains a text."""
    (found,) = (text for text in re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL) if containing in text)
    return dedent(found)


@pytest.fixture
def environment(stack: Stack, tmp_path: Path) -> dict[str, str]:
    """What the partner's processes see: the guide's profile for the local AWS, and nothing of this machine's."""
    key = partner_environment(stack.target, stack.target.output("partner_user_name"))
    local = block("ini", "addressing_style").replace("http://127.0.0.1:4566", str(stack.target.endpoint_url))
    config, credentials = tmp_path / "config", tmp_path / "credentials"
    config.write_text(f"[profile csv-partner]\nregion = {stack.target.region}\n{local}")
    credentials.write_text(
        f"[csv-partner]\naws_access_key_id = {key['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {key['AWS_SECRET_ACCESS_KEY']}\n"
    )
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**own, "AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(credentials)}


@pytest.fixture
def aws(environment: dict[str, str]) -> Cli:
    """Run the AWS CLI as the partner."""
    if not AWS.exists():
        pytest.skip("the AWS CLI is not installed: make test, or make build/aws-cli/.ready")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [AWS, *map(str, arguments), "--profile", "csv-partner"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    return run


def test_the_python_of_the_guide_sends_a_file(
    stack: Stack, day: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    generate(tmp_path, day, records=20)
    code = block("python", "boto3").replace("BUCKET", stack.bucket.name).replace("20220131", day)

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert [key for key in stack.bucket.keys("incoming/") if day in key] == [f"incoming/customers_{day}.csv"]


@pytest.mark.skipif(not shutil.which("rclone"), reason="rclone is not installed")
def test_the_rclone_of_the_guide_sends_a_day(
    stack: Stack, day: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    generate(tmp_path / "build" / "day", day, records=20)
    # For AWS rclone names the bucket in the host, and hosts such as BUCKET.127.0.0.1 don't exist.
    remote = block("ini", "provider = AWS").replace("provider = AWS", "provider = Other")
    (tmp_path / "rclone.conf").write_text(f"{remote}endpoint = {stack.target.endpoint_url}\n")
    command = block("sh", "rclone copy").replace("BUCKET", stack.bucket.name).replace("20220131", day)

    done = subprocess.run(
        [*shlex.split(command), "--config", tmp_path / "rclone.conf"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert stack.ended(day).state is BatchState.COMPLETED


def test_a_partner_sends_a_day_corrects_it_and_reads_the_feedback(
    stack: Stack, day: str, tmp_path: Path, aws: Cli
) -> None:
    folder = tmp_path / "day"
    files = generate(folder, day, records=20, defects=0.05).files
    bucket = f"s3://{stack.bucket.name}"

    sent = aws("s3", "cp", folder, f"{bucket}/incoming/", "--recursive")
    assert sent.returncode == 0, sent.stderr
    first = stack.ended(day)
    assert first.state is BatchState.COMPLETED

    def verdict() -> dict[str, object]:
        printed = aws("s3", "cp", f"{bucket}/feedback/{day}/verdict.json", "-")
        assert printed.returncode == 0, printed.stderr
        found: dict[str, object] = json.loads(printed.stdout)
        return found

    assert (verdict()["state"], verdict()["version"]) == ("COMPLETED", first.version)
    assert aws("s3", "cp", f"{bucket}/feedback/{day}/", tmp_path / "back", "--recursive").returncode == 0
    assert list((tmp_path / "back").rglob("*_rejects.csv"))

    corrected = next(file for file in files.values() if file.name.startswith("items_"))
    corrected.write_bytes(b"\n".join(corrected.read_bytes().split(b"\n")[:-2]) + b"\n")
    assert aws("s3", "cp", corrected, f"{bucket}/incoming/").returncode == 0
    second = stack.ended(day)
    assert second.version != first.version
    assert verdict()["version"] == second.version


def test_a_partner_can_send_a_large_file_in_parts(stack: Stack, day: str, tmp_path: Path, aws: Cli) -> None:
    large = tmp_path / f"customers_{day}.csv"
    large.write_bytes(b"customer_reference,first_name,last_name,status\n" + b"c,first,last,active\n" * 500_000)
    assert large.stat().st_size > 8 << 20

    assert aws("s3", "cp", large, f"s3://{stack.bucket.name}/incoming/").returncode == 0

    stored = stack.s3.head_object(Bucket=stack.bucket.name, Key=f"incoming/{large.name}")
    assert stored["ContentLength"] == large.stat().st_size
    assert "-" in stored["ETag"], "it came in one part"


def test_what_the_guide_forbids_is_denied(stack: Stack, tmp_path: Path, aws: Cli) -> None:
    (tmp_path / "day").mkdir()
    synced = aws("s3", "sync", tmp_path / "day", f"s3://{stack.bucket.name}/incoming/")
    assert "AccessDenied" in synced.stderr
    assert aws("s3", "cp", f"s3://{stack.bucket.name}/incoming/x.csv", "-").returncode != 0
