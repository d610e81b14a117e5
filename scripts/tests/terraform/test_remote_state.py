from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from moto import mock_aws
from pipeline_cli.local import emulator
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import remote_state
from pipeline_cli.terraform.account_stack import AccountStack
from pipeline_cli.terraform.target import Target
from pipeline_cli.terraform.terraform_command import Terraform

from scripts.tests.support import Run

REGION = "eu-west-1"
BUCKET = "csv-pipeline-state-123456789012"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """An empty AWS account."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield Target("prod", REGION)


@pytest.fixture
def stack(tmp_path: Path) -> AccountStack:
    """An environment with a configuration of one thing that needs no provider."""
    source = tmp_path / "infra"
    (source / "env").mkdir(parents=True)
    (source / "main.tf").write_text('resource "terraform_data" "this" {\n  input = "kept"\n}\n')
    return AccountStack("prod", source, tmp_path / "build")


def test_bucket_is_private_versioned_encrypted_and_reached_over_tls_only(account: Target) -> None:
    s3 = account.client("s3")
    # As an interrupted try leaves it.
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})

    assert remote_state.bootstrap(account, "csv-pipeline") == remote_state.bootstrap(account, "csv-pipeline") == BUCKET
    assert all(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values())
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    (rule,) = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert statement["Resource"] == [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]


def test_bucket_of_another_account_is_refused(account: Target) -> None:
    s3 = account.client("s3")
    taken = s3.exceptions.BucketAlreadyExists({"Error": {"Code": "BucketAlreadyExists"}}, "CreateBucket")
    with (
        mock.patch.object(s3, "create_bucket", side_effect=taken),
        pytest.raises(CommandError, match="belongs to another account"),
    ):
        remote_state._create(s3, BUCKET, REGION)


def test_the_local_state_stays_here(run: Run) -> None:
    result = run("deploy", "state")
    assert result.exit_code == 2
    assert "stays on this machine" in result.stderr


def test_nothing_is_made_without_a_yes(run: Run) -> None:
    result = run("deploy", "state", "--env", "prod", answers="n\n")
    assert result.exit_code == 0
    assert "Nothing was done.\n" in result.stdout


@pytest.mark.e2e
@pytest.mark.skipif(not shutil.which("terraform"), reason="needs a terraform of its own")
def test_state_moves_into_the_bucket_and_is_locked_there(
    stack: AccountStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with emulator.temporary_emulator(tmp_path / "aws") as record:
        endpoint = emulator.endpoint(record.port)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", record.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", record.secret_key)
        monkeypatch.setenv("TF_CLI_CONFIG_FILE", os.devnull)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        target = Target("prod", REGION, endpoint, folder=tmp_path / "aws")
        stack.terraform.run("init", "-input=false")
        stack.terraform.run("apply", "-auto-approve", "-input=false")
        bucket = remote_state.bootstrap(target, "csv-pipeline")
        target.client("s3").delete_bucket_policy(Bucket=bucket)  # the local AWS speaks plain HTTP
        file = remote_state.write_backend(stack, bucket, "csv-pipeline", REGION)
        for_here = f'endpoints = {{ s3 = "{endpoint}" }}\nuse_path_style = true\n'
        skipped = ("credentials_validation", "requesting_account_id", "metadata_api_check", "region_validation")
        file.write_text(file.read_text() + for_here + "".join(f"skip_{name} = true\n" for name in skipped))

        stack.move_state()

        key = "env:/prod/csv-pipeline.tfstate"
        kept = json.loads(target.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
        assert kept["resources"][0]["instances"][0]["attributes"]["input"]["value"] == "kept"
        assert "0 to add" in apply(stack.terraform) or "No changes" in apply(stack.terraform)
        fresh = AccountStack("dev", stack.source, stack.builds)
        fresh.backend_file.write_text(file.read_text())
        fresh.move_state()
        assert "1 added" in apply(fresh.terraform), "an environment that was never deployed starts there"
        stack._prepare()
        lock = json.dumps({"ID": "somebody", "Operation": "apply", "Who": "another"}).encode()
        target.client("s3").put_object(Bucket=bucket, Key=f"{key}.tflock", Body=lock)
        with pytest.raises(CommandError, match="Another plan, apply or destroy"):
            apply(stack.terraform)


def apply(terraform: Terraform) -> str:
    return terraform.run("apply", "-auto-approve", "-input=false", "-no-color", "-lock-timeout=0s")
