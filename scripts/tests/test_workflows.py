"""The workflows by zizmor's audits, and what a release attests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pipeline_cli.terraform.target import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"


def test_zizmor_finds_nothing() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    command = [zizmor, "--offline", "--quiet", "--no-progress", WORKFLOWS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_job_that_publishes_a_release_may_write_and_it_runs_none_of_our_code() -> None:
    jobs = yaml.safe_load((WORKFLOWS / "release.yml").read_text())["jobs"]
    writers = {name for name, job in jobs.items() if "write" in job["permissions"].values()}
    steps = jobs["publish"]["steps"]

    assert writers == {"publish"}
    assert [step["run"].split()[:3] for step in steps if "run" in step] == [["gh", "release", "create"]]
    attested = [step["with"] for step in steps if step.get("uses", "").startswith("actions/attest@")]
    assert [(one["subject-path"], one.get("sbom-path")) for one in attested] == [
        ("build/release/*", None),
        ("build/release/pipeline-*.zip", "build/release/sbom.cdx.json"),
    ]


@pytest.mark.slow
def test_bill_of_materials_names_exactly_the_locked_packages_with_their_hashes(tmp_path: Path) -> None:
    subprocess.run([ROOT / "scripts" / "sbom.sh", tmp_path / "sbom.cdx.json"], check=True)
    components = json.loads((tmp_path / "sbom.cdx.json").read_text())["components"]
    locked = (ROOT / "lambda" / "requirements.lock").read_text()

    assert {f"{one['name']}=={one['version']}" for one in components} == set(
        re.findall(r"^[\w.-]+==[\w.]+", locked, re.MULTILINE)
    )
    named = {digest["content"] for one in components for ref in one["externalReferences"] for digest in ref["hashes"]}
    assert named == set(re.findall(r"sha256:(\w+)", locked))
