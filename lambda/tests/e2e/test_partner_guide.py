"""The blocks of docs/partner.md that send files, run as they are written, with the credentials of a partner."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest
from e2e.stack import Stack
from e2e.test_partner import AWS
from pipeline.ledger import BatchState
from pipeline_cli.terraform.target import ROOT
from pipeline_cli.verbs.local import partner_environment
from pipeline_cli.verbs.sample import generate

pytestmark = [pytest.mark.e2e, pytest.mark.scenarios]

GUIDE = (ROOT / "docs" / "partner.md").read_text()
TRUST = (ROOT / "infra" / "modules" / "partner" / "trust.json.tftpl").read_text()
EXAMPLE_DAY = "20220131"
ACCOUNT = "arn:aws:iam::000000000000:root"
ROLE = "partner-of-the-guide"


def block(language: str, containing: str) -> str:
    """The block of code of the guide that contains a text."""
    (found,) = (text for text in re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL) if containing in text)
    return dedent(found)


@dataclass(frozen=True)
class Partner:
    """A partner's machine: the profile csv-partner, and a day in build/day."""

    stack: Stack
    day: str
    home: Path
    environment: Mapping[str, str]

    @property
    def local(self) -> str:
        """What a profile needs to reach the local AWS."""
        return block("ini", "addressing_style").replace("http://127.0.0.1:4566", str(self.stack.target.endpoint_url))

    def filled_in(self, text: str) -> str:
        return text.replace("BUCKET", self.stack.bucket.name).replace(EXAMPLE_DAY, self.day)

    def run(self, *command: str | Path, folder: str = ".") -> None:
        done = subprocess.run(
            command, cwd=self.home / folder, env=self.environment,
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.fixture
def machine(stack: Stack, day: str, tmp_path: Path) -> Partner:
    generate(tmp_path / "build" / "day", day, records=20)
    key = partner_environment(stack.target, stack.target.output("partner_user_name"))
    (tmp_path / "credentials").write_text(
        f"[csv-partner]\naws_access_key_id = {key['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {key['AWS_SECRET_ACCESS_KEY']}\n"
    )
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    # The AWS CLI keeps a role's credentials in its home, where those of another emulator would be found.
    places = {
        "HOME": tmp_path,
        "AWS_CONFIG_FILE": tmp_path / "config",
        "AWS_SHARED_CREDENTIALS_FILE": tmp_path / "credentials",
    }
    made = Partner(stack, day, tmp_path, own | {name: str(path) for name, path in places.items()})
    (tmp_path / "config").write_text(f"[profile csv-partner]\nregion = {stack.target.region}\n{made.local}")
    return made


def test_the_python_of_the_guide_sends_a_file(machine: Partner) -> None:
    machine.run(sys.executable, "-c", machine.filled_in(block("python", "boto3")), folder="build/day")

    sent = [key for key in machine.stack.bucket.keys("incoming/") if machine.day in key]
    assert sent == [f"incoming/customers_{machine.day}.csv"]


@pytest.mark.skipif(not shutil.which("rclone"), reason="rclone is not installed")
def test_the_rclone_of_the_guide_sends_a_day(machine: Partner) -> None:
    local = f"endpoint = {machine.stack.target.endpoint_url}\n"
    # For AWS rclone names the bucket in the host, and hosts such as BUCKET.127.0.0.1 don't exist.
    config = block("ini", "provider = AWS").replace("provider = AWS", "provider = Other")
    (machine.home / "rclone.conf").write_text(config + local)

    machine.run(*shlex.split(machine.filled_in(block("sh", "rclone copy"))), "--config", machine.home / "rclone.conf")

    assert machine.stack.ended(machine.day).state is BatchState.COMPLETED


@pytest.fixture
def role(stack: Stack) -> Iterator[Callable[[str], str]]:
    """Create the partner's role with an external id, and leave to the partner's user only the right to assume it."""
    iam, user = stack.target.client("iam"), stack.target.output("partner_user_name")
    policies = {
        name: json.dumps(iam.get_user_policy(UserName=user, PolicyName=name)["PolicyDocument"])
        for name in iam.list_user_policies(UserName=user)["PolicyNames"]
    }

    def create(external_id: str) -> str:
        trust = TRUST.replace("${account_arn}", ACCOUNT).replace("${external_id}", external_id)
        arn = str(iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust)["Role"]["Arn"])
        for name, policy in policies.items():
            iam.put_role_policy(RoleName=ROLE, PolicyName=name, PolicyDocument=policy)
            iam.delete_user_policy(UserName=user, PolicyName=name)
        assume = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": arn}
        document = json.dumps({"Version": "2012-10-17", "Statement": [assume]})
        iam.put_user_policy(UserName=user, PolicyName="assume", PolicyDocument=document)
        return arn

    yield create

    iam.delete_user_policy(UserName=user, PolicyName="assume")
    for name, policy in policies.items():
        iam.put_user_policy(UserName=user, PolicyName=name, PolicyDocument=policy)
        iam.delete_role_policy(RoleName=ROLE, PolicyName=name)
    iam.delete_role(RoleName=ROLE)


def test_the_profile_of_a_role_in_the_guide_sends_a_day(machine: Partner, role: Callable[[str], str]) -> None:
    """The role is the one that the variable partner creates: its trust policy, and the user's policies."""
    if not AWS.exists():
        pytest.skip("the AWS CLI is not installed: make test-scenarios")
    profile = block("ini", "role_arn").replace("source_profile = default", "source_profile = own")
    (external_id,) = re.findall(r"external_id = (\S+)", profile)
    written = re.sub(r"role_arn = \S+", f"role_arn = {role(external_id)}", profile)
    (machine.home / "config").write_text(f"{written}{machine.local}[profile own]\n{machine.local}")
    key = (machine.home / "credentials").read_text()
    (machine.home / "credentials").write_text(key.replace("[csv-partner]", "[own]"))
    (command,) = (line for line in block("sh", "s3 cp build/day/ ").splitlines() if "incoming/ --recursive" in line)

    machine.run(AWS, *shlex.split(machine.filled_in(command))[1:])

    assert machine.stack.ended(machine.day).state is BatchState.COMPLETED
