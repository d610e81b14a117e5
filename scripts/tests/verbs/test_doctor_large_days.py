"""`pipeline doctor` and large days: the job runs what was built, and the account or this machine can run it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from pipeline_cli.local import glue
from pipeline_cli.terraform import job_package
from pipeline_cli.verbs.doctor import large_days

from scripts.tests.support import REGION
from scripts.tests.verbs.test_doctor import StubbedTarget, answer, levels, made

CONTENT = b"a zip of wheels"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    file = tmp_path / "pipeline.gluewheels.zip"
    file.write_bytes(CONTENT)
    monkeypatch.setattr(job_package, "zip_file", lambda _: file)
    return file


def target(tmp_path: Path, *, name: str = "prod", content: bytes = CONTENT, dpus: float = 100) -> StubbedTarget:
    endpoint = "http://127.0.0.1:1" if name == "local" else None
    found = StubbedTarget(name, REGION, endpoint, {"large_day_job_name": "large-day"}, tmp_path / "build")
    job: dict[str, Any] = {
        "NumberOfWorkers": 10,
        "WorkerType": "G.2X",
        "ExecutionProperty": {"MaxConcurrentRuns": 2},
        "DefaultArguments": {"--additional-python-modules": "s3://bucket/code/pipeline.gluewheels.zip"},
    }
    answer(found, "glue", get_job={"Job": job})
    answer(found, "s3", head_object={"Metadata": {"sha256": hashlib.sha256(content).hexdigest()}})
    quota = {"QuotaName": "Max task DPUs per account", "QuotaCode": "L-08F3B322", "Value": dpus}
    asked = {"ServiceCode": "glue", "QuotaCode": "L-08F3B322"}
    answer(found, "service-quotas", asked, get_service_quota={"Quota": quota})
    return found


def test_without_large_days_it_says_what_happens_to_a_large_day(tmp_path: Path) -> None:
    (found,) = made(large_days, StubbedTarget("prod", REGION, None, {}, tmp_path))
    assert (found.level, "variable large_days" in found.text) == ("ok", True)


@pytest.mark.parametrize(
    ("dpus", "level", "said"),
    [(40, "ok", "40 DPUs at once"), (39, "problem", "they wait or fail")],
)
def test_the_accounts_dpus_are_compared_with_what_all_runs_can_use(
    tmp_path: Path, built: Path, dpus: float, level: str, said: str
) -> None:
    package, quota = made(large_days, target(tmp_path, dpus=dpus))
    assert (package.level, quota.level) == ("ok", level)
    assert said in quota.text


def test_a_job_that_runs_another_package_is_found(tmp_path: Path, built: Path) -> None:
    assert levels(made(large_days, target(tmp_path, content=b"older"))) == ["warning", "ok"]
    built.unlink()
    assert levels(made(large_days, target(tmp_path))) == ["warning", "ok"]


@pytest.mark.parametrize(("reason", "level"), [("there is no Java", "problem"), (None, "ok")])
def test_on_this_machine_java_and_spark_are_needed(
    tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch, reason: str | None, level: str
) -> None:
    monkeypatch.setattr(glue, "missing", lambda: reason)
    assert levels(made(large_days, target(tmp_path, name="local"))) == ["ok", level]
