"""Large days: the job with its rights, the states that run it, and nothing of both without the variable."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import botocore.session
import pipeline
import pytest
from pipeline import errors
from pipeline.stages import large_day

from infra.tests.current_provider import asl
from infra.tests.current_provider.schema_provider import REGION
from infra.tests.current_provider.terraform_check import EVERYTHING, CurrentProvider
from infra.tests.support import BUCKET, INFRA, LAMBDA, PREFIX, Plan
from infra.tests.test_state_machine import (
    EVENTS_PER_TRY,
    HISTORY_EVENTS,
    followers,
    leaves,
    longest_wait,
    reachable,
    retrier,
)

pytestmark = pytest.mark.terraform

MODULE = "module.large_days[0]"


@pytest.fixture(scope="module")
def large(terraform: CurrentProvider) -> Plan:
    """The plan with large days switched on, with their defaults."""
    return terraform.plan({"large_days": {}})


def test_without_large_days_there_is_nothing_of_them(plan: Plan) -> None:
    assert not [address for address in plan.resources if "glue" in address or "large_days" in address]
    assert not [name for name in plan.definition["States"] if "LargeDay" in name]
    assert plan.definition["States"]["Transform"]["Catch"] == [
        {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "RunFailed"}
    ]
    assert plan.outputs()["large_day_job_name"] is None


def test_transform_knows_whether_there_is_a_job_and_from_which_size_on(plan: Plan, full: Plan) -> None:
    chosen = EVERYTHING["large_days"]

    assert (plan.settings("transform")["LARGE_DAYS"], full.settings("transform")["LARGE_DAYS"]) == ("false", "true")
    assert full.settings("transform")["LARGE_DAY_BYTES"] == str(chosen["from_bytes"])
    job = full[f"{MODULE}.aws_glue_job.this"]
    assert (job["number_of_workers"], job["worker_type"]) == (chosen["workers"], chosen["worker_type"])


def test_a_day_that_is_too_large_or_killed_the_function_leads_to_the_job_and_from_there_on_as_always(
    large: Plan,
) -> None:
    # AWS Step Functions Developer Guide, "Handle Lambda service exceptions": unhandled errors, which include
    # out-of-memory errors and function timeouts, are reported as Lambda.Unknown.
    states = large.definition["States"]

    killed, others = states["Transform"]["Catch"]
    assert set(killed["ErrorEquals"]) >= {"Sandbox.Timedout", "States.Timeout", "Runtime.ExitError", "Lambda.Unknown"}
    assert (killed["Next"], others["Next"]) == ("SubmitLargeDay", "RunFailed")
    assert states["SubmitLargeDay"]["Parameters"]["Payload"] == {
        **states["Transform"]["Parameters"]["Payload"],
        "too_large": True,
    }
    assert states["SubmitLargeDay"]["Next"] == states["Transform"]["Next"] == "Transformed"
    assert states["Transformed"]["Choices"][0] == {
        "Variable": "$.transform.outcome.next",
        "StringEquals": "TOO_LARGE",
        "Next": "TransformLargeDay",
    }
    assert states["TransformLargeDay"]["Next"] == "CollectLargeDay"
    assert states["CollectLargeDay"]["Next"] == "Transformed"
    assert reachable(large.definition["StartAt"], states) == set(states)


def test_the_other_states_are_the_same_as_without_large_days(plan: Plan, large: Plan) -> None:
    added = {"SubmitLargeDay", "TransformLargeDay", "CollectLargeDay"}
    states = {name: state for name, state in large.definition["States"].items() if name not in added}
    states["Transform"] = {**states["Transform"], "Catch": states["Transform"]["Catch"][1:]}
    states["Transformed"] = {**states["Transformed"], "Choices": states["Transformed"]["Choices"][1:]}

    assert {**large.definition, "States": states} == plan.definition


@pytest.mark.skipif(asl.missing() is not None, reason=f"asl-validator: {asl.missing()}")
def test_state_machine_with_large_days_is_valid(large: Plan) -> None:
    assert asl.problems(large.definition) == ""
    broken = json.loads(json.dumps(large.definition))
    broken["States"]["TransformLargeDay"]["Next"] = "Nowhere"
    assert asl.problems(broken) != ""


def test_the_job_is_run_and_waited_for_and_finds_the_request_of_transform(large: Plan) -> None:
    # AWS Step Functions Developer Guide, "Start an AWS Glue job with Step Functions".
    state = large.definition["States"]["TransformLargeDay"]

    assert state["Resource"] == "arn:aws:states:::glue:startJobRun.sync"
    assert state["Parameters"] == {
        "JobName": f"{PREFIX}-large-day",
        "Arguments": {"--request.$": f"States.Format('work/{{}}/{{}}/{large_day.REQUEST}', $.batch, $.version)"},
    }
    arguments = botocore.session.get_session().get_service_model("glue").shape_for("StartJobRunRequest").members
    assert set(state["Parameters"]) <= set(arguments)


def test_the_result_is_collected_by_transform_with_what_glue_says_of_the_job_run(large: Plan) -> None:
    states = large.definition["States"]
    payload = states["CollectLargeDay"]["Parameters"]["Payload"]

    assert states["CollectLargeDay"]["Parameters"]["FunctionName"] == f"{LAMBDA}-transform"
    assert payload == {**states["Transform"]["Parameters"]["Payload"], "job_run.$": "$.job_run"}
    assert states["TransformLargeDay"]["ResultPath"] == "$.job_run"
    assert states["CollectLargeDay"]["ResultPath"] == states["Transform"]["ResultPath"]
    assert states["CollectLargeDay"]["Retry"] == states["Transform"]["Retry"]
    # The integration returns the JobRun; these are the fields that the ledger keeps something of.
    job_run = botocore.session.get_session().get_service_model("glue").shape_for("JobRun").members
    assert {"Id", "ExecutionTime", "NumberOfWorkers", "WorkerType", "DPUSeconds", "ErrorMessage"} <= set(job_run)
    assert set(large_day.DPUS) <= set(job_run["WorkerType"].enum)


def test_the_job_waits_for_hours_for_other_runs_within_the_runs_own_time_and_history(large: Plan) -> None:
    # AWS Glue Developer Guide, "Exceptions": ConcurrentRunsExceededException, "Too many jobs are being run
    # concurrently". "AWS Glue endpoints and quotas": the number of DPUs at the same time is limited, too.
    for name in ("Glue.ConcurrentRunsExceededException", "Glue.ResourceNumberLimitExceededException"):
        rule = retrier(large.definition["States"]["TransformLargeDay"], name)
        assert rule["JitterStrategy"] == "FULL"
        assert longest_wait(rule) / 2 >= 6 * 3600, "full jitter halves the wait on average"
        assert longest_wait(rule) / 2 < large.definition["TimeoutSeconds"]
        assert rule["MaxAttempts"] * EVENTS_PER_TRY < HISTORY_EVENTS / 2


def test_a_failed_job_is_tried_once_more_and_one_that_never_ends_is_not(large: Plan) -> None:
    # AWS Step Functions Developer Guide, "Handling errors in Step Functions workflows": a job that fails is
    # States.TaskFailed; a task that takes longer than TimeoutSeconds is States.Timeout.
    state = large.definition["States"]["TransformLargeDay"]

    assert retrier(state, "States.TaskFailed")["MaxAttempts"] == 1
    assert retrier(state, "States.Timeout")["MaxAttempts"] == 0
    assert state["TimeoutSeconds"] > 60 * large[f"{MODULE}.aws_glue_job.this"]["timeout"]
    assert large[f"{MODULE}.aws_glue_job.this"]["max_retries"] == 0, "Glue's own tries would know no supersession"


@pytest.mark.parametrize("state", ["TransformLargeDay", "CollectLargeDay"])
def test_every_failure_closes_the_ledger_entry(large: Plan, state: str) -> None:
    assert large.definition["States"][state]["Catch"] == [
        {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "RunFailed"}
    ]
    assert set(followers(large.definition["States"][state])) > {"RunFailed"}
    for error in leaves(errors.PermanentError):
        assert retrier(large.definition["States"]["CollectLargeDay"], error)["MaxAttempts"] == 0


def test_the_job_runs_the_version_that_is_tested_and_installs_its_package_without_an_index(large: Plan) -> None:
    # AWS Glue Developer Guide, "Using Python libraries with AWS Glue": a zip of wheels (AWS Glue 5.0 and later) ends in
    # .gluewheels.zip; --python-modules-installer-option --no-index keeps pip from asking an index.
    job = large[f"{MODULE}.aws_glue_job.this"]
    locked = (INFRA.parent / "requirements-large.lock").read_text()
    bucket = f"s3://{BUCKET.rpartition(':')[2]}/code/"

    assert job["glue_version"] == "5.1"
    assert "\npyspark==3.5.6 " in f"\n{locked}", "what AWS Glue 5.1 has (Developer Guide, AWS Glue versions)"
    assert job["default_arguments"]["--additional-python-modules"].startswith(bucket)
    assert job["default_arguments"]["--additional-python-modules"].endswith(".gluewheels.zip")
    assert job["default_arguments"]["--python-modules-installer-option"] == "--no-index"
    assert job["command"][0]["script_location"].startswith(bucket)
    assert job["command"][0]["name"] == "glueetl"


def test_the_job_is_given_what_its_code_asks_for(large: Plan) -> None:
    code = (Path(str(pipeline.__file__)).parent / "large" / "job.py").read_text()
    known = set(re.findall(r'add_argument\("(--\w+)"', code))
    given = large[f"{MODULE}.aws_glue_job.this"]["default_arguments"]

    assert {name: given[name] for name in sorted(known & given.keys())} == {
        "--bucket": BUCKET.rpartition(":")[2],
        "--region": REGION,
        "--table": PREFIX,
    }
    assert set(re.findall(r'add_argument\("(--\w+)", required=True', code)) <= given.keys() | {"--request"}


def test_a_deployment_replaces_the_code_in_place_as_a_run_of_the_job_may_be_queued(full: Plan) -> None:
    objects = full.of_type("aws_s3_object").values()
    script = INFRA / "modules/large_days/run_job.py"

    assert {made["key"]: made["metadata"]["sha256"] for made in objects} == {
        "code/run_job.py": hashlib.sha256(script.read_bytes()).hexdigest(),
        "code/pipeline.gluewheels.zip": "not-built",
    }
    assert not full[f"{MODULE}.aws_glue_job.this"].get("connections"), "the job runs in Glue's own network"


def test_an_object_has_no_tags_as_s3_takes_ten(full: Plan) -> None:
    # Amazon S3 User Guide, "Categorizing your objects using tags": up to 10 tags an object. Terraform AWS provider,
    # aws_s3_object, override_provider.
    for made in full.of_type("aws_s3_object").values():
        (override,) = made["override_provider"]
        assert override["default_tags"] == [{"tags": {}}]
        assert not made.get("tags")
