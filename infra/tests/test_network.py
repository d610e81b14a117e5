"""The functions' private network: a route to four services, for this pipeline's calls only, and to nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.tests.support import FUNCTIONS, Plan, grants

pytestmark = pytest.mark.terraform

ENDPOINTS = {"s3": "Gateway", "dynamodb": "Gateway", "sqs": "Interface", "states": "Interface"}


def test_functions_are_in_it_without_a_route_to_the_internet(plan: Plan, full: Plan) -> None:
    kinds = {address.split(".")[-2] for address in full.resources if address.startswith("module.network")}
    rules = full.of_type("aws_security_group_rule").values()

    assert not [address for address in plan.resources if address.startswith("module.network")]
    assert all(function["vpc_config"] for function in full.of_type("aws_lambda_function").values())
    assert not kinds & {"aws_internet_gateway", "aws_nat_gateway", "aws_route", "aws_eip"}
    assert {(rule["type"], rule["from_port"], rule["to_port"]) for rule in rules} == {
        ("egress", 443, 443),
        ("ingress", 443, 443),
    }
    assert not [rule for rule in rules if rule.get("cidr_blocks")]
    assert not full["module.network[0].aws_default_security_group.this"].get("ingress")


def test_an_endpoint_for_each_service_lets_through_exactly_what_some_function_may_do(full: Plan) -> None:
    endpoints = {
        endpoint["service_name"].rpartition(".")[2]: (endpoint["vpc_endpoint_type"], grants(full.policy(address)))
        for address, endpoint in full.of_type("aws_vpc_endpoint").items()
    }
    through = {action for _, granted in endpoints.values() for action, _ in granted}

    assert {service: kind for service, (kind, _) in endpoints.items()} == ENDPOINTS
    assert through - {"s3:AbortMultipartUpload"} == set(calls(full))


def calls(full: Plan) -> Iterator[str]:
    """What the functions' code calls; queue and stream are read by Lambda, outside of the network."""
    for part in FUNCTIONS:
        for policy in ("work", 'further["large-days"]'):
            address = f'module.function["{part}"].aws_iam_role_policy.{policy}'
            for action, resource in grants(full.policy(address)) if address in full.resources else ():
                if action.split(":")[0] in ENDPOINTS and "/stream/" not in resource and resource != "*":
                    yield from () if resource.endswith("-ingest") else (action,)
