"""The minimum that AWS's documentation requires of a policy, with its page. The emulator checks none of this."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest

from infra.tests.current_provider.schema_provider import ACCOUNT, REGION
from infra.tests.current_provider.terraform_check import CurrentProvider
from infra.tests.support import EXECUTION, FUNCTIONS, LAMBDA, MACHINE, PREFIX, SQS, STREAM, Plan, as_list, grants

pytestmark = pytest.mark.terraform

Statement = Mapping[str, Any]
SEND, ENCRYPT = "GenerateDataKey Decrypt", "Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey DescribeKey"

KEY_THROUGH_SERVICE = {
    # Amazon DynamoDB Developer Guide, "DynamoDB encryption at rest usage notes" and AWS KMS Developer Guide, "How
    # Amazon DynamoDB uses AWS KMS", section "Authorizing use of your customer managed key".
    "dynamodb": f"{ENCRYPT} GenerateDataKeyWithoutPlaintext CreateGrant",
    # AWS Lambda Developer Guide, "Securing Lambda environment variables".
    "lambda": "CreateGrant Encrypt Decrypt",
    # Amazon S3 User Guide, "Using server-side encryption with AWS KMS keys".
    "s3": SEND,
    # Amazon SQS Developer Guide, "Key management".
    "sqs": SEND,
}
"""What a principal of the account must be allowed on a customer managed key, by the service through which it calls."""

KEY_FOR_SERVICE: Mapping[str, tuple[str, set[str]]] = {
    # Amazon S3 User Guide, "Walkthrough: Configuring a bucket for notifications": for an encrypted queue.
    "s3.amazonaws.com": (SEND, set()),
    # Amazon SNS Developer Guide, "Securing Amazon SNS data with server-side encryption", "Enable compatibility between
    # event sources from AWS services and encrypted topics".
    "cloudwatch.amazonaws.com": (SEND, set()),
    # Amazon CloudWatch Logs User Guide, "Encrypt log data in CloudWatch Logs using AWS Key Management Service".
    f"logs.{REGION}.amazonaws.com": (ENCRYPT, {"kms:EncryptionContext:aws:logs:arn"}),
}
"""What a service must be allowed that uses the key by itself, and the condition keys that its page's sample policy has:
a key that the service does not send would refuse every call."""


@pytest.fixture(scope="module")
def key_policy(full: Plan) -> list[Statement]:
    statements: list[Statement] = full.policy("module.key[0].aws_kms_key.this")["Statement"]
    return statements


def of_kms(names: str) -> set[str]:
    return {f"kms:{name}" for name in names.split()}


@pytest.mark.parametrize("service", KEY_THROUGH_SERVICE)
def test_the_key_lets_the_accounts_principals_do_what_the_service_asks_for(
    key_policy: list[Statement], service: str
) -> None:
    allowed = set[str]()
    for statement in key_policy:
        via = statement.get("Condition", {}).get("StringEquals", {}).get("kms:ViaService")
        if "AWS" in statement["Principal"] and (via is None or f"{service}.{REGION}.amazonaws.com" in as_list(via)):
            assert set(statement.get("Condition", {})) <= {"StringEquals"}, "a further condition no page speaks of"
            allowed |= set(as_list(statement["Action"]))

    assert of_kms(KEY_THROUGH_SERVICE[service]) - allowed == set()


@pytest.mark.parametrize("service", KEY_FOR_SERVICE)
def test_the_key_lets_a_service_do_what_it_does_by_itself(key_policy: list[Statement], service: str) -> None:
    actions, sent = KEY_FOR_SERVICE[service]
    of_service = [statement for statement in key_policy if statement["Principal"].get("Service") == service]

    assert of_kms(actions) - {action for statement in of_service for action in as_list(statement["Action"])} == set()
    for statement in of_service:
        tests = statement["Condition"].items()
        assert {key for operator, keys in tests if not operator.endswith("IfExists") for key in keys} <= sent


ASKED: list[tuple[str, str, list[str]]] = [
    # AWS Step Functions Developer Guide, "IAM policies for using Distributed Map states". Redrive, the page's third
    # action, is left out on purpose: `make replay` takes its place.
    ("module.workflow.aws_iam_role_policy.this", "states:StartExecution", [MACHINE]),
    ("module.workflow.aws_iam_role_policy.this", "states:DescribeExecution StopExecution", [f"{EXECUTION}:*"]),
    # AWS Lambda Developer Guide, "Process DynamoDB records with Lambda", section on execution role permissions (the
    # managed policy AWSLambdaDynamoDBExecutionRole), and "Retain discarded records for a DynamoDB event source in
    # Lambda".
    ("publish", "dynamodb:DescribeStream GetRecords GetShardIterator", [STREAM]),
    ("publish", "dynamodb:ListStreams", ["*"]),
    ("publish", "sqs:SendMessage", [f"{SQS}-publish-dead-letter"]),
    # AWS Lambda Developer Guide, "Creating and configuring an Amazon SQS event source mapping", "Execution role
    # permissions".
    ("intake", "sqs:ReceiveMessage DeleteMessage GetQueueAttributes", [f"{SQS}-ingest"]),
    # AWS Step Functions Developer Guide, "Start an AWS Glue job with Step Functions", "IAM policies for calling AWS
    # Glue", Run a Job (.sync). BatchStopJobRun is what stops the job when the run is stopped.
    (
        "module.workflow.aws_iam_role_policy.large_days[0]",
        "glue:BatchStopJobRun GetJobRun GetJobRuns StartJobRun",
        [f"{SQS.replace(':sqs:', ':glue:').replace(':csv', ':job/csv')}-large-day"],
    ),
    # AWS Lambda Developer Guide, "Giving Lambda functions access to resources in an Amazon VPC", "Required IAM
    # permissions".
    *(
        (
            f'module.function["{part}"].aws_iam_role_policy.further["network"]',
            "ec2:CreateNetworkInterface DescribeNetworkInterfaces DescribeSubnets DeleteNetworkInterface "
            "AssignPrivateIpAddresses UnassignPrivateIpAddresses",
            ["*"],
        )
        for part in FUNCTIONS
    ),
]
"""A function or the address of a policy, the actions of a service that the page asks for, and their resources."""


@pytest.mark.parametrize(("address", "actions", "resources"), ASKED)
def test_role_has_what_the_service_asks_for(full: Plan, address: str, actions: str, resources: list[str]) -> None:
    service, _, names = actions.partition(":")
    if address in FUNCTIONS:
        address = f'module.function["{address}"].aws_iam_role_policy.work'
    asked = {(f"{service}:{name}", resource) for name in names.split() for resource in resources}

    assert asked - grants(full.policy(address)) == set()


def test_rule_calls_its_function_and_is_allowed_by_its_arn_alone(plan: Plan) -> None:
    # Amazon EventBridge User Guide, "Troubleshooting Amazon EventBridge", section "My rule ran but my Lambda function
    # wasn't invoked": the policy that works has AWS:SourceArn alone. terraform-provider-aws pull request 4116 ("Fix
    # cloudwatch example") took source_account out of the example for this reason.
    called = {"due-check": "intake", "run-ended": "finalize", "ended-runs-check": "finalize"}

    assert len(plan.of_type("aws_lambda_permission")) == len(called)
    for rule, function in called.items():
        target = plan[f'module.trigger["{rule}"].aws_cloudwatch_event_target.this']
        permission = plan[f'module.trigger["{rule}"].aws_lambda_permission.this']
        assert target["arn"] == permission["function_name"] == f"{LAMBDA}-{function}"
        assert permission["principal"] == "events.amazonaws.com"
        assert permission["source_arn"] == f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{PREFIX}-{rule}"
        assert not permission.get("source_account")


def test_children_of_the_map_may_take_the_workflows_role_too(plan: Plan) -> None:
    # AWS Step Functions Developer Guide, "Creating an IAM role for your state machine in Step Functions": its sample
    # compares aws:SourceArn with ArnLike. "IAM actions, resources and condition keys": a map's children are
    # stateMachine:NAME/LABEL.
    (statement,) = json.loads(plan["module.workflow.aws_iam_role.this"]["assume_role_policy"])["Statement"]
    patterns = as_list(statement["Condition"]["ArnLike"]["aws:SourceArn"])

    for caller, taken in {MACHINE: True, f"{MACHINE}/deliver": True, f"{MACHINE}-of-another": False}.items():
        assert any(fnmatchcase(caller, pattern) for pattern in patterns) is taken, caller


def test_the_job_logs_where_its_log_groups_are(terraform: CurrentProvider, full: Plan) -> None:
    # AWS Glue Developer Guide, "Logging for AWS Glue jobs": the groups are <--custom-logGroup-prefix>/error and
    # /output. Section "Security configuration with Amazon CloudWatch logging": <prefix>/
    # <Security-Configuration-Name>-role/<glue-job-role>/error and /output; the role then needs AssociateKmsKey.
    module, name = "module.large_days[0]", "csv-pipeline-dev-large-day"
    actions = ("AssociateKmsKey", "CreateLogGroup", "CreateLogStream", "PutLogEvents")
    for plan, between in ((terraform.plan({"large_days": {}}), ""), (full, f"/{name}-role/{name}")):
        prefix = plan[f"{module}.aws_glue_job.this"]["default_arguments"]["--custom-logGroup-prefix"]
        groups = {f"{prefix}{between}/error", f"{prefix}{between}/output"}
        logs = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group"

        made = plan.of_type("aws_cloudwatch_log_group").items()
        assert {values["name"] for address, values in made if address.startswith(module)} == groups
        assert grants(plan.policy(f"{module}.aws_iam_role_policy.telemetry")) == {
            (f"logs:{action}", f"{logs}:{group}:*") for action in actions for group in groups
        }


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

    assert (mapping["maximum_retry_attempts"], mapping["maximum_record_age_in_seconds"]) == (-1, 12 * 3600)
