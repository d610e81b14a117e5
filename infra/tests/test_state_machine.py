"""The state machine: every step is retried and caught, every state is reachable, every way ends as intended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pipeline import errors
from pipeline.ledger import Ledger, wait_seconds

from infra.tests.current_provider.terraform_check import CurrentProvider
from infra.tests.support import BUCKET, LAMBDA, Plan, grants

pytestmark = pytest.mark.terraform

States = Mapping[str, Mapping[str, Any]]
TASKS = ("Transform", "DeliverChunk", "Finalize", "RunFailed")
PLATFORM_FAULTS = (
    *("Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.Unknown"),
    *("Runtime.ExitError", "Sandbox.Timedout", "States.Timeout", "ClientError"),
)
HISTORY_EVENTS = 25_000
EVENTS_PER_TRY = 3


def state_of(definition: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A state of the machine or of its map's children."""
    states: States = definition["States"]
    return states[name] if name in states else states["Deliver"]["ItemProcessor"]["States"][name]


def followers(state: Mapping[str, Any]) -> Iterator[str]:
    """The states that a state may lead to."""
    yield from (state[key] for key in ("Next", "Default") if key in state)
    yield from (rule["Next"] for key in ("Choices", "Catch") for rule in state.get(key, []))


def reachable(start: str, states: States) -> set[str]:
    found, waiting = set[str](), [start]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += followers(states[name])
    return found


def retrier(state: Mapping[str, Any], error: str) -> Mapping[str, Any]:
    """The rule that Step Functions applies to an error: the first that names it."""
    for rule in state["Retry"]:
        if error in rule["ErrorEquals"] or "States.ALL" in rule["ErrorEquals"]:
            found: Mapping[str, Any] = rule
            return found
    raise AssertionError(f"nothing is said of {error}")


def longest_wait(rule: Mapping[str, Any]) -> float:
    """Seconds until the last try, without jitter."""
    delays = (rule["IntervalSeconds"] * rule["BackoffRate"] ** count for count in range(rule["MaxAttempts"]))
    return sum(min(delay, rule["MaxDelaySeconds"]) for delay in delays)


def leaves(base: type[Exception]) -> set[str]:
    """The names of an error class and of all below it: a function's error is known by its class."""
    return {base.__name__}.union(*(leaves(below) for below in base.__subclasses__()))


def test_the_tasks_are_the_ones_checked_here(plan: Plan) -> None:
    states = plan.definition["States"]
    found = {**states, **states["Deliver"]["ItemProcessor"]["States"]}

    assert {name for name, state in found.items() if state["Type"] == "Task"} == set(TASKS)


def test_every_state_is_reachable_and_every_way_ends(plan: Plan) -> None:
    definition = plan.definition
    child = definition["States"]["Deliver"]["ItemProcessor"]

    for part in (definition, child):
        assert reachable(part["StartAt"], part["States"]) == set(part["States"])
        ends = {name for name, state in part["States"].items() if not list(followers(state))}
        assert all(part["States"][end].get("End") or part["States"][end]["Type"] in ("Succeed", "Fail") for end in ends)


def test_every_task_has_the_same_retries_and_every_error_is_caught(plan: Plan) -> None:
    for task in TASKS:
        state = state_of(plan.definition, task)
        assert state["Retry"] == state_of(plan.definition, "Transform")["Retry"], task
        assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], task
        assert state["Catch"][-1]["ResultPath"].startswith("$."), f"{task}: the input must survive the error"


@pytest.fixture(scope="module")
def task(plan: Plan) -> Mapping[str, Any]:
    """A task that stands for all, as they have the same retries."""
    return state_of(plan.definition, "Transform")


def test_task_is_retried_with_growing_jittered_and_bounded_delays(task: Mapping[str, Any]) -> None:
    for rule in (rule for rule in task["Retry"] if rule["MaxAttempts"]):
        assert rule["JitterStrategy"] == "FULL"
        assert rule["BackoffRate"] > 1
        assert rule["IntervalSeconds"] < rule["MaxDelaySeconds"], "Step Functions wants it so"
    named = [rule["ErrorEquals"] for rule in task["Retry"]]
    assert named[-1] == ["States.ALL"]
    assert not [names for names in named[:-1] if "States.ALL" in names]


def test_task_is_repeated_where_that_can_help(task: Mapping[str, Any]) -> None:
    for error in leaves(errors.PermanentError):
        assert retrier(task, error)["MaxAttempts"] == 0, error
    for error in leaves(errors.RetryableError):
        assert longest_wait(retrier(task, error)) >= 300, error
    # AWS Lambda Developer Guide, "Lambda quotas": a new account may have 10 concurrent calls. "Giving Lambda functions
    # access to resources in an Amazon VPC": a function that was idle for weeks is not ready for some minutes.
    for error in ("Lambda.TooManyRequestsException", "Lambda.ResourceNotReadyException"):
        assert longest_wait(retrier(task, error)) / 2 >= 14 * 86_400, (
            "as long as a run may last; jitter halves the wait"
        )
    for error in PLATFORM_FAULTS:
        assert retrier(task, error)["MaxAttempts"] >= 2, error


def test_transform_is_asked_again_after_the_wait_that_it_answered(plan: Plan) -> None:
    states = plan.definition["States"]

    assert states["Transformed"]["Choices"][0] == {
        "Variable": "$.transform.outcome.next",
        "StringEquals": "WAIT",
        "Next": "WaitForOlderRun",
    }
    assert states["WaitForOlderRun"]["SecondsPath"] == "$.transform.outcome.wait_seconds"
    assert states["WaitForOlderRun"]["Next"] == "Transform"


def test_a_run_that_waits_for_14_days_stays_within_its_history() -> None:
    # AWS Step Functions Developer Guide, "Quotas": 25,000 events. Transform, Transformed and WaitForOlderRun make nine:
    # a state entered and exited, three times, and a task scheduled, started and succeeded.
    start = now = datetime(2022, 2, 1, tzinfo=UTC)
    end = start + timedelta(days=14)
    waiting = Ledger("20220131", execution="new", holder="old", queued_at=start.isoformat())
    tries = 0
    while now < end:
        tries += 1
        now += timedelta(seconds=wait_seconds(waiting, "new", now))

    assert tries * 9 < 0.8 * HISTORY_EVENTS
    assert wait_seconds(waiting, "new", start) == 10, "most waits are short"


def test_a_superseded_run_is_removed_as_holder_and_succeeds(plan: Plan) -> None:
    states = plan.definition["States"]

    assert [(rule["ErrorEquals"], rule["Next"]) for rule in states["Transform"]["Catch"]] == [
        (["States.ALL"], "RunFailed")
    ]
    assert states["Superseded"]["Type"] == "Succeed"
    for verdict in ("Verdict", "FailureVerdict"):
        ends = {rule["StringEquals"]: rule["Next"] for rule in states[verdict]["Choices"]}
        assert ends == {"COMPLETED": "Completed", "HELD": "Held", "SUPERSEDED": "Superseded"}


def test_only_a_run_without_chunks_skips_delivery_as_a_refused_one_has_errors_to_deliver(plan: Plan) -> None:
    choice = plan.definition["States"]["Transformed"]

    assert choice["Choices"][1:] == [{"Variable": "$.transform.outcome.chunks", "NumericEquals": 0, "Next": "Finalize"}]
    assert choice["Default"] == "Deliver"


def test_every_failure_closes_the_ledger_entry_before_the_run_fails(plan: Plan) -> None:
    states = plan.definition["States"]

    for name in ("Transform", "Deliver", "Finalize"):
        assert states[name]["Catch"][-1]["Next"] == "RunFailed"
    assert states["RunFailed"]["Parameters"]["FunctionName"] == f"{LAMBDA}-finalize"
    assert states["RunFailed"]["Parameters"]["Payload"]["error.$"] == "$.error"
    assert states["FailureVerdict"]["Default"] == "BatchFailed"
    assert states["Verdict"]["Default"] == "BatchRefused"
    assert {states[name]["Type"] for name in ("BatchFailed", "BatchRefused", "LedgerNotClosed")} == {"Fail"}


def test_every_chunk_of_the_manifest_must_be_delivered(plan: Plan) -> None:
    deliver = plan.definition["States"]["Deliver"]

    assert deliver["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert deliver["ItemReader"] == {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON"},
        "Parameters": {"Bucket": BUCKET.rpartition(":")[2], "Key.$": "$.transform.outcome.manifest"},
    }
    assert deliver["ToleratedFailureCount"] == 0
    assert deliver["ResultPath"] is None
    assert deliver["Label"] == "deliver", "the role's policy names it"


def test_results_of_any_number_of_chunks_fit_into_the_maps_output(plan: Plan) -> None:
    # AWS Step Functions Developer Guide, "ResultWriter (Map)", section "Exporting to Amazon S3": the output is then
    # where the results are, whatever their number. "IAM policies for ResultWriter": what the role needs for it.
    deliver, limit = plan.definition["States"]["Deliver"], 256 * 1024
    writer = deliver["ResultWriter"]

    assert len(json.dumps([{}] * 87_382, separators=(",", ":"))) > limit, "they would not fit by themselves"
    assert writer["Resource"] == "arn:aws:states:::s3:putObject"
    assert writer["Parameters"]["Bucket"] == BUCKET.rpartition(":")[2]
    actions = ("AbortMultipartUpload", "GetObject", "ListMultipartUploadParts", "PutObject")
    assert {(f"s3:{action}", f"{BUCKET}/{writer['Parameters']['Prefix']}/*") for action in actions} <= grants(
        plan.policy("module.workflow.aws_iam_role_policy.this")
    )


def test_failed_chunk_keeps_the_name_of_its_error(plan: Plan) -> None:
    assert state_of(plan.definition, "ChunkFailed") == {
        "Type": "Fail",
        "ErrorPath": "$.error.Error",
        "CausePath": "$.error.Cause",
    }


@pytest.mark.parametrize(
    ("task", "function", "payload"),
    [
        ("Transform", "transform", {"batch", "version", "files", "execution"}),
        ("DeliverChunk", "deliver", {"batch", "version", "execution", "chunk"}),
        ("Finalize", "finalize", {"batch", "version", "execution", "outcome"}),
        ("RunFailed", "finalize", {"batch", "version", "execution", "error"}),
    ],
)
def test_function_gets_what_its_handler_reads(plan: Plan, task: str, function: str, payload: set[str]) -> None:
    state = state_of(plan.definition, task)

    assert state["Resource"] == "arn:aws:states:::lambda:invoke"
    assert state["Parameters"]["FunctionName"] == f"{LAMBDA}-{function}"
    assert set(state["Parameters"]["Payload"]) == {f"{name}.$" for name in payload}


def test_children_and_steps_know_the_run_by_its_own_name(plan: Plan) -> None:
    states = plan.definition["States"]

    assert states["Begin"]["Parameters"]["execution.$"] == "$$.Execution.Name"
    assert states["Deliver"]["ItemSelector"]["execution.$"] == "$.execution"


def test_task_waits_longer_than_its_function_runs(plan: Plan) -> None:
    functions = {"Transform": "transform", "DeliverChunk": "deliver", "Finalize": "finalize", "RunFailed": "finalize"}

    for task, function in functions.items():
        assert state_of(plan.definition, task)["TimeoutSeconds"] > plan.function(function)["timeout"]


def test_concurrency_of_a_run_is_the_variable(terraform: CurrentProvider) -> None:
    definition = terraform.plan({"deliver_concurrency": 7}).definition

    assert definition["States"]["Deliver"]["MaxConcurrency"] == 7


def test_run_is_logged_and_traced(plan: Plan) -> None:
    machine = plan["module.workflow.aws_sfn_state_machine.this"]
    log = plan["module.workflow.aws_cloudwatch_log_group.this"]

    assert machine["type"] == "STANDARD"
    assert machine["logging_configuration"][0]["level"] == "ERROR"
    assert log["name"].startswith("/aws/vendedlogs/states/")
    assert machine["tracing_configuration"][0]["enabled"] is True
