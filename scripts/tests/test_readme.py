"""The commands of README.md, in their order, from the demo to the end of the local stack."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pipeline_cli.local import emulator
from pipeline_cli.terraform import target as targets
from pipeline_cli.terraform.local_stack import LocalStack
from pipeline_cli.terraform.target import ROOT
from pipeline_cli.verbs import demo, deploy

from scripts.tests.runbook import rows
from scripts.tests.support import Run

NOT_RUN = {
    "make test": "these are the tests",
    "make doctor ENV=dev": "it asks an AWS account; scripts/tests/verbs/test_doctor.py",
    "make package && make tf-apply ENV=dev": "it changes an AWS account; scripts/tests/terraform/test_terraform.py",
}


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    lines = (line.partition(" #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line]


@pytest.mark.e2e
def test_every_command_works_to_the_last_one(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder, port = tmp_path / "build" / "local", emulator.free_port()
    stack = LocalStack(folder, quiet=True)
    monkeypatch.setenv("MINISTACK_PORT", str(port))
    monkeypatch.setattr(demo, "FOLDER", folder)
    for verb in (demo, deploy):
        monkeypatch.setattr(verb, "LocalStack", lambda **_: stack)
    monkeypatch.setattr(
        targets, "load", lambda _: targets.Target("local", emulator.REGION, emulator.endpoint(port), folder=folder)
    )
    typed = ["make demo", *(command for command in commands() if command not in NOT_RUN)]  # the second demo empties
    assert set(NOT_RUN) <= set(commands()), "a reason for a command that is gone"
    arguments = [rows.arguments(command)[0] for command in [*typed, "make tf-destroy"]]
    monkeypatch.chdir(tmp_path)
    try:
        for words in arguments:
            result = run(*words)
            assert result.exit_code == 0, f"{words}: {result.output}"
        assert not (folder / "outputs.json").exists()
    finally:
        emulator.Emulator(folder).stop()
