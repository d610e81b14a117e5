"""The connections on the path of a file: bucket, queue, functions, workflow, table, stream, output queue."""

from __future__ import annotations

import dataclasses
import json
from importlib.util import find_spec
from typing import Any

import pytest
from pipeline import settings

from infra.tests.support import ACCOUNT, FUNCTIONS, INFRA, MODULES, REGION, Plan, Planner, parse, resources_of

pytestmark = pytest.mark.terraform

PREFIX = "csv-pipeline-dev"
SQS = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{PREFIX}"

SETTINGS = {
    "intake": settings.IntakeSettings,
    "transform": settings.TransformSettings,
    "deliver": settings.DeliverSettings,
    "finalize": settings.FinalizeSettings,
    "publish": settings.PublishSettings,
}


def environment_of(plan: Plan, function: str) -> dict[str, str]:
    """A function's environment variables. Those of publish hold a queue's URL, so a plan does not know them."""
    variables: dict[str, str] = function_of(plan, function)["environment"][0]["variables"]
    return variables


def written_functions() -> dict[str, Any]:
    """What locals.tf says of each function, before Terraform fills anything in."""
    (block,) = parse(INFRA / "locals.tf")["locals"]
    functions: dict[str, Any] = block["functions"]
    return functions


def function_of(plan: Plan, function: str) -> Any:
    return plan[f'module.function["{function}"].aws_lambda_function.this']


def mapping_of(plan: Plan, function: str) -> Any:
    return plan[f'module.function["{function}"].aws_lambda_event_source_mapping.this[0]']


def test_bucket_notifies_the_ingest_queue_of_every_new_object_under_incoming(plan: Plan) -> None:
    notification = plan["module.bucket.aws_s3_bucket_notification.this"]

    assert len(plan.of_type("aws_s3_bucket_notification")) == 1
    assert [
        (queue["queue_arn"], queue["events"], queue["filter_prefix"], queue["filter_suffix"])
        for queue in notification["queue"]
    ] == [(f"{SQS}-ingest", ["s3:ObjectCreated:*"], "incoming/", None)]
    assert "module.ingest_queue.arn" in plan.references("bucket", "queue_arn")


def test_notification_waits_for_the_policy_that_lets_the_bucket_send() -> None:
    # S3 refuses a notification to a queue that does not take it; the order hangs on this output alone.
    (arn,) = [block["arn"] for block in parse(INFRA / "modules/queue/outputs.tf")["output"] if "arn" in block]

    assert "${aws_sqs_queue_policy.this}" in arn["depends_on"]


def test_intake_takes_one_message_a_call_from_the_ingest_queue(plan: Plan) -> None:
    mapping = mapping_of(plan, "intake")

    assert mapping["event_source_arn"] == f"{SQS}-ingest"
    assert mapping["function_name"] == f"{PREFIX}-intake"
    assert mapping["batch_size"] == 1


def test_publish_reads_the_stream_from_its_oldest_record(plan: Plan) -> None:
    mapping = mapping_of(plan, "publish")

    assert "event_source_arn" not in mapping, "the stream's ARN is made up by DynamoDB"
    assert mapping["function_name"] == f"{PREFIX}-publish"
    assert mapping["starting_position"] == "TRIM_HORIZON"


def test_stream_records_that_cannot_be_sent_go_to_the_dead_letter_queue_before_they_expire(plan: Plan) -> None:
    mapping = mapping_of(plan, "publish")

    assert mapping["bisect_batch_on_function_error"] is True
    assert mapping["maximum_retry_attempts"] == -1, "the age alone ends the retries"
    assert mapping["maximum_record_age_in_seconds"] <= 12 * 3600, "half of what the stream keeps"
    assert mapping["destination_config"] == [{"on_failure": [{"destination_arn": f"{SQS}-publish-dead-letter"}]}]


def test_only_intake_and_publish_have_an_event_source(plan: Plan) -> None:
    assert set(plan.of_type("aws_lambda_event_source_mapping")) == {
        f'module.function["{name}"].aws_lambda_event_source_mapping.this[0]' for name in ("intake", "publish")
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_gets_exactly_the_settings_that_its_code_reads(function: str) -> None:
    fields = dataclasses.fields(SETTINGS[function])
    required = {field.name.upper() for field in fields if field.default is dataclasses.MISSING}
    optional = {field.name.upper() for field in fields} - required

    assert required <= set(written_functions()[function]["environment"]) <= required | optional


@pytest.mark.parametrize("function", [name for name in FUNCTIONS if name != "publish"])
def test_no_setting_of_a_function_is_empty(plan: Plan, function: str) -> None:
    assert all(environment_of(plan, function).values())


@pytest.mark.parametrize("function", [name for name in FUNCTIONS if name != "publish"])
def test_function_logs_and_counts_under_its_own_name_and_this_deployments_namespace(plan: Plan, function: str) -> None:
    found = {name: value for name, value in environment_of(plan, function).items() if name.startswith("POWERTOOLS_")}

    assert found == {
        "POWERTOOLS_SERVICE_NAME": function,
        "POWERTOOLS_METRICS_NAMESPACE": PREFIX,
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_runs_a_handler_that_the_package_has(plan: Plan, function: str) -> None:
    module, _, name = function_of(plan, function)["handler"].rpartition(".")

    assert (module, name) == (f"pipeline.handlers.{function}", "handler")
    assert find_spec(module)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_is_traced_and_its_log_ends_after_the_retention(plan: Plan, function: str) -> None:
    log_group = plan[f'module.function["{function}"].aws_cloudwatch_log_group.this']

    assert function_of(plan, function)["tracing_config"] == [{"mode": "Active"}]
    assert log_group["name"] == f"/aws/lambda/{PREFIX}-{function}"
    assert log_group["retention_in_days"] == 90


def test_quiet_seconds_are_the_timeout_of_deliver(planner: Planner) -> None:
    plan = planner.plan(timeout_seconds={"deliver": 222})

    assert function_of(plan, "deliver")["timeout"] == 222
    assert {environment_of(plan, name)["QUIET_SECONDS"] for name in ("transform", "finalize")} == {"222"}


def test_message_stays_hidden_for_six_times_the_timeout_of_intake(planner: Planner) -> None:
    for plan in (planner.plan(), planner.plan(timeout_seconds={"intake": 100})):
        hidden = plan["module.ingest_queue.aws_sqs_queue.this"]["visibility_timeout_seconds"]

        assert hidden >= 6 * function_of(plan, "intake")["timeout"]


@pytest.mark.parametrize(("queue", "suffix"), [("ingest", ""), ("output", ".fifo")])
def test_message_that_fails_five_times_goes_to_the_dead_letter_queue_for_a_fortnight(
    plan: Plan, queue: str, suffix: str
) -> None:
    redrive = json.loads(plan[f"module.{queue}_queue.aws_sqs_queue.this"]["redrive_policy"])
    dead_letter = plan[f"module.{queue}_queue.aws_sqs_queue.dead_letter[0]"]

    assert redrive == {"deadLetterTargetArn": f"{SQS}-{queue}-dead-letter{suffix}", "maxReceiveCount": 5}
    assert dead_letter["name"] == f"{PREFIX}-{queue}-dead-letter{suffix}"
    assert dead_letter["message_retention_seconds"] == 14 * 24 * 3600


def test_dead_letter_queue_takes_messages_from_its_own_queue_alone() -> None:
    # Provider 3.39 does not know the resource, so it is read from the file.
    allow = resources_of(INFRA / "modules/queue")["aws_sqs_queue_redrive_allow_policy.dead_letter"]

    assert 'redrivePermission = "byQueue"' in allow["redrive_allow_policy"]
    assert "sourceQueueArns = [aws_sqs_queue.this.arn]" in allow["redrive_allow_policy"]


def test_output_queue_keeps_each_customers_order_at_high_throughput(plan: Plan) -> None:
    written = resources_of(INFRA / "modules/queue")["aws_sqs_queue.this"]

    for name in ("this", "dead_letter[0]"):
        queue = plan[f"module.output_queue.aws_sqs_queue.{name}"]
        assert queue["fifo_queue"] is True
        assert queue["name"].endswith(".fifo")
        assert not queue["content_based_deduplication"]
    assert '"messageGroup"' in written["deduplication_scope"]
    assert '"perMessageGroupId"' in written["fifo_throughput_limit"]


def test_output_queue_can_be_a_standard_one(planner: Planner) -> None:
    plan = planner.plan(output_fifo=False)

    for name in ("this", "dead_letter[0]"):
        queue = plan[f"module.output_queue.aws_sqs_queue.{name}"]
        assert not queue["fifo_queue"]
        assert not queue["name"].endswith(".fifo")
    redrive = json.loads(plan["module.output_queue.aws_sqs_queue.this"]["redrive_policy"])
    assert redrive["deadLetterTargetArn"] == f"{SQS}-output-dead-letter"


def test_publish_dead_letter_queue_has_no_dead_letter_queue(plan: Plan) -> None:
    queue = plan["module.publish_dead_letter_queue.aws_sqs_queue.this"]

    assert queue.get("redrive_policy") in (None, "")
    assert not queue["fifo_queue"], "Lambda sets stream records aside in standard queues only"
    assert queue["message_retention_seconds"] == 14 * 24 * 3600


def test_table_is_keyed_as_the_code_expects_and_streams_both_images(plan: Plan) -> None:
    table = plan["module.table.aws_dynamodb_table.this"]

    assert (table["hash_key"], table["range_key"]) == ("pk", "sk")
    assert {(attribute["name"], attribute["type"]) for attribute in table["attribute"]} == {("pk", "S"), ("sk", "S")}
    assert table["billing_mode"] == "PAY_PER_REQUEST"
    assert (table["stream_enabled"], table["stream_view_type"]) == (True, "NEW_AND_OLD_IMAGES")


def test_commands_find_every_output_that_they_read(plan: Plan) -> None:
    assert set(plan.outputs) == {
        "region",
        "bucket_name",
        "table_name",
        "ingest_queue_url",
        "ingest_dead_letter_queue_url",
        "output_queue_url",
        "output_dead_letter_queue_url",
        "publish_dead_letter_queue_url",
        "state_machine_arn",
        "function_names",
        "log_group_names",
        "alarm_topic_arn",
        "dashboard_name",
        "large_day_job_name",
        "partner_role_arn",
        "partner_user_name",
    }
    assert plan.outputs["function_names"]["value"] == {name: f"{PREFIX}-{name}" for name in FUNCTIONS}
    assert set(plan.outputs["log_group_names"]["value"]) == {*FUNCTIONS, "workflow"}


def test_publish_names_failed_records_exactly_where_its_mapping_reads_them() -> None:
    # Where they disagree, records are lost: a reply that names failures counts as success for a mapping that does not.
    publish = written_functions()["publish"]

    assert publish["environment"]["PARTIAL_BATCH_RESPONSES"] == "${tostring(var.partial_batch_responses)}"
    assert publish["event_source"]["partial_batch_responses"] == "${var.partial_batch_responses}"
    assert "partial_batch_responses = false" in (INFRA / "env/local.tfvars").read_text()


def test_local_target_has_everything_that_a_batch_needs(plan: Plan, local_plan: Plan) -> None:
    tls = {address for address in plan.resources if "_policy.dead_letter" in address or "bucket_policy" in address}
    tls |= {f"module.{name}_queue.aws_sqs_queue_policy.this[0]" for name in ("output", "publish_dead_letter")}
    due_check = {address for address in plan.resources if 'module.trigger["due-check"]' in address}
    alarms = {address for address in plan.resources if "aws_cloudwatch_metric_alarm" in address}

    assert set(plan.resources) - set(local_plan.resources) - alarms == tls | due_check
    added = {address.split(".")[1] for address in set(local_plan.resources) - set(plan.resources)}
    assert added == {"partner"}, "whose way in is there to be tried"


def test_root_only_connects_modules() -> None:
    root = parse(INFRA / "main.tf")

    assert "resource" not in root
    assert {call["source"] for block in root["module"] for call in block.values()} == {
        f"./modules/{name}" for name in MODULES
    }
