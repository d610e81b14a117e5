"""The connections on the path of a file: bucket, queue, functions, workflow, table, stream, output queue."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from pipeline import settings
from pipeline.events import due_batch
from pipeline.stages.failures import is_check
from pipeline_cli.terraform.dependencies import platform_of

from infra.tests.current_provider.terraform_check import EVERYTHING
from infra.tests.support import FUNCTIONS, INFRA, MACHINE, PREFIX, SQS, Plan

pytestmark = pytest.mark.terraform

SETTINGS = {
    "intake": settings.IntakeSettings,
    "transform": settings.TransformSettings,
    "deliver": settings.DeliverSettings,
    "finalize": settings.FinalizeSettings,
    "publish": settings.PublishSettings,
}
FORTNIGHT = 14 * 24 * 3600


def mapping_of(plan: Plan, function: str) -> Mapping[str, Any]:
    return plan[f'module.function["{function}"].aws_lambda_event_source_mapping.this[0]']


def test_bucket_notifies_the_ingest_queue_of_every_new_object_under_incoming(plan: Plan) -> None:
    (notification,) = plan.of_type("aws_s3_bucket_notification").values()
    (queue,) = notification["queue"]

    assert (queue["queue_arn"], queue["events"]) == (f"{SQS}-ingest", ["s3:ObjectCreated:*"])
    assert (queue["filter_prefix"], queue["filter_suffix"]) == ("incoming/", None)
    assert mapping_of(plan, "intake")["event_source_arn"] == f"{SQS}-ingest"
    assert mapping_of(plan, "intake")["batch_size"] == 1


def test_notification_waits_for_the_policy_that_lets_the_bucket_send() -> None:
    # S3 refuses a notification to a queue that does not take it; the order hangs on this output alone.
    outputs = (INFRA / "modules/queue/outputs.tf").read_text()

    assert re.search(r"depends_on *= *\[[^]]*aws_sqs_queue_policy\.this", outputs.partition('output "name"')[0])


def test_publish_reads_the_stream_from_its_oldest_record_and_sets_aside_what_it_cannot_send(plan: Plan) -> None:
    mapping = mapping_of(plan, "publish")

    assert mapping["event_source_arn"] == plan["module.table.aws_dynamodb_table.this"]["stream_arn"]
    assert mapping["starting_position"] == "TRIM_HORIZON"
    assert mapping["bisect_batch_on_function_error"] is True
    assert mapping["destination_config"] == [{"on_failure": [{"destination_arn": f"{SQS}-publish-dead-letter"}]}]


def test_publish_names_failed_records_exactly_where_its_mapping_reads_them(plan: Plan, local: Plan) -> None:
    # Where they disagree, records are lost: a reply that names failures counts as success for a mapping that does not.
    for planned, expected in ((plan, True), (local, False)):
        told = mapping_of(planned, "publish").get("function_response_types") == ["ReportBatchItemFailures"]
        assert planned.settings("publish")["PARTIAL_BATCH_RESPONSES"] == str(told).lower()
        assert told is expected


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_gets_exactly_the_settings_that_its_code_reads(full: Plan, function: str) -> None:
    fields = dataclasses.fields(SETTINGS[function])
    required = {field.name.upper() for field in fields if field.default is dataclasses.MISSING}
    given = {name: value for name, value in full.settings(function).items() if not name.startswith("POWERTOOLS_")}

    assert required <= given.keys() <= {field.name.upper() for field in fields}
    assert all(given.values())
    settings.read_settings(SETTINGS[function], given)


def test_the_rules_that_a_variable_sets_reach_the_function(full: Plan) -> None:
    of_transform = ("max_refused_percent", "min_day_percent", "max_removed_percent")
    of_intake = ("control_file", "days_back", "due_days", "days_ahead")
    for part, names in (("transform", of_transform), ("intake", of_intake)):
        given = full.settings(part)
        assert {name: given.get(name.upper()) for name in names} == {name: str(EVERYTHING[name]) for name in names}

    assert full.function("transform")["reserved_concurrent_executions"] == EVERYTHING["transform"]["concurrency"]
    assert full.function("deliver")["reserved_concurrent_executions"] == -1


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_is_traced_and_logs_and_counts_under_its_own_name(plan: Plan, function: str) -> None:
    log_group = plan[f'module.function["{function}"].aws_cloudwatch_log_group.this']

    assert plan.function(function)["tracing_config"] == [{"mode": "Active"}]
    assert (log_group["name"], log_group["retention_in_days"]) == (f"/aws/lambda/{PREFIX}-{function}", 90)
    assert plan.settings(function)["POWERTOOLS_SERVICE_NAME"] == function
    assert plan.settings(function)["POWERTOOLS_METRICS_NAMESPACE"] == PREFIX


def test_function_runs_on_what_its_package_is_built_for(plan: Plan) -> None:
    built = platform_of("prod")
    processors = {"aarch64": "arm64", "x86_64": "x86_64"}

    for function in FUNCTIONS:
        made = plan.function(function)
        assert made["runtime"] == f"python{built.python}"
        assert made["architectures"] == [processors[str(built.machine)]]


def test_waiting_times_follow_from_the_timeouts(plan: Plan) -> None:
    timeout = {function: plan.function(function)["timeout"] for function in FUNCTIONS}
    hidden = plan["module.ingest_queue.aws_sqs_queue.this"]["visibility_timeout_seconds"]

    assert {plan.settings(name)["WRITER_GRACE_SECONDS"] for name in ("transform", "finalize")} == {
        str(timeout["deliver"])
    }
    assert hidden >= 6 * timeout["intake"]


@pytest.mark.parametrize(("queue", "suffix"), [("ingest", ""), ("output", ".fifo")])
def test_message_that_fails_five_times_goes_to_its_own_dead_letter_queue_for_a_fortnight(
    plan: Plan, queue: str, suffix: str
) -> None:
    module = f"module.{queue}_queue"
    main, dead_letter = plan[f"{module}.aws_sqs_queue.this"], plan[f"{module}.aws_sqs_queue.dead_letter[0]"]
    allowed = json.loads(plan[f"{module}.aws_sqs_queue_redrive_allow_policy.dead_letter[0]"]["redrive_allow_policy"])

    assert json.loads(main["redrive_policy"]) == {
        "deadLetterTargetArn": f"{SQS}-{queue}-dead-letter{suffix}",
        "maxReceiveCount": 5,
    }
    assert dead_letter["name"] == f"{PREFIX}-{queue}-dead-letter{suffix}"
    assert dead_letter["message_retention_seconds"] == FORTNIGHT
    assert allowed == {"redrivePermission": "byQueue", "sourceQueueArns": [main["arn"]]}


def test_stream_records_are_set_aside_in_a_standard_queue_for_a_fortnight(plan: Plan) -> None:
    queue = plan["module.publish_dead_letter_queue.aws_sqs_queue.this"]

    assert not queue["fifo_queue"], "Lambda sets stream records aside in standard queues only"
    assert queue["message_retention_seconds"] == FORTNIGHT


def test_table_streams_both_images_and_can_be_restored(plan: Plan) -> None:
    table = plan["module.table.aws_dynamodb_table.this"]

    assert (table["billing_mode"], table["stream_view_type"]) == ("PAY_PER_REQUEST", "NEW_AND_OLD_IMAGES")
    assert table["point_in_time_recovery"][0]["enabled"] is True


def test_files_that_are_due_are_checked_on_the_given_schedule(full: Plan) -> None:
    rule = full['module.trigger["due-check"].aws_cloudwatch_event_rule.this']

    assert rule["schedule_expression"] == EVERYTHING["due_check_schedule"]
    assert due_batch({"detail-type": "Scheduled Event", "time": "2022-02-02T06:30:00Z"}, 2) == "20220131"


def test_finalize_gets_every_end_of_a_run_that_no_catch_handles_and_looks_for_lost_ones_every_hour(plan: Plan) -> None:
    ended, check = (
        plan[f'module.trigger["{name}"].aws_cloudwatch_event_rule.this'] for name in ("run-ended", "ended-runs-check")
    )

    assert json.loads(ended["event_pattern"]) == {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": [MACHINE], "status": ["ABORTED", "FAILED", "TIMED_OUT"]},
    }
    assert check["schedule_expression"] == "rate(1 hour)"
    assert is_check({"detail-type": "Scheduled Event", "time": "2022-02-02T06:30:00Z"})
