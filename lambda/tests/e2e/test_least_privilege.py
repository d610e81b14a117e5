"""No role has more permissions than it needs: each one is removed in turn, and the work that needs it fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from botocore.exceptions import ClientError
from e2e.privileges import FUNCTIONS, INFRA, Grant, Privileges, grants_of, without
from e2e.stack import Stack
from e2e.test_day import files_of
from pipeline.ledger import BatchState

pytestmark = [pytest.mark.e2e, pytest.mark.privileges]

POLLED = "Lambda asks for it when it polls for the function; the emulator polls with no role"
LOGGED = "Lambda asks for it when it writes the log; the emulator writes logs with no role"
TRACED = "Lambda and Step Functions ask for it when they send traces; the emulator keeps none"
REFUSED = "Lambda asks for it when it gives records up, publish when SQS refuses a message; the emulator does neither"
BROKEN = (
    "finalize asks for it only ten minutes after a run's end or once a chunk failed: test_retries.py breaks a chunk"
)
RUN = "Step Functions asks for it when it runs a state; the emulator runs states with no role"

# Permissions that the emulator does not check. AWS's documentation says that they are needed.
NOT_CHECKED: dict[str, dict[str, str]] = {
    "intake": dict.fromkeys(("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"), POLLED),
    "publish": dict.fromkeys(
        ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"), POLLED
    )
    | {"sqs:SendMessage on ${publish_dead_letter_arn}": REFUSED},
    "finalize": dict.fromkeys(
        (
            "states:DescribeExecution on ${execution_arn}:*",
            "states:DescribeExecution on ${execution_arn}/deliver:*",
            "states:ListExecutions on ${map_run_arn}:*",
        ),
        BROKEN,
    ),
}
NOT_CHECKED_TELEMETRY = dict.fromkeys(("logs:CreateLogStream", "logs:PutLogEvents"), LOGGED) | dict.fromkeys(
    ("xray:PutTelemetryRecords", "xray:PutTraceSegments"), TRACED
)
NOT_CHECKED_WORKFLOW = (
    dict.fromkeys(
        (
            "lambda:InvokeFunction",
            "s3:AbortMultipartUpload",
            "s3:GetObject",
            "s3:ListMultipartUploadParts",
            "s3:PutObject",
            "states:StartExecution",
            "states:DescribeExecution",
            "states:StopExecution",
        ),
        RUN,
    )
    | dict.fromkeys(
        (
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
            "xray:PutTelemetryRecords",
            "xray:PutTraceSegments",
        ),
        TRACED,
    )
    | dict.fromkeys(
        (
            "logs:CreateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:DescribeLogGroups",
            "logs:DescribeResourcePolicies",
            "logs:GetLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:UpdateLogDelivery",
        ),
        RUN,
    )
)


def is_checked(part: str, grant: Grant) -> bool:
    names = NOT_CHECKED.get(part, {})
    return grant.action not in names and str(grant) not in names


GRANTS = [(part, grant) for part in FUNCTIONS for grant in grants_of(INFRA / f"policies/{part}.json.tftpl")]
CHECKED = [(part, grant) for part, grant in GRANTS if is_checked(part, grant)]


@pytest.fixture(scope="session")
def privileges(stack: Stack) -> Privileges:
    return Privileges(stack)


@pytest.fixture
def by_hand(privileges: Privileges) -> Iterator[None]:
    with privileges.by_hand():
        yield


@pytest.fixture
def fresh(days: Iterator[str]) -> str:
    """A batch that no other call has used."""
    return next(days)


def denied(call: Callable[..., Any], **parameters: Any) -> bool:
    """Whether a call is denied for lack of a permission."""
    try:
        call(**parameters)
    except ClientError as error:
        return error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException", "403")
    return False


@pytest.mark.parametrize("part", FUNCTIONS)
def test_function_does_its_work_with_all_its_permissions(
    privileges: Privileges, by_hand: None, part: str, fresh: str
) -> None:
    assert privileges.work(part, fresh).error is None


@pytest.mark.parametrize(("part", "grant"), CHECKED, ids=lambda value: re.sub(r"[^\w:/-]+", "-", str(value)))
def test_function_fails_without_the_permission(
    privileges: Privileges, by_hand: None, part: str, grant: Grant, fresh: str
) -> None:
    with privileges.changed(part, "work", lambda policy: without(policy, grant)):
        reply = privileges.work(part, fresh)

    assert reply.denied, f"{part} does its work without {grant}: {reply}"


def test_list_of_what_the_emulator_does_not_check_is_exact(stack: Stack, privileges: Privileges, day: str) -> None:
    nothing = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "none:None", "Resource": "*"}]}
    listed = {str(grant) for part, grant in GRANTS if not is_checked(part, grant)}
    named = {action for names in NOT_CHECKED.values() for action in names}
    assert {name for name in named if not any(text.startswith(name) for text in listed)} == set()
    telemetry = {grant.action for grant in grants_of(INFRA / "modules/function/telemetry.json.tftpl")}
    workflow = {grant.action for grant in grants_of(INFRA / "modules/workflow/policy.json.tftpl")}
    assert (telemetry, workflow) == (set(NOT_CHECKED_TELEMETRY), set(NOT_CHECKED_WORKFLOW))

    def only_checked(part: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        def change(policy: dict[str, Any]) -> dict[str, Any]:
            for of, grant in GRANTS:
                if of == part and not is_checked(part, grant):
                    policy = {**policy, "Statement": _named(without(policy, grant)["Statement"], policy)}
            return policy

        return change

    with ExitStack() as changes:
        for part in FUNCTIONS:
            changes.enter_context(privileges.changed(part, "telemetry", lambda _: nothing))
            changes.enter_context(privileges.changed(part, "work", only_checked(part)))
        changes.enter_context(privileges.changed("workflow", "work", lambda _: nothing))
        stack.upload(files_of(day))
        entry = stack.ended(day)
        sent = stack.messages(day)

    assert entry.state is BatchState.COMPLETED
    assert len(sent) > 3


def _named(statements: list[dict[str, Any]], policy: dict[str, Any]) -> list[dict[str, Any]]:
    """Name the statements, which have one permission each, after the statement that they come from."""
    names = {
        (action, resource): statement["Sid"]
        for statement in policy["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        for resource in ([statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"])
    }
    return [{**one, "Sid": names[one["Action"], one["Resource"]]} for one in statements]


def test_partner_stores_files_under_incoming_also_in_parts(stack: Stack, privileges: Privileges, by_hand: None) -> None:
    with privileges.as_partner() as client:
        s3, place = client("s3"), {"Bucket": stack.bucket.name, "Key": "incoming/notes.txt"}
        s3.put_object(**place, Body=b"whole")
        upload = {**place, "UploadId": s3.create_multipart_upload(**place)["UploadId"]}
        part = s3.upload_part(**upload, PartNumber=1, Body=b"parts")
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
        s3.abort_multipart_upload(**{**place, "UploadId": s3.create_multipart_upload(**place)["UploadId"]})

    assert stack.s3.get_object(**place)["Body"].read() == b"parts"


def test_partner_lists_and_reads_feedback(stack: Stack, privileges: Privileges, by_hand: None) -> None:
    place = {"Bucket": stack.bucket.name, "Key": "feedback/20220131/verdict.json"}
    stack.s3.put_object(**place, Body=b"{}")
    with privileges.as_partner() as client:
        s3 = client("s3")
        listed = s3.list_objects_v2(Bucket=stack.bucket.name, Prefix="feedback/20220131/")["Contents"]
        assert [found["Key"] for found in listed] == [place["Key"]]
        assert s3.get_object(**place)["Body"].read() == b"{}"
        assert denied(s3.put_object, **place, Body=b"mine")
        assert denied(s3.delete_object, **place)


def test_partner_can_do_nothing_else(stack: Stack, privileges: Privileges, by_hand: None) -> None:
    bucket, key = stack.bucket.name, "incoming/private.csv"
    stack.s3.put_object(Bucket=bucket, Key=key, Body=b"private")
    stack.s3.put_object(Bucket=bucket, Key="work/private.csv", Body=b"private")
    with privileges.as_partner() as client:
        s3 = client("s3")
        assert denied(s3.get_object, Bucket=bucket, Key=key)
        assert denied(s3.head_object, Bucket=bucket, Key=key)
        assert denied(s3.delete_object, Bucket=bucket, Key=key)
        assert denied(s3.list_objects_v2, Bucket=bucket)
        for prefix in ("incoming/", "work/", "delivered/", "feed"):
            assert denied(s3.list_objects_v2, Bucket=bucket, Prefix=prefix)
        assert denied(s3.get_object, Bucket=bucket, Key="work/private.csv")
        assert denied(s3.list_object_versions, Bucket=bucket)
        for other in ("work/private.csv", "feedback/private.csv", "incoming.csv", "private.csv"):
            assert denied(s3.put_object, Bucket=bucket, Key=other, Body=b"mine")
        assert denied(s3.copy_object, Bucket=bucket, Key="incoming/copy.csv", CopySource=f"{bucket}/work/private.csv")
        assert denied(client("dynamodb").scan, TableName=stack.table.name)
        assert denied(client("sqs").receive_message, QueueUrl=stack.target.output("output_queue_url"))
        assert denied(client("stepfunctions").list_executions, stateMachineArn=stack.workflow.arn)


LEDGER = {"pk": {"S": "batch#20991231"}, "sk": {"S": "ledger"}}
OTHERS_WORK = [
    ("intake", "s3", "put_object", {"Key": "incoming/x.csv", "Body": b""}),
    ("intake", "s3", "get_object", {"Key": "work/x"}),
    ("intake", "s3", "list_objects_v2", {"Prefix": "work/"}),
    ("intake", "dynamodb", "delete_item", {"Key": LEDGER}),
    ("transform", "s3", "put_object", {"Key": "incoming/x.csv", "Body": b""}),
    ("transform", "s3", "delete_object", {"Key": "incoming/x.csv"}),
    ("transform", "s3", "list_objects_v2", {"Prefix": "incoming/"}),
    ("transform", "dynamodb", "scan", {}),
    ("deliver", "s3", "get_object", {"Key": "incoming/x.csv"}),
    ("deliver", "s3", "put_object", {"Key": "work/x", "Body": b""}),
    ("deliver", "s3", "list_objects_v2", {}),
    (
        "deliver",
        "dynamodb",
        "query",
        {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "x"}}},
    ),
    ("intake", "s3", "put_object", {"Key": "feedback/x.csv", "Body": b""}),
    ("transform", "s3", "get_object", {"Key": "feedback/x"}),
    ("finalize", "s3", "get_object", {"Key": "work/x"}),
    ("finalize", "s3", "put_object", {"Key": "feedback/x.csv", "Body": b""}),
    ("finalize", "s3", "put_object", {"Key": "incoming/x.csv", "Body": b""}),
    ("finalize", "dynamodb", "delete_item", {"Key": LEDGER}),
    ("publish", "dynamodb", "put_item", {"Item": LEDGER}),
    ("publish", "dynamodb", "delete_item", {"Key": LEDGER}),
    ("publish", "s3", "get_object", {"Key": "incoming/x.csv"}),
]


@pytest.mark.parametrize("part", FUNCTIONS)
def test_role_cannot_do_the_work_of_others(stack: Stack, privileges: Privileges, part: str) -> None:
    for key in ("incoming/x.csv", "work/x"):
        stack.s3.put_object(Bucket=stack.bucket.name, Key=key, Body=b"private")
    with privileges.as_role(part) as client:
        for of, service, call, parameters in OTHERS_WORK:
            if of == part:
                place = {"s3": {"Bucket": stack.bucket.name}, "dynamodb": {"TableName": stack.table.name}}[service]
                assert denied(getattr(client(service), call), **place, **parameters), (part, call, parameters)


@pytest.mark.parametrize("part", [name for name in FUNCTIONS if name != "intake"])
def test_role_cannot_use_the_queues_runs_and_functions_of_others(
    stack: Stack, privileges: Privileges, part: str
) -> None:
    with privileges.as_role(part) as client:
        assert denied(client("sqs").receive_message, QueueUrl=stack.target.output("output_queue_url"))
        assert denied(client("stepfunctions").start_execution, stateMachineArn=stack.workflow.arn, input="{}")
        assert denied(client("lambda").invoke, FunctionName=privileges.role("finalize"), Payload=json.dumps({}))
