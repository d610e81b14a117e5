"""The functions' private network: a route to four services, for this pipeline's calls only, and to nothing else."""

from __future__ import annotations

import json

import pytest

from infra.tests.support import ACCOUNT, FUNCTIONS, INFRA, REGION, Plan, Planner, as_list, grants, render

pytestmark = pytest.mark.terraform

LAMBDA = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:csv-pipeline-dev"
ENDPOINTS = {
    f"com.amazonaws.{REGION}.s3": "Gateway",
    f"com.amazonaws.{REGION}.dynamodb": "Gateway",
    f"com.amazonaws.{REGION}.sqs": "Interface",
    f"com.amazonaws.{REGION}.states": "Interface",
}


@pytest.fixture(scope="module")
def private(planner: Planner) -> Plan:
    """The plan with a network."""
    return planner.plan(vpc={"cidr": "10.20.0.0/20", "zones": ["a", "c"]})


def test_there_is_no_network_by_default(plan: Plan) -> None:
    assert not [address for address in plan.resources if address.startswith("module.network")]
    assert all(not function["vpc_config"] for function in plan.of_type("aws_lambda_function").values())


def test_there_is_no_route_to_the_internet(private: Plan) -> None:
    kinds = {address.split(".")[-2] for address in private.resources if address.startswith("module.network")}

    assert not kinds & {"aws_internet_gateway", "aws_nat_gateway", "aws_route", "aws_eip"}
    assert all(not subnet["map_public_ip_on_launch"] for subnet in private.of_type("aws_subnet").values())


def test_each_zone_has_a_subnet_of_its_own(private: Plan) -> None:
    subnets = private.of_type("aws_subnet").values()

    assert {(subnet["availability_zone"], subnet["cidr_block"]) for subnet in subnets} == {
        (f"{REGION}a", "10.20.0.0/24"),
        (f"{REGION}c", "10.20.1.0/24"),
    }


def test_the_services_that_functions_call_have_an_endpoint_each(private: Plan) -> None:
    endpoints = private.of_type("aws_vpc_endpoint").values()

    assert {endpoint["service_name"]: endpoint["vpc_endpoint_type"] for endpoint in endpoints} == ENDPOINTS
    assert all(e["private_dns_enabled"] for e in endpoints if e["vpc_endpoint_type"] == "Interface")


def test_endpoints_allow_exactly_what_some_function_may_do() -> None:
    expected = {
        action
        for part in FUNCTIONS
        for action, _ in grants(render(INFRA / f"policies/{part}.json.tftpl"))
        if action.split(":")[0] in ("s3", "states") or action in ("sqs:SendMessage",)
    }
    expected |= {
        action
        for part in FUNCTIONS
        for action, resource in grants(render(INFRA / f"policies/{part}.json.tftpl"))
        if resource == "table_arn"
    }
    templates = (INFRA / "modules/network").glob("*_endpoint.json.tftpl")
    let_through = {action for template in templates for action, _ in grants(render(template))}

    assert let_through - {"s3:AbortMultipartUpload"} == expected


def test_functions_reach_the_endpoints_and_nothing_reaches_the_functions(private: Plan) -> None:
    rules = {address.split(".")[-1]: rule for address, rule in private.of_type("aws_security_group_rule").items()}

    assert {name: (rule["type"], rule["from_port"], rule["to_port"]) for name, rule in rules.items()} == {
        'functions_to_gateways["s3"]': ("egress", 443, 443),
        'functions_to_gateways["dynamodb"]': ("egress", 443, 443),
        "functions_to_endpoints": ("egress", 443, 443),
        "endpoints_from_functions": ("ingress", 443, 443),
    }
    assert all(not rule["cidr_blocks"] for rule in rules.values())
    assert private["module.network[0].aws_default_security_group.this"].get("ingress") in (None, [])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_is_placed_by_lambda_and_not_by_its_own_code(private: Plan, function: str) -> None:
    policy = json.loads(private[f'module.function["{function}"].aws_iam_role_policy.further["network"]']["policy"])
    allowed, denied = policy["Statement"]

    assert private[f'module.function["{function}"].aws_lambda_function.this']["vpc_config"]
    assert as_list(denied["Action"]) == as_list(allowed["Action"])
    assert (denied["Effect"], denied["Condition"]) == (
        "Deny",
        {"ArnEquals": {"lambda:SourceFunctionArn": f"{LAMBDA}-{function}"}},
    )
