from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipeline_cli.local.emulator import Record
from pipeline_cli.output.errors import CommandError, UsageError
from pipeline_cli.terraform import target as targets
from pipeline_cli.terraform.target import Target, load


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "infra" / "env").mkdir(parents=True)
    (tmp_path / "infra" / "variables.tf").write_text(
        'variable "region" {\n  default = "eu-west-1"\n}\nvariable "size" {\n  default = 5\n}\n'
    )
    (tmp_path / "infra" / "env" / "local.tfvars").touch()
    (tmp_path / "infra" / "env" / "prod.tfvars").write_text('# Ours.\nregion = "eu-central-1"\n')
    return tmp_path


def deploy(root: Path, env: str, **outputs: str) -> None:
    folder = root / "build" / env
    folder.mkdir(parents=True)
    (folder / "outputs.json").write_text(json.dumps({name: {"value": value} for name, value in outputs.items()}))


def test_the_machines_own_aws_settings_do_not_reach_the_local_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "real")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://elsewhere.example")

    client = Target("local", "eu-west-1", "http://127.0.0.1:1").client("s3")

    assert client.meta.endpoint_url == "http://127.0.0.1:1"
    assert client._request_signer._credentials.access_key == "none"
    assert client._request_signer._credentials.token is None


def test_outputs_of_a_local_aws_that_has_ended_since_are_not_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(root, "local", table_name="t")
    running: list[Record] = [Record("first", 1, 4566, "")]
    monkeypatch.setattr(targets.emulator.Emulator, "running", lambda _: running[0] if running else None)
    assert load(root=root).output("table_name") == "t"

    running.clear()
    with pytest.raises(CommandError, match="Nothing is deployed"):
        _ = load(root=root).outputs


def test_an_account_is_known_by_its_outputs(root: Path) -> None:
    deploy(root, "prod", region="us-east-1", bucket_name="b")

    target = load("prod", root)

    assert not target.is_local
    assert target.region == "us-east-1"
    assert target.output("bucket_name") == "b"
    assert target.description == "prod (AWS, us-east-1)"
    with pytest.raises(CommandError, match=r"no output table_name, so it is older.*make tf-apply ENV=prod"):
        target.output("table_name")


def test_without_outputs_of_an_account_the_error_says_how_to_get_them(root: Path) -> None:
    target = load("prod", root)

    assert target.region == "eu-central-1"
    with pytest.raises(CommandError, match=r"not known on this machine.*make tf-init ENV=prod"):
        _ = target.outputs


@pytest.mark.parametrize("name", ["staging", "../prod", ""])
def test_an_environment_that_does_not_exist_is_refused_with_those_that_do(root: Path, name: str) -> None:
    with pytest.raises(UsageError, match="infra/env/ has local, prod"):
        load(name, root)


def test_variables_are_defaults_overridden_by_the_environments(root: Path) -> None:
    assert targets.variables("prod", root) == {"region": "eu-central-1", "size": 5}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('regoin = "eu-central-1"\n', "sets regoin, and there is no such variable. Is it region"),
        ('region = "eu-central-1\nsize = 5\n', r"prod.tfvars is not valid: Terraform's syntax ends at line 1"),
    ],
)
def test_a_mistake_in_the_environments_file_is_named(root: Path, text: str, said: str) -> None:
    (root / "infra" / "env" / "prod.tfvars").write_text(text)
    with pytest.raises(UsageError, match=said):
        targets.variables("prod", root)
