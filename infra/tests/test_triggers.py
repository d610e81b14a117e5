"""The other triggers of functions, beside the queue, the stream and the state machine: a schedule, and the end of a
run."""

from __future__ import annotations

import json

import pytest
from pipeline.events import due_batch
from pipeline.stages.failures import is_check

from infra.tests.support import ACCOUNT, REGION, Plan, Planner

pytestmark = pytest.mark.terraform

PREFIX = "csv-pipeline-dev"
LAMBDA = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{PREFIX}"
RULE = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{PREFIX}"


def test_files_that_are_due_are_checked_once_a_day(planner: Planner) -> None:
    plan = planner.plan(due_check_schedule="cron(30 6 ? * MON-FRI *)", due_days=2, days_ahead=31)
    rule = plan['module.trigger["due-check"].aws_cloudwatch_event_rule.this']
    intake = plan['module.function["intake"].aws_lambda_function.this']

    assert rule["schedule_expression"] == "cron(30 6 ? * MON-FRI *)"
    assert intake["environment"][0]["variables"]["DUE_DAYS"] == "2"
    assert intake["environment"][0]["variables"]["DAYS_AHEAD"] == "31"
    assert due_batch({"detail-type": "Scheduled Event", "time": "2022-02-02T06:30:00Z"}, 2) == "20220131"


def test_check_can_be_switched_off(planner: Planner) -> None:
    plan = planner.plan("local")

    assert set(plan.of_type("aws_cloudwatch_event_rule")) == {
        f'module.trigger["{name}"].aws_cloudwatch_event_rule.this' for name in ("ended-runs-check", "run-ended")
    }


def test_finalize_gets_every_end_of_a_run_that_no_catch_handles(plan: Plan) -> None:
    rule = plan['module.trigger["run-ended"].aws_cloudwatch_event_rule.this']
    machine = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{PREFIX}-batch"

    assert json.loads(rule["event_pattern"]) == {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": [machine], "status": ["ABORTED", "FAILED", "TIMED_OUT"]},
    }


def test_lost_end_events_are_looked_for_every_hour(plan: Plan) -> None:
    rule = plan['module.trigger["ended-runs-check"].aws_cloudwatch_event_rule.this']

    assert rule["schedule_expression"] == "rate(1 hour)"
    assert is_check({"detail-type": "Scheduled Event", "time": "2022-02-02T06:30:00Z"})


@pytest.mark.parametrize(
    ("rule", "function"), [("due-check", "intake"), ("run-ended", "finalize"), ("ended-runs-check", "finalize")]
)
def test_only_its_own_rule_may_call_a_function(plan: Plan, rule: str, function: str) -> None:
    permission = plan[f'module.trigger["{rule}"].aws_lambda_permission.this']

    assert plan[f'module.trigger["{rule}"].aws_cloudwatch_event_target.this']["arn"] == f"{LAMBDA}-{function}"
    assert (permission["function_name"], permission["principal"]) == (f"{LAMBDA}-{function}", "events.amazonaws.com")
    assert permission["source_arn"] == f"{RULE}-{rule}"
    assert len(plan.of_type("aws_lambda_permission")) == 3
