"""The state machine: where it goes, with and without large days, what it repeats, and what it hands to whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import pytest
from pipeline import errors
from pipeline.ledger import Ledger, wait_seconds
from pipeline.stages import large_day

from infra.tests.current_provider.terraform_check import EVERYTHING
from infra.tests.support import BUCKET, LAMBDA, Plan, grants

pytestmark = pytest.mark.terraform

Definition = Mapping[str, Any]
HISTORY_EVENTS = 25_000
EVENTS_PER_TRY = 3
DONE, EMPTY = {"next": "DONE", "chunks": 2, "manifest": "m"}, {"next": "DONE", "chunks": 0}
WAIT, TOO_LARGE = {"next": "WAIT", "wait_seconds": 10}, {"next": "TOO_LARGE"}
CHUNKS: dict[str, Any] = {"children": 2}
COMPLETED, HELD, FAILED, SUPERSEDED = ({"state": name} for name in ("COMPLETED", "HELD", "FAILED", "SUPERSEDED"))


def value_at(path: str, data: Any) -> Any:
    """What a path such as `$.transform.outcome` points to; a state fails where it points to nothing."""
    for name in path.split(".")[1:]:
        data = data[name]
    return data


def run(definition: Definition, answers: list[Any]) -> list[str]:
    """The states of a run in which the tasks answer so, one after the other; an answer that is a text is an error.

    Raises
    ------
    KeyError
        A state reads what no state before it left.
    """
    name, path, left = definition["StartAt"], [], list(answers)
    data: dict[str, Any] = {"batch": "20220131", "version": "v", "files": {}}
    while True:
        state = definition["States"][name]
        path.append(name)
        if state["Type"] in ("Succeed", "Fail"):
            assert not left, f"nobody asks for {left}"
            return path
        if name == "Begin":
            data = {field[:-2]: "run" if "$$" in p else value_at(p, data) for field, p in state["Parameters"].items()}
        if state["Type"] == "Wait":
            assert value_at(state["SecondsPath"], data)
        name = state.get("Next", state.get("Default"))
        for rule in state.get("Choices", []):
            if value_at(rule["Variable"], data) == rule.get("StringEquals", rule.get("NumericEquals")):
                name = rule["Next"]
                break
        if state["Type"] in ("Task", "Map"):
            inputs = state["ItemSelector"] if state["Type"] == "Map" else state["Parameters"].get("Payload", {})
            for read in inputs.values():
                assert not (isinstance(read, str) and read.startswith("$.")) or value_at(read, data) is not None
            answer = left.pop(0)
            if isinstance(answer, str):
                caught = next(rule for rule in state["Catch"] if {answer, "States.ALL"} & set(rule["ErrorEquals"]))
                name, answer, place = caught["Next"], {"Error": answer, "Cause": "because"}, caught["ResultPath"]
            else:
                place = state["ResultPath"]
                if "outcome.$" in state.get("ResultSelector", {}):
                    answer = {"outcome": answer}
            if place == "$":
                data = answer
            elif place is not None:
                data[place.removeprefix("$.")] = answer


@pytest.mark.parametrize(
    ("answers", "way"),
    [
        ([DONE, CHUNKS, COMPLETED], "Transform Transformed Deliver Finalize Verdict Completed"),
        (
            [WAIT, EMPTY, COMPLETED],
            "Transform Transformed WaitForOlderRun Transform Transformed Finalize Verdict Completed",
        ),
        ([DONE, CHUNKS, HELD], "Transform Transformed Deliver Finalize Verdict Held"),
        ([DONE, CHUNKS, FAILED], "Transform Transformed Deliver Finalize Verdict BatchRefused"),
        ([EMPTY, SUPERSEDED], "Transform Transformed Finalize Verdict Superseded"),
        (["ReconciliationError", FAILED], "Transform RunFailed FailureVerdict BatchFailed"),
        ([DONE, "ThrottledError", FAILED], "Transform Transformed Deliver RunFailed FailureVerdict BatchFailed"),
        ([EMPTY, "States.Timeout", HELD], "Transform Transformed Finalize RunFailed FailureVerdict Held"),
        ([EMPTY, "States.Timeout", COMPLETED], "Transform Transformed Finalize RunFailed FailureVerdict Completed"),
        (["Broken", SUPERSEDED], "Transform RunFailed FailureVerdict Superseded"),
        (["Broken", "Broken too"], "Transform RunFailed LedgerNotClosed"),
    ],
)  # fmt: skip
def test_a_run_ends_as_its_steps_answer_and_closes_the_ledger_entry_before_it_fails(
    plan: Plan, full: Plan, answers: list[Any], way: str
) -> None:
    for definition in (plan.definition, full.definition):
        assert run(definition, answers) == ["Begin", *way.split()]


# AWS Step Functions Developer Guide, "Handle Lambda service exceptions": unhandled errors, which include out-of-memory
# errors and function timeouts, are reported as Lambda.Unknown.
@pytest.mark.parametrize(
    "started", [TOO_LARGE, "Sandbox.Timedout", "States.Timeout", "Runtime.ExitError", "Lambda.Unknown"]
)
def test_a_day_that_is_too_large_for_the_function_goes_to_the_job_or_fails_where_there_is_none(
    plan: Plan, full: Plan, started: Any
) -> None:
    submitted, job = [started] if started == TOO_LARGE else [started, TOO_LARGE], {"Id": "jr_1"}

    assert run(full.definition, [*submitted, job, DONE, CHUNKS, COMPLETED])[-7:] == [
        *("TransformLargeDay", "CollectLargeDay", "Transformed", "Deliver", "Finalize", "Verdict", "Completed")
    ]
    assert run(full.definition, [*submitted, "States.TaskFailed", FAILED])[-1] == "BatchFailed"
    assert run(full.definition, [*submitted, job, "LargeDayOutcomeError", FAILED])[-1] == "BatchFailed"
    if started != TOO_LARGE:
        assert run(full.definition, [started, "Broken", FAILED])[-1] == "BatchFailed"
        assert run(plan.definition, [started, FAILED])[-1] == "BatchFailed"


def tasks(definition: Definition) -> dict[str, Mapping[str, Any]]:
    """The tasks that call a function, those of the map's children included."""
    states = {**definition["States"], **definition["States"]["Deliver"]["ItemProcessor"]["States"]}
    return {name: state for name, state in states.items() if str(state.get("Resource", "")).endswith("lambda:invoke")}


def test_a_task_waits_longer_than_its_function_runs(full: Plan) -> None:
    for name, state in tasks(full.definition).items():
        function = state["Parameters"]["FunctionName"].removeprefix(f"{LAMBDA}-")
        assert state["TimeoutSeconds"] > full.function(function)["timeout"], name


def retrier(state: Mapping[str, Any], error: str) -> Mapping[str, Any]:
    """The rule that Step Functions applies to an error: the first that names it."""
    found = (rule for rule in state["Retry"] if {error, "States.ALL"} & set(rule["ErrorEquals"]))
    rule: Mapping[str, Any] = next(found, {"MaxAttempts": 0})
    return rule


def longest_wait(rule: Mapping[str, Any]) -> float:
    """Seconds until the last try, without jitter, which halves the wait on average."""
    delays = (rule["IntervalSeconds"] * rule["BackoffRate"] ** count for count in range(rule["MaxAttempts"]))
    return sum(min(delay, rule["MaxDelaySeconds"]) for delay in delays)


def names_below(base: type[Exception]) -> Iterator[str]:
    """The names of an error class and of all below it: a function's error is known by its class."""
    yield base.__name__
    for below in base.__subclasses__():
        yield from names_below(below)


def test_a_task_is_repeated_where_that_can_help(full: Plan) -> None:
    rules = [state["Retry"] for state in tasks(full.definition).values()]
    (task,) = [state for name, state in tasks(full.definition).items() if name == "Transform"]

    assert rules == [task["Retry"]] * len(rules), "all tasks have the same retries"
    for rule in task["Retry"]:
        if rule["MaxAttempts"]:
            assert rule["JitterStrategy"] == "FULL"
            assert rule["IntervalSeconds"] < rule["MaxDelaySeconds"], "Step Functions wants it so"
    for error in names_below(errors.PermanentError):
        assert retrier(task, error)["MaxAttempts"] == 0, error
    for error in names_below(errors.RetryableError):
        assert longest_wait(retrier(task, error)) >= 300, error
    # AWS Lambda Developer Guide, "Lambda quotas": a new account may have 10 concurrent calls. "Giving Lambda functions
    # access to resources in an Amazon VPC": a function that was idle for weeks is not ready for some minutes.
    for error in ("Lambda.TooManyRequestsException", "Lambda.ResourceNotReadyException"):
        assert longest_wait(retrier(task, error)) / 2 >= 14 * 86_400, "as long as a run may last"
    for error in ("Lambda.ServiceException", "Lambda.SdkClientException", "Sandbox.Timedout", "States.Timeout"):
        assert retrier(task, error)["MaxAttempts"] >= 2, error


def test_a_run_that_waits_for_14_days_stays_within_its_history() -> None:
    # AWS Step Functions Developer Guide, "Quotas": 25,000 events. Transform, Transformed and WaitForOlderRun make nine:
    # a state entered and exited, three times, and a task scheduled, started and succeeded.
    start = now = datetime(2022, 2, 1, tzinfo=UTC)
    waiting = Ledger("20220131", execution="new", holder="old", queued_at=start.isoformat())
    tries = 0
    while now < start + timedelta(days=14):
        tries += 1
        now += timedelta(seconds=wait_seconds(waiting, "new", now))

    assert tries * 9 < 0.8 * HISTORY_EVENTS
    assert wait_seconds(waiting, "new", start) == 10, "most waits are short"


def test_every_chunk_must_be_delivered_by_a_child_that_knows_the_run_by_its_own_name(full: Plan) -> None:
    deliver = full.definition["States"]["Deliver"]

    assert (deliver["ToleratedFailureCount"], deliver["MaxConcurrency"]) == (0, EVERYTHING["deliver_concurrency"])
    assert deliver["ItemSelector"]["execution.$"] == "$.execution"


def test_results_of_any_number_of_chunks_fit_into_the_maps_output(plan: Plan) -> None:
    # AWS Step Functions Developer Guide, "ResultWriter (Map)", section "Exporting to Amazon S3": the output is then
    # where the results are, whatever their number. "IAM policies for ResultWriter": what the role needs for it.
    writer = plan.definition["States"]["Deliver"]["ResultWriter"]
    actions = ("AbortMultipartUpload", "GetObject", "ListMultipartUploadParts", "PutObject")

    assert {(f"s3:{action}", f"{BUCKET}/{writer['Parameters']['Prefix']}/*") for action in actions} <= grants(
        plan.policy("module.workflow.aws_iam_role_policy.this")
    )


def test_the_job_is_run_and_waited_for_and_glue_knows_what_we_name(full: Plan) -> None:
    # AWS Step Functions Developer Guide, "Start an AWS Glue job with Step Functions": it returns the JobRun.
    state = full.definition["States"]["TransformLargeDay"]
    glue = botocore.session.get_session().get_service_model("glue")

    assert state["Resource"] == "arn:aws:states:::glue:startJobRun.sync"
    assert set(state["Parameters"]) <= set(glue.shape_for("StartJobRunRequest").members)
    assert large_day.REQUEST in state["Parameters"]["Arguments"]["--request.$"]
    assert set(large_day.DPUS) <= set(glue.shape_for("JobRun").members["WorkerType"].enum)


def test_the_job_waits_for_hours_for_other_runs_and_is_tried_once_more_after_it_failed(full: Plan) -> None:
    # AWS Glue Developer Guide, "Exceptions": ConcurrentRunsExceededException. "AWS Glue endpoints and quotas": the
    # number of DPUs at the same time is limited. AWS Step Functions Developer Guide, "Handling errors in Step Functions
    # workflows": a job that fails is States.TaskFailed; a task that takes longer than TimeoutSeconds is States.Timeout.
    state, job = full.definition["States"]["TransformLargeDay"], full["module.large_days[0].aws_glue_job.this"]
    for name in ("Glue.ConcurrentRunsExceededException", "Glue.ResourceNumberLimitExceededException"):
        rule = retrier(state, name)
        assert rule["JitterStrategy"] == "FULL"
        assert 6 * 3600 <= longest_wait(rule) / 2 < full.definition["TimeoutSeconds"]
        assert rule["MaxAttempts"] * EVENTS_PER_TRY < HISTORY_EVENTS / 2

    assert retrier(state, "States.TaskFailed")["MaxAttempts"] == 1
    assert retrier(state, "States.Timeout")["MaxAttempts"] == 0
    assert state["TimeoutSeconds"] > 60 * job["timeout"]
    assert job["max_retries"] == 0, "Glue's own tries would know no supersession"


def test_run_is_logged_and_traced(plan: Plan) -> None:
    machine = plan["module.workflow.aws_sfn_state_machine.this"]

    assert machine["logging_configuration"][0]["level"] == "ERROR"
    # AWS Step Functions Developer Guide, "Logging using CloudWatch Logs": the prefix keeps the resource policy short.
    assert plan["module.workflow.aws_cloudwatch_log_group.this"]["name"].startswith("/aws/vendedlogs/states/")
    assert machine["tracing_configuration"][0]["enabled"] is True
