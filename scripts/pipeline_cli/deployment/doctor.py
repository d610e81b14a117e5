"""Check an environment without changing it: can it be deployed, does it run what was built, must somebody act."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from pipeline.aws.clients import error_code

from pipeline_cli.deployment import doctor_account, doctor_deployment, doctor_large_days
from pipeline_cli.deployment.findings import Finding, Level, ok, problem, warning
from pipeline_cli.output.errors import CommandError

if TYPE_CHECKING:
    from pipeline_cli.terraform.target import Target

Check = Callable[["Target"], Iterable[Finding]]

NOT_HERE = {"InvalidAction", "UnknownOperation", "UnsupportedOperation", "UnknownOperationException", "NotImplemented"}
"""Error codes with which an emulator answers a call that it does not implement."""

BEFORE_DEPLOYMENT: dict[str, Check] = {
    "tools": doctor_account.tools,
    "lambda quotas": doctor_account.lambda_quotas,
    "table quotas": doctor_account.table_quotas,
}
DEPLOYED: dict[str, Check] = {
    "largest day": doctor_deployment.largest_day,
    "alarms": doctor_deployment.alarms,
    "partner": doctor_deployment.partner,
    "functions": doctor_deployment.functions,
    "large days": doctor_large_days.large_days,
    "dead-letter queues": doctor_deployment.dead_letters,
    "batches": doctor_deployment.batches,
}


def examine(target: Target) -> Iterator[Finding]:
    """Run the checks one after the other. A check that fails to run is a finding too."""
    found = list(_made("credentials", doctor_account.credentials, target))
    yield from found
    if any(finding.level is Level.PROBLEM for finding in found):
        return
    for subject, check in BEFORE_DEPLOYMENT.items():
        yield from _made(subject, check, target)
    try:
        target.outputs  # noqa: B018 (reads what Terraform made)
    except CommandError as error:
        yield warning("deployment", error.message, error.hint)
        return
    for subject, check in DEPLOYED.items():
        yield from _made(subject, check, target)


def _made(subject: str, check: Check, target: Target) -> Iterator[Finding]:
    try:
        yield from check(target)
    except ClientError as error:
        if target.is_local and error_code(error) in NOT_HERE:
            yield ok(subject, "the local AWS does not have this")
        else:
            yield warning(subject, f"could not be read: {error}", "Sign in with more permissions.")
    except BotoCoreError as error:
        yield problem(subject, f"could not be read: {error}", "Check the network and the region.")
    except CommandError as error:
        yield problem(subject, error.message, error.hint)
