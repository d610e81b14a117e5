"""Large days: the job with its rights, the states that run it, and nothing of both without the variable."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import botocore.session
import pipeline
import pytest
from pipeline import errors
from pipeline.stages import large_day

from infra.tests.current_provider import asl
from infra.tests.current_provider.terraform_check import CurrentProvider
from infra.tests.support import ACCOUNT, INFRA, REGION, Plan, Planner, grants, resources_of
from infra.tests.test_state_machine import (
    EVENTS_PER_TRY,
    HISTORY_EVENTS,
    LAMBDA,
    followers,
    leaves,
    longest_wait,
    reachable,
    retrier,
)

pytestmark = pytest.mark.terraform

PREFIX = "csv-pipeline-dev"
NAME = f"{PREFIX}-large-day"
BUCKET = f"arn:aws:s3:::{PREFIX}-{ACCOUNT}"
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{PREFIX}"
JOB = f"arn:aws:glue:{REGION}:{ACCOUNT}:job/{NAME}"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws-glue/jobs/{NAME}"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/01234567-89ab-cdef-0123-456789abcdef"
MODULE = "module.large_days[0]"
READ_AND_WRITE = ("GetObject", "GetObjectVersion", "PutObject")


@pytest.fixture(scope="module")
def large(planner: Planner) -> Plan:
    """The plan with large days switched on, with their defaults."""
    return planner.plan(large_days={})


@pytest.fixture(scope="module")
def encrypted(planner: Planner) -> Plan:
    """The same under a customer managed key."""
    return planner.plan(large_days={}, kms_key=KEY)


def policy_of(plan: Plan, address: str) -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads(plan[address]["policy"])
    return document


def test_without_large_days_there_is_nothing_of_them(plan: Plan) -> None:
    assert not [address for address in plan.resources if "glue" in address or "large_days" in address]
    assert not [name for name in plan.definition["States"] if "LargeDay" in name]
    assert plan.definition["States"]["Transform"]["Catch"] == [
        {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "RunFailed"}
    ]
    assert transform_settings(plan) == {"LARGE_DAYS": "false", "LARGE_DAY_BYTES": "0"}
    assert plan.outputs["large_day_job_name"].get("value") is None


def transform_settings(plan: Plan) -> dict[str, str]:
    found = plan['module.function["transform"].aws_lambda_function.this']["environment"][0]["variables"]
    return {name: value for name, value in found.items() if name.startswith("LARGE_DAY")}


def test_transform_knows_that_there_is_a_job_and_from_which_size_on(planner: Planner) -> None:
    assert transform_settings(planner.plan(large_days={"from_bytes": 7})) == {
        "LARGE_DAYS": "true",
        "LARGE_DAY_BYTES": "7",
    }


def test_only_the_error_of_a_large_day_leads_to_the_job_and_from_there_on_as_always(large: Plan) -> None:
    states = large.definition["States"]

    assert [(rule["ErrorEquals"], rule["Next"]) for rule in states["Transform"]["Catch"]] == [
        (["LargeDayError"], "TransformLargeDay"),
        (["States.ALL"], "RunFailed"),
    ]
    assert retrier(states["Transform"], "LargeDayError")["MaxAttempts"] == 0
    assert states["TransformLargeDay"]["Next"] == "CollectLargeDay"
    assert states["CollectLargeDay"]["Next"] == states["Transform"]["Next"]
    assert reachable(large.definition["StartAt"], states) == set(states)


def test_the_other_states_are_the_same_as_without_large_days(plan: Plan, large: Plan) -> None:
    added = {"TransformLargeDay", "CollectLargeDay"}
    states = {name: state for name, state in large.definition["States"].items() if name not in added}
    states["Transform"] = {**states["Transform"], "Catch": states["Transform"]["Catch"][1:]}

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
        "JobName": NAME,
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


def test_the_workflow_may_do_what_the_integration_asks_for_on_this_job_alone(large: Plan) -> None:
    # AWS Step Functions Developer Guide, "Start an AWS Glue job with Step Functions", "IAM policies for calling AWS
    # Glue", Run a Job (.sync). BatchStopJobRun is what stops the job when the run is stopped.
    assert grants(policy_of(large, "module.workflow.aws_iam_role_policy.large_days[0]")) == {
        ("glue:StartJobRun", JOB),
        ("glue:GetJobRun", JOB),
        ("glue:GetJobRuns", JOB),
        ("glue:BatchStopJobRun", JOB),
    }


def test_the_job_may_do_its_work_and_nothing_else(large: Plan) -> None:
    assert grants(policy_of(large, f"{MODULE}.aws_iam_role_policy.work")) == {
        ("s3:GetObject", f"{BUCKET}/code/*"),
        ("s3:GetObjectVersion", f"{BUCKET}/incoming/*"),
        *((f"s3:{action}", f"{BUCKET}/{prefix}/*") for prefix in ("work", "delivered") for action in READ_AND_WRITE),
        ("s3:PutObject", f"{BUCKET}/feedback/*"),
        ("dynamodb:GetItem", TABLE),
    }
    (ledger,) = [
        statement
        for statement in policy_of(large, f"{MODULE}.aws_iam_role_policy.work")["Statement"]
        if statement["Action"] == "dynamodb:GetItem"
    ]
    assert ledger["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": "batch#*"}}
    policies = {address for address in large.of_type("aws_iam_role_policy") if address.startswith(MODULE)}
    assert policies == {f"{MODULE}.aws_iam_role_policy.{name}" for name in ("work", "telemetry")}


def test_only_glue_may_take_the_jobs_role(large: Plan) -> None:
    (statement,) = json.loads(large[f"{MODULE}.aws_iam_role.this"]["assume_role_policy"])["Statement"]

    assert statement["Principal"] == {"Service": "glue.amazonaws.com"}


def test_transform_may_read_the_jobs_result_and_only_with_large_days(plan: Plan, large: Plan) -> None:
    address = 'module.function["transform"].aws_iam_role_policy.further["large-days"]'

    assert grants(policy_of(large, address)) == {
        ("s3:GetObject", f"{BUCKET}/work/*/{large_day.OUTCOME}"),
        ("s3:GetObject", f"{BUCKET}/work/*/manifest.json"),
    }
    added = set(large.of_type("aws_iam_role_policy")) - set(plan.of_type("aws_iam_role_policy"))
    assert {name for name in added if "module.function" in name} == {address}


def test_the_job_logs_where_its_log_groups_are(large: Plan, encrypted: Plan) -> None:
    # AWS Glue Developer Guide, "Logging for AWS Glue jobs": the groups are <--custom-logGroup-prefix>/error and
    # /output. Section "Security configuration with Amazon CloudWatch logging":
    # <prefix>/<Security-Configuration-Name>-role/<glue-job-role>/error and /output.
    for plan, between in ((large, ""), (encrypted, f"/{NAME}-role/{NAME}")):
        prefix = plan[f"{MODULE}.aws_glue_job.this"]["default_arguments"]["--custom-logGroup-prefix"]
        groups = {
            values["name"]: values["retention_in_days"]
            for address, values in plan.of_type("aws_cloudwatch_log_group").items()
            if address.startswith(MODULE)
        }
        assert groups == {f"{prefix}{between}/error": 90, f"{prefix}{between}/output": 90}
        allowed = grants(policy_of(plan, f"{MODULE}.aws_iam_role_policy.telemetry"))
        # "If you enable a security configuration with Amazon CloudWatch Logs", the role needs AssociateKmsKey.
        actions = ("AssociateKmsKey", "CreateLogGroup", "CreateLogStream", "PutLogEvents")
        assert allowed == {
            (f"logs:{action}", f"{LOGS}{between}/{name}:*") for action in actions for name in ("error", "output")
        }


def test_a_key_encrypts_what_the_job_writes_and_its_role_may_use_it(large: Plan, encrypted: Plan) -> None:
    assert not large.of_type("aws_glue_security_configuration")
    (configuration,) = encrypted[f"{MODULE}.aws_glue_security_configuration.this[0]"]["encryption_configuration"]
    assert {part[0]["kms_key_arn"] for part in configuration.values()} == {KEY}
    assert configuration["cloudwatch_encryption"][0]["cloudwatch_encryption_mode"] == "SSE-KMS"
    assert configuration["s3_encryption"][0]["s3_encryption_mode"] == "SSE-KMS"
    assert encrypted[f"{MODULE}.aws_glue_job.this"]["security_configuration"] == NAME
    assert grants(policy_of(encrypted, f'{MODULE}.aws_iam_role_policy.further["key"]')) == {
        ("kms:Decrypt", KEY),
        ("kms:GenerateDataKey", KEY),
    }


def test_the_job_is_what_the_variable_says(planner: Planner) -> None:
    chosen = {"workers": 7, "worker_type": "G.2X", "timeout_minutes": 33, "max_concurrent_runs": 3}
    job = planner.plan(large_days=chosen)[f"{MODULE}.aws_glue_job.this"]

    assert (job["number_of_workers"], job["worker_type"], job["timeout"]) == (7, "G.2X", 33)
    assert job["execution_property"] == [{"max_concurrent_runs": 3}]


def test_the_job_runs_the_version_that_is_tested_and_installs_its_package_without_an_index(large: Plan) -> None:
    # AWS Glue Developer Guide, "Using Python libraries with AWS Glue": a zip of wheels (AWS Glue 5.0 and later) ends in
    # .gluewheels.zip; --python-modules-installer-option --no-index keeps pip from asking an index.
    job = large[f"{MODULE}.aws_glue_job.this"]
    locked = (INFRA.parent / "requirements-large.lock").read_text()
    bucket = f"s3://{PREFIX}-{ACCOUNT}/code/"

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
        "--bucket": f"{PREFIX}-{ACCOUNT}",
        "--region": REGION,
        "--table": PREFIX,
    }
    assert set(re.findall(r'add_argument\("(--\w+)", required=True', code)) <= given.keys() | {"--request"}


def test_the_key_of_the_code_changes_with_its_content() -> None:
    objects = resources_of(INFRA / "modules/large_days")
    text = (INFRA / "modules/large_days/main.tf").read_text()

    assert objects["aws_s3_object.package"]["key"] == "${local.package_key}"
    assert "filesha256(var.package_file)" in text
    assert 'filesha256("${path.module}/run_job.py")' in text


def test_the_current_provider_takes_the_code_as_objects(current: CurrentProvider) -> None:
    plan = current.plan({"large_days": {}, "kms_key": "create", "vpc": {"cidr": "10.20.0.0/20"}})

    assert set(plan.of_type("aws_s3_object")) == {f"{MODULE}.aws_s3_object.{name}" for name in ("package", "script")}
    assert "connections" not in {name for name, value in plan[f"{MODULE}.aws_glue_job.this"].items() if value}, (
        "the job runs in Glue's own network"
    )
