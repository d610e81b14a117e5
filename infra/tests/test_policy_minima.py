"""The minimum that AWS's documentation requires of a policy. Each check names its page; the emulator checks none of
this."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest

from infra.tests.current_provider.schema_provider import ACCOUNT, REGION
from infra.tests.current_provider.terraform_check import CurrentProvider
from infra.tests.support import EXECUTION, FUNCTIONS, MACHINE, SQS, Plan, as_list, grants

pytestmark = pytest.mark.terraform

Statement = Mapping[str, Any]

# What a principal of the account must be allowed on a customer managed key, by the service through which it calls.
KEY_THROUGH_SERVICE = {
    # Amazon DynamoDB Developer Guide, "DynamoDB encryption at rest usage notes" and AWS KMS Developer Guide, "How
    # Amazon DynamoDB uses AWS KMS", section "Authorizing use of your customer managed key": the minimum for whoever
    # selects it.
    f"dynamodb.{REGION}.amazonaws.com": {
        "kms:Encrypt",
        "kms:Decrypt",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
        "kms:GenerateDataKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:DescribeKey",
        "kms:CreateGrant",
    },
    # AWS Lambda Developer Guide, "Securing Lambda environment variables": CreateGrant and Encrypt to configure a key
    # on a function, Decrypt to see the variables and for the function's role.
    f"lambda.{REGION}.amazonaws.com": {"kms:CreateGrant", "kms:Encrypt", "kms:Decrypt"},
    # Amazon S3 User Guide, "Using server-side encryption with AWS KMS keys": GenerateDataKey to store, Decrypt to read.
    f"s3.{REGION}.amazonaws.com": {"kms:GenerateDataKey", "kms:Decrypt"},
    # Amazon SQS Developer Guide, "Key management": GenerateDataKey and Decrypt to send, Decrypt to receive.
    f"sqs.{REGION}.amazonaws.com": {"kms:GenerateDataKey", "kms:Decrypt"},
}

# What a service must be allowed that uses the key by itself.
KEY_FOR_SERVICE = {
    # Amazon S3 User Guide, "Walkthrough: Configuring a bucket for notifications": for an encrypted queue.
    "s3.amazonaws.com": {"kms:GenerateDataKey", "kms:Decrypt"},
    # Amazon SNS Developer Guide, "Securing Amazon SNS data with server-side encryption", "Enable compatibility between
    # event sources from AWS services and encrypted topics".
    "cloudwatch.amazonaws.com": {"kms:GenerateDataKey", "kms:Decrypt"},
    # Amazon CloudWatch Logs User Guide, "Encrypt log data in CloudWatch Logs using AWS Key Management Service".
    f"logs.{REGION}.amazonaws.com": {
        "kms:Encrypt",
        "kms:Decrypt",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
        "kms:GenerateDataKey",
        "kms:DescribeKey",
    },
}


# The condition keys that a statement may demand: those in the sample policy of the service's page. The samples for S3
# and CloudWatch have no condition, so theirs must hold as well where the service sends no such key.
SENT_BY_SERVICE = {f"logs.{REGION}.amazonaws.com": {"kms:EncryptionContext:aws:logs:arn"}}


@pytest.fixture(scope="module")
def key_policy(full: Plan) -> list[Statement]:
    statements: list[Statement] = full.policy("module.key[0].aws_kms_key.this")["Statement"]
    return statements


def allowed_through(policy: list[Statement], service: str) -> set[str]:
    """What the account's principals may do with a key through a service, or directly."""
    allowed = set[str]()
    for statement in policy:
        via = statement.get("Condition", {}).get("StringEquals", {}).get("kms:ViaService")
        if "AWS" in statement["Principal"] and (via is None or service in as_list(via)):
            assert set(statement.get("Condition", {})) <= {"StringEquals"}, "a further condition no page speaks of"
            allowed |= set(as_list(statement["Action"]))
    return allowed


@pytest.mark.parametrize("service", KEY_THROUGH_SERVICE)
def test_the_key_lets_the_accounts_principals_do_what_the_service_asks_for(
    key_policy: list[Statement], service: str
) -> None:
    assert KEY_THROUGH_SERVICE[service] - allowed_through(key_policy, service) == set()


@pytest.mark.parametrize("service", KEY_FOR_SERVICE)
def test_the_key_lets_a_service_do_what_it_does_by_itself(key_policy: list[Statement], service: str) -> None:
    of_service = [statement for statement in key_policy if statement["Principal"].get("Service") == service]
    allowed = {action for statement in of_service for action in as_list(statement["Action"])}

    assert KEY_FOR_SERVICE[service] - allowed == set()
    for statement in of_service:
        demanded = {
            key
            for operator, keys in statement["Condition"].items()
            if not operator.endswith("IfExists")
            for key in keys
        }
        assert demanded <= SENT_BY_SERVICE.get(service, set()), (
            "a key that the service does not send refuses every call"
        )


def test_event_bridge_is_allowed_by_the_rules_arn_alone(plan: Plan) -> None:
    # Amazon EventBridge User Guide, "Troubleshooting Amazon EventBridge", section "My rule ran but my Lambda function
    # wasn't invoked": the policy that works has AWS:SourceArn alone. terraform-provider-aws pull request 4116 ("Fix
    # cloudwatch example") took source_account out of the example for this reason.
    permissions = plan.of_type("aws_lambda_permission").values()

    assert permissions
    for permission in permissions:
        assert permission["principal"] == "events.amazonaws.com"
        assert permission["source_arn"].startswith(f"arn:aws:events:{REGION}:{ACCOUNT}:rule/")
        assert not permission.get("source_account")


def test_children_of_the_map_may_take_the_workflows_role_too(plan: Plan) -> None:
    # AWS Step Functions Developer Guide, "Creating an IAM role for your state machine in Step Functions": its sample
    # compares aws:SourceArn with ArnLike. "IAM actions, resources and condition keys": a map's children are
    # stateMachine:NAME/LABEL.
    (statement,) = json.loads(plan["module.workflow.aws_iam_role.this"]["assume_role_policy"])["Statement"]
    patterns = as_list(statement["Condition"]["ArnLike"]["aws:SourceArn"])

    for caller in (MACHINE, f"{MACHINE}/deliver"):
        assert any(fnmatchcase(caller, pattern) for pattern in patterns), caller
    assert not any(fnmatchcase(f"{MACHINE}-of-another", pattern) for pattern in patterns)


def test_the_workflow_may_start_watch_and_stop_the_runs_of_its_map(plan: Plan) -> None:
    # AWS Step Functions Developer Guide, "IAM policies for using Distributed Map states". Redrive, the page's third
    # action, is left out on purpose: `make replay` takes its place.
    allowed = grants(plan.policy("module.workflow.aws_iam_role_policy.this"))

    assert {
        ("states:StartExecution", MACHINE),
        ("states:DescribeExecution", f"{EXECUTION}:*"),
        ("states:StopExecution", f"{EXECUTION}:*"),
    } <= allowed
    assert not {action for action, _ in allowed if "Redrive" in action}


def test_lambda_may_read_the_stream_for_publish_and_set_records_aside(plan: Plan) -> None:
    # AWS Lambda Developer Guide, "Process DynamoDB records with Lambda", section on execution role permissions (the
    # managed policy AWSLambdaDynamoDBExecutionRole), and "Retain discarded records for a DynamoDB event source in
    # Lambda".
    stream = plan["module.table.aws_dynamodb_table.this"]["stream_arn"]

    assert {
        ("dynamodb:DescribeStream", stream),
        ("dynamodb:GetRecords", stream),
        ("dynamodb:GetShardIterator", stream),
        ("dynamodb:ListStreams", "*"),
        ("sqs:SendMessage", f"{SQS}-publish-dead-letter"),
    } <= grants(plan.policy('module.function["publish"].aws_iam_role_policy.work'))


def test_lambda_may_poll_the_ingest_queue_for_intake(plan: Plan) -> None:
    # AWS Lambda Developer Guide, "Creating and configuring an Amazon SQS event source mapping", "Execution role
    # permissions".
    actions = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")

    assert {(action, f"{SQS}-ingest") for action in actions} <= grants(
        plan.policy('module.function["intake"].aws_iam_role_policy.work')
    )


def test_the_workflow_may_do_what_the_integration_asks_for_on_this_job_alone(full: Plan) -> None:
    # AWS Step Functions Developer Guide, "Start an AWS Glue job with Step Functions", "IAM policies for calling AWS
    # Glue", Run a Job (.sync). BatchStopJobRun is what stops the job when the run is stopped.
    actions = ("BatchStopJobRun", "GetJobRun", "GetJobRuns", "StartJobRun")
    job = f"{SQS.replace(':sqs:', ':glue:').replace(':csv', ':job/csv')}-large-day"

    assert grants(full.policy("module.workflow.aws_iam_role_policy.large_days[0]")) == {
        (f"glue:{action}", job) for action in actions
    }


def test_the_job_logs_where_its_log_groups_are(terraform: CurrentProvider) -> None:
    # AWS Glue Developer Guide, "Logging for AWS Glue jobs": the groups are <--custom-logGroup-prefix>/error and
    # /output. Section "Security configuration with Amazon CloudWatch logging": <prefix>/
    # <Security-Configuration-Name>-role/<glue-job-role>/error and /output; the role then needs AssociateKmsKey.
    module, name = "module.large_days[0]", "csv-pipeline-dev-large-day"
    actions = ("AssociateKmsKey", "CreateLogGroup", "CreateLogStream", "PutLogEvents")
    for variables, between in (({}, ""), ({"kms_key": "create"}, f"/{name}-role/{name}")):
        plan = terraform.plan({"large_days": {}, **variables})
        prefix = plan[f"{module}.aws_glue_job.this"]["default_arguments"]["--custom-logGroup-prefix"]
        groups = {f"{prefix}{between}/error", f"{prefix}{between}/output"}
        logs = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group"

        made = plan.of_type("aws_cloudwatch_log_group").items()
        assert {values["name"] for address, values in made if address.startswith(module)} == groups
        assert grants(plan.policy(f"{module}.aws_iam_role_policy.telemetry")) == {
            (f"logs:{action}", f"{logs}:{group}:*") for action in actions for group in groups
        }


def test_functions_in_a_network_may_be_placed_in_it(full: Plan) -> None:
    # AWS Lambda Developer Guide, "Giving Lambda functions access to resources in an Amazon VPC", "Required IAM
    # permissions".
    expected = {
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
    }
    for function in FUNCTIONS:
        policy = full.policy(f'module.function["{function}"].aws_iam_role_policy.further["network"]')
        assert {action for action, resource in grants(policy) if resource == "*"} == expected


def test_the_age_of_an_event_raises_an_alarm_before_its_third_receive(plan: Plan) -> None:
    # Amazon SQS Developer Guide, "Available CloudWatch metrics for Amazon SQS", ApproximateAgeOfOldestMessage: a
    # message that was received three times and not deleted no longer counts.
    alarm = plan['module.monitoring.aws_cloudwatch_metric_alarm.this["ingest-age"]']
    hidden = plan["module.ingest_queue.aws_sqs_queue.this"]["visibility_timeout_seconds"]

    assert hidden < alarm["threshold"] < 2 * hidden


def test_publish_is_retried_until_its_records_are_twelve_hours_old(plan: Plan) -> None:
    # AWS Lambda Developer Guide, "Lambda parameters for Amazon DynamoDB event source mappings": records are given up
    # by age or by attempts, whichever comes first; -1 attempts means that the age alone counts.
    mapping = plan['module.function["publish"].aws_lambda_event_source_mapping.this[0]']

    assert mapping["maximum_retry_attempts"] == -1
    assert mapping["maximum_record_age_in_seconds"] == 12 * 3600
