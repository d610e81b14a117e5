"""No role has more permissions than it needs: each one is removed in turn, and the work that needs it fails."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from e2e.privileges import FUNCTIONS, INFRA, Grant, Privileges, grants_of, without
from e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.privileges]

POLLED = "Lambda asks for it when it polls for the function; the emulator polls with no role"
REFUSED = "Lambda asks for it when it gives records up, publish when SQS refuses a message; the emulator does neither"
BROKEN = (
    "finalize asks for it only ten minutes after a run's end or once a chunk failed: test_retries.py breaks a chunk"
)

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


@pytest.mark.parametrize("part", FUNCTIONS)
def test_function_does_its_work_with_all_its_permissions(
    privileges: Privileges, by_hand: None, part: str, day: str
) -> None:
    assert privileges.work(part, day).error is None


@pytest.mark.parametrize(("part", "grant"), CHECKED, ids=lambda value: re.sub(r"[^\w:/-]+", "-", str(value)))
def test_function_fails_without_the_permission(
    privileges: Privileges, by_hand: None, part: str, grant: Grant, day: str
) -> None:
    with privileges.changed(part, "work", lambda policy: without(policy, grant)):
        reply = privileges.work(part, day)

    assert reply.denied, f"{part} does its work without {grant}: {reply}"
