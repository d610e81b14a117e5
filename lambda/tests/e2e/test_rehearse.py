"""A rehearsal with credentials that may only read, and a day whose events never came, on the deployed stack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from e2e.stack import Stack
from e2e.test_day import files_of
from pipeline.ledger import BatchState
from pipeline.settings import VerdictSettings
from pipeline.stages.transform import find_gate
from pipeline_cli.deployment.batches import read
from pipeline_cli.deployment.following import wait
from pipeline_cli.terraform.target import Target
from pipeline_cli.verbs import backfill, rehearse

pytestmark = pytest.mark.e2e

POLICY = Path(__file__).resolve().parents[3] / "examples" / "rehearsal" / "policy.json"


@pytest.fixture
def reader(stack: Stack) -> Iterator[Target]:
    """The deployment with credentials that may do what the example's policy says, under enforcement."""
    iam, name = stack.target.client("iam"), "rehearsal"
    policy = json.loads(POLICY.read_text().replace("BUCKET", stack.bucket.name))
    for statement in policy["Statement"]:
        if "dynamodb" in str(statement["Resource"]):
            statement["Resource"] = stack.dynamodb.describe_table(TableName=stack.table.name)["Table"]["TableArn"]
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="read", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    target = replace(stack.target, known_outputs=stack.target.outputs)
    target.__dict__["environment"] = {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
    yield target
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName=name, PolicyName="read")
    iam.delete_user(UserName=name)


def test_a_day_that_was_not_noticed_runs_and_a_rehearsal_that_may_only_read_finds_it_unchanged(
    stack: Stack, day: str, reader: Target
) -> None:
    s3, bucket = stack.s3, stack.bucket.name
    trigger = s3.get_bucket_notification_configuration(Bucket=bucket)
    trigger.pop("ResponseMetadata", None)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    try:
        stack.upload(files_of(day))
    finally:
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=trigger)
    assert stack.table.get_ledger(day) is None
    backfill.begin(stack.target, day)
    (status,) = wait(lambda: read(stack.target, [day]), timeout=120.0)
    assert status.state is BatchState.COMPLETED
    entry, before = status.ledger, stack.items(day)
    assert entry is not None

    settings = VerdictSettings()
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.bucket.put_json("feedback/x.json", 1)
    unchanged = rehearse.rehearse(reader, entry, find_gate(day, reader.table, settings), settings)
    changed = rehearse.rehearse(reader, entry, None, replace(settings, decimal_mark="comma"))

    assert (unchanged.reason, unchanged.differs, changed.differs) == ("", False, True)
    assert changed.differences["items: refused as not_an_amount"][1] > 1
    assert day in [found.batch for found in rehearse._entries(reader, 1000)]
    assert stack.items(day) == before
