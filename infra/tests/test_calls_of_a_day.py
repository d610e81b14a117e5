"""Each role allows what its function calls while it processes a day, as far as moto can show.

Resources and conditions are shown on the deployed stack, without each permission in turn (`make test-privileges`).
"""

from __future__ import annotations

import pytest
from botocore.loaders import Loader
from counting import counted_platform

from infra.tests.support import FUNCTIONS, INFRA, as_list, render

ACTIONS = {
    # Calls that ask for an action of another name (service authorization reference; Amazon S3 API Reference).
    "SendMessageBatch": "sqs:SendMessage",
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
}
PREFIX = {"s3": "s3", "sqs": "sqs", "dynamodb": "dynamodb", "stepfunctions": "states"}

DAY = {
    "customers_20220131.csv": b"customer_reference,first_name,last_name,status\nc1,Ada,Lovelace,active\n",
    "orders_20220131.csv": b"customer_reference,order_status,order_reference,order_timestamp\nc1,sent,o1,1643646722\n",
    "items_20220131.csv": b"order_reference,item_name,quantity,total_price\no1,pen,1,12.50\no1,ink,1,free\n",
}


def actions_of(operation: str) -> set[str]:
    """The actions any of which allows a call."""
    if operation == "GetObject":
        return {"s3:GetObject", "s3:GetObjectVersion"}
    if operation in ACTIONS:
        return {ACTIONS[operation]}
    return {
        f"{prefix}:{operation}"
        for service, prefix in PREFIX.items()
        if operation in Loader().load_service_model(service, "service-2")["operations"]
    }


@pytest.fixture(scope="module")
def calls() -> set[tuple[str, str]]:
    """The function and the operation of each call of a day, of the same day again and of a correction."""
    with counted_platform() as platform:
        made = set(platform.day(DAY).counts())
        made |= set(
            platform.day({**DAY, "items_20220131.csv": DAY["items_20220131.csv"].replace(b"free", b"1")}).counts()
        )
        assert platform.states() == {"batch#20220131": "COMPLETED"}
    return made


@pytest.mark.slow
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_allows_each_call_of_its_function(calls: set[tuple[str, str]], function: str) -> None:
    policy = render(INFRA / f"policies/{function}.json.tftpl")
    allowed = {action for statement in policy["Statement"] for action in as_list(statement["Action"])}
    made = {operation for stage, operation in calls if stage == function}

    assert made, f"{function} called nothing"
    refused = {operation for operation in made if not actions_of(operation) & allowed}
    assert not refused, f"the role of {function} does not allow {refused}"
