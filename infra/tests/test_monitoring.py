"""Every way to fail raises an alarm, and alarms and dashboard look at metrics that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pipeline
import pytest
from pipeline.observability import Metric
from pipeline_cli.terraform.target import ROOT

from infra.tests.current_provider.terraform_check import EVERYTHING
from infra.tests.support import FUNCTIONS, MACHINE, PREFIX, Plan

pytestmark = pytest.mark.terraform

QUEUES = {f"{PREFIX}-{name}" for name in ("ingest", "ingest-dead-letter", "publish-dead-letter")} | {
    f"{PREFIX}-{name}.fifo" for name in ("output", "output-dead-letter")
}

RULES = ("due-check", "ended-runs-check", "run-ended")

# What AWS publishes, as its developer guides list it: each service's metrics by the dimensions that they come with.
FUNCTION_METRICS = (
    "AsyncEventAge AsyncEventsDropped AsyncEventsReceived ConcurrentExecutions DeadLetterErrors Duration Errors "
    "DestinationDeliveryFailures Invocations IteratorAge Throttles"
)
QUEUE_METRICS = (
    "ApproximateAgeOfOldestMessage ApproximateNumberOfMessagesDelayed ApproximateNumberOfMessagesNotVisible "
    "ApproximateNumberOfMessagesVisible NumberOfEmptyReceives NumberOfMessagesDeleted NumberOfMessagesReceived "
    "NumberOfMessagesSent SentMessageSize"
)
MACHINE_METRICS = (
    "ExecutionThrottled ExecutionTime ExecutionsAborted ExecutionsFailed ExecutionsStarted ExecutionsSucceeded "
    "ExecutionsTimedOut"
)
TABLE_METRICS = "ConsumedReadCapacityUnits ConsumedWriteCapacityUnits ReadThrottleEvents WriteThrottleEvents"
RULE_METRICS = "FailedInvocations Invocations MatchedEvents ThrottledRules TriggeredRules"
PUBLISHED: dict[tuple[str, tuple[str, ...]], tuple[str, set[str]]] = {
    ("AWS/Lambda", ("FunctionName",)): (FUNCTION_METRICS, {f"{PREFIX}-{name}" for name in FUNCTIONS}),
    ("AWS/SQS", ("QueueName",)): (QUEUE_METRICS, QUEUES),
    ("AWS/States", ("StateMachineArn",)): (MACHINE_METRICS, {MACHINE}),
    ("AWS/States", ("ServiceMetric",)): ("ConsumedCapacity ThrottledEvents", {"StateTransition"}),
    ("AWS/DynamoDB", ("TableName",)): (TABLE_METRICS, {PREFIX}),
    ("AWS/Events", ("RuleName",)): (RULE_METRICS, {f"{PREFIX}-{rule}" for rule in RULES}),
}

Named = tuple[str, str, Mapping[str, str]]


def emitted(name: str, dimensions: Mapping[str, str]) -> bool:
    """Whether a function's code counts the metric under these dimensions."""
    if name == "ColdStart":  # Powertools' own, for each function
        service = dimensions.get("service")
        return service in FUNCTIONS and dimensions == {"service": service, "function_name": f"{PREFIX}-{service}"}
    (service,) = dimensions.values()
    package = Path(str(pipeline.__file__)).parent
    handler = (package / "handlers" / f"{service}.py").read_text()
    stages = [package / "stages" / f"{name}.py" for name in re.findall(r"from pipeline\.stages\.(\w+) import", handler)]
    code = handler + "".join(stage.read_text() for stage in stages)
    return set(dimensions) == {"service"} and f"Metric.{Metric(name).name}" in code


def exists(metric: Named) -> bool:
    namespace, name, dimensions = metric
    if namespace == PREFIX:
        return emitted(name, dimensions)
    names, values = PUBLISHED[namespace, tuple(dimensions)]
    return name in names.split() and set(dimensions.values()) <= values


def metrics_of_alarms(plan: Plan) -> Iterator[Named]:
    for alarm in plan.alarms.values():
        if "metric_name" in alarm:
            yield alarm["namespace"], alarm["metric_name"], alarm["dimensions"]
        for query in alarm["metric_query"]:
            for metric in query["metric"]:
                yield metric["namespace"], metric["metric_name"], metric["dimensions"]


def dashboard_of(plan: Plan) -> list[dict[str, Any]]:
    body = json.loads(plan["module.monitoring.aws_cloudwatch_dashboard.this"]["dashboard_body"])
    widgets: list[dict[str, Any]] = body["widgets"]
    return widgets


def rows(widget: Mapping[str, Any]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """A widget's lines: namespace, name and dimensions (nothing for an expression), and how the line is shown."""
    for row in widget["properties"].get("metrics", []):
        yield [part for part in row if isinstance(part, str)], next((p for p in row if isinstance(p, dict)), {})


def metrics_of_dashboard(plan: Plan) -> Iterator[Named]:
    for widget in dashboard_of(plan):
        for parts, _ in rows(widget):
            if parts:
                yield parts[0], parts[1], dict(zip(parts[2::2], parts[3::2], strict=True))


def test_every_metric_that_is_watched_or_shown_exists(plan: Plan) -> None:
    watched, shown = list(metrics_of_alarms(plan)), list(metrics_of_dashboard(plan))

    assert (len(watched) > 30, len(shown) > 60) == (True, True)
    assert [metric for metric in watched + shown if not exists(metric)] == []


def test_everything_that_the_code_counts_is_on_the_dashboard(plan: Plan) -> None:
    shown = {name for namespace, name, _ in metrics_of_dashboard(plan) if namespace == PREFIX}

    assert shown == {metric.value for metric in Metric} | {"ColdStart"}


def test_expressions_use_lines_of_their_own_widget_and_widgets_existing_alarms(plan: Plan) -> None:
    for widget in dashboard_of(plan):
        options = [option for _, option in rows(widget)]
        known = {option["id"] for option in options if "id" in option} | {"IF", "SUM"}
        for option in options:
            assert set(re.findall(r"[A-Za-z_]\w*", option.get("expression", ""))) <= known, option
        alarms = {arn.rpartition(f":alarm:{PREFIX}-")[2] for arn in widget["properties"].get("alarms", ())}
        assert alarms <= set(plan.alarms)


def test_the_price_of_a_month_counts_every_metric_of_an_alarm(plan: Plan) -> None:
    # Amazon CloudWatch Pricing: an alarm costs as many times as it has metrics.
    counted = re.search(r'"alarm_month": (\d+)', (ROOT / "benchmarks" / "cost.py").read_text())

    assert counted
    assert int(counted[1]) == len(list(metrics_of_alarms(plan)))


def test_alarm_notifies_the_topic_and_silence_is_no_success(full: Plan) -> None:
    topic = full["module.monitoring.aws_sns_topic.this"]["arn"]
    subscribed = {one["endpoint"] for one in full.of_type("aws_sns_topic_subscription").values()}

    assert subscribed == set(EVERYTHING["alarm_emails"])
    for name, alarm in full.alarms.items():
        assert alarm["alarm_actions"] == [topic], name
        assert alarm["treat_missing_data"] == ("breaching" if name == "no-batch-completed" else "notBreaching"), name


def test_thresholds_follow_from_timeouts_and_variables(full: Plan) -> None:
    alarms = full.alarms
    for part in FUNCTIONS:
        duration = alarms[f"{part}-duration"]
        assert (duration["threshold"], duration["statistic"]) == (900 * full.function(part)["timeout"], "Maximum")
    day, flood = alarms["no-batch-completed"], alarms["batches-many"]
    assert day["evaluation_periods"] == day["datapoints_to_alarm"] == EVERYTHING["completed_batch_within_hours"]
    assert flood["threshold"] == EVERYTHING["expected_batches_per_hour"]
    assert alarms["refused-share"]["threshold"] == EVERYTHING["max_refused_percent"] / 4


def test_the_alarm_on_days_and_the_check_for_files_can_be_switched_off(local: Plan) -> None:
    assert "no-batch-completed" not in local.alarms
    assert not [address for address in local.resources if "due-check" in address]
