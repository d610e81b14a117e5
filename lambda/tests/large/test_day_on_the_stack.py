"""A large day on the deployed stack, from its files to its messages, with the job on a local Spark."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.privileges import INFRA, Grant, Privileges, grants_of, without
from e2e.stack import Stack, eventually
from e2e.test_day import CUSTOMERS, files_of, run_locally
from pipeline.ledger import BatchState, Ledger
from pipeline.model.batch_files import DELIVERED_PREFIX
from pipeline.stages.large_day import OUTCOME
from pipeline_cli.local import glue
from pipeline_cli.terraform import job_package, package
from pipeline_cli.terraform.local_stack import deployed_stack
from pipeline_cli.terraform.target import ROOT

pytestmark = pytest.mark.spark

JOB_SECONDS = 400.0
"""Longest wait for a day: the job starts a Java and several Python processes, and is run again if it fails."""
LARGE_DAYS = "\nlarge_days = { from_bytes = 1, workers = 2 }\n"
GRANTS = [
    grant
    for grant in grants_of(INFRA / "modules/large_days/policy.json.tftpl")
    # Glue asks for these when it loads the code; the emulator loads it with no role.
    if grant.statement not in ("ReadOwnCode", "ListOwnCode")
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack with large days switched on, for which every day is a large one."""
    if reason := glue.missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("large")
    source = shutil.copytree(ROOT / "infra", folder / "infra", ignore=shutil.ignore_patterns("tests", ".terraform*"))
    variables = source / "env" / "local.tfvars"
    variables.write_text(variables.read_text() + LARGE_DAYS)
    built = package.build("local")
    job_package.build("local")
    with deployed_stack(folder / "stack", built.file, source) as target:
        yield Stack(target)


def job_runs(stack: Stack, day: str) -> list[dict[str, Any]]:
    """The runs of the job for a day, the latest last."""
    name = stack.target.output("large_day_job_name")
    found = stack.target.client("glue").get_job_runs(JobName=name)["JobRuns"]
    return [run for run in found if f"/{day}/" in run["Arguments"]["--request"]]


def test_a_large_day_is_delivered_as_a_small_one_and_the_ledger_knows_the_job(stack: Stack, tmp_path: Path) -> None:
    day, files = "20230101", files_of("20230101")
    stack.upload(files)

    entry = stack.ended(day, JOB_SECONDS)

    assert (entry.state, entry.cause) == (BatchState.COMPLETED, None)
    assert stack.counted(day) == run_locally(day, files, tmp_path / "check")
    outcome = stack.bucket.get_json(f"work/{day}/{entry.version}/{OUTCOME}")
    assert outcome["execution"] == entry.execution
    assert len(stack.bucket.get_json(outcome["outcome"]["manifest"])) == entry.chunks
    (run,) = job_runs(stack, day)
    assert run["JobRunState"] == "SUCCEEDED"
    assert entry.large_day is not None
    assert (entry.large_day["run"], entry.large_day["dpu_seconds"]) == (run["Id"], 2 * run["ExecutionTime"])
    assert not any(stack.dead_letters().values())


def test_a_stopped_run_stops_its_job(stack: Stack) -> None:
    day = "20230102"
    stack.upload(files_of(day))
    eventually(lambda: [run["JobRunState"] for run in job_runs(stack, day)] == ["RUNNING"], "the job's start")
    (name,) = stack.executions(day)

    stack.stepfunctions.stop_execution(executionArn=stack.workflow.execution_arn(name))

    eventually(lambda: [run["JobRunState"] for run in job_runs(stack, day)] == ["STOPPED"], "the job's end")
    assert stack.ended(day, JOB_SECONDS).state is BatchState.FAILED


def test_a_job_that_fails_twice_fails_the_run_and_says_why(stack: Stack) -> None:
    day = "20230103"
    reads_requests = next(grant for grant in GRANTS if grant.action == "s3:GetObject")

    with Privileges(stack).changed("large_day", "work", lambda policy: without(policy, reads_requests)):
        stack.upload(files_of(day))
        entry = stack.ended(day, JOB_SECONDS)

    assert entry.state is BatchState.FAILED
    assert [run["JobRunState"] for run in job_runs(stack, day)] == ["FAILED", "FAILED"]
    assert re.match(r"States\.TaskFailed: \w+: An error occurred \(\w+\) .* GetObject operation", str(entry.cause))
    (error,) = [body for body in stack.messages(day) if body["type"] == "error_message"]
    assert (error["code"], error["file"]) == ("run_failed", None)
    assert str(entry.cause) in error["message"]


@pytest.fixture(scope="module")
def corrected(stack: Stack) -> Ledger:
    """A day whose correction has refused records and removes a customer, so that the job needs all its permissions."""
    day = "20230105"
    stack.upload(files_of(day))
    assert stack.ended(day, JOB_SECONDS).state is BatchState.COMPLETED
    client, place = stack.target.client("s3"), {"Bucket": stack.bucket.name}
    lists = {
        key: client.get_object(**place, Key=key)["Body"].read()
        for key in stack.bucket.keys(f"{DELIVERED_PREFIX}{day}/")
    }
    stack.upload(files_of(day, customers=CUSTOMERS.replace("2,Max,Born,c-2,Active\n", "")))
    entry = stack.ended(day, JOB_SECONDS)
    assert entry.state is BatchState.COMPLETED
    # The end of the run has deleted the lists of earlier versions, which the job reads when it runs again.
    for key, content in lists.items():
        client.put_object(**place, Key=key, Body=content)
    return entry


def run_job(stack: Stack, entry: Ledger) -> dict[str, Any]:
    """Run the job for a day again, and return its run."""
    name, client = stack.target.output("large_day_job_name"), stack.target.client("glue")
    request = f"work/{entry.batch}/{entry.version}/large_day/request.json"
    number = client.start_job_run(JobName=name, Arguments={"--request": request})["JobRunId"]

    def ended() -> dict[str, Any] | None:
        run: dict[str, Any] = client.get_job_run(JobName=name, RunId=number)["JobRun"]
        return run if run["JobRunState"] in glue.ENDED else None

    found: dict[str, Any] = eventually(ended, "the job's end", JOB_SECONDS)
    return found


@pytest.mark.privileges
def test_the_job_runs_again_with_all_its_permissions(stack: Stack, corrected: Ledger) -> None:
    assert run_job(stack, corrected)["JobRunState"] == "SUCCEEDED"


@pytest.mark.privileges
@pytest.mark.parametrize("grant", GRANTS, ids=lambda grant: re.sub(r"[^\w:/-]+", "-", str(grant)))
def test_the_job_fails_without_the_permission(stack: Stack, corrected: Ledger, grant: Grant) -> None:
    with Privileges(stack).changed("large_day", "work", lambda policy: without(policy, grant)):
        run = run_job(stack, corrected)

    assert run["JobRunState"] == "FAILED", f"the job does its work without {grant}"
    assert re.search("AccessDenied|not authorized|Forbidden", run["ErrorMessage"])
