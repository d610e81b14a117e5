"""Checks of the account and of this machine, which need no deployment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, NoCredentialsError

from pipeline_cli.deployment.findings import Finding, Level, ok, problem, warning
from pipeline_cli.terraform.target import variables
from pipeline_cli.terraform.terraform_command import OLDEST, find_terraform, version_of

if TYPE_CHECKING:
    from pipeline_cli.terraform.target import Target

OTHER_CALLS = 10
"""Concurrent calls that intake, transform, finalize, publish and retries need in addition to those of deliver."""

TABLE_WRITES = 40_000
"""Write units per second that a table takes by default (DynamoDB developer guide, quotas)."""


def credentials(target: Target) -> Iterator[Finding]:
    """Check that there are valid credentials; the finding names their account and region."""
    try:
        caller = target.client("sts").get_caller_identity()
    except NoCredentialsError:
        advice = "Sign in (aws sso login) or set AWS_PROFILE."
        yield problem("credentials", "there are no AWS credentials", advice)
    except ClientError as error:
        yield problem("credentials", f"not accepted: {error}", "Sign in again (aws sso login).")
    else:
        yield ok("credentials", f"account {caller['Account']}, region {target.region}")


def tools(target: Target) -> Iterator[Finding]:
    """Check that a recent Terraform works, and that its AWS provider has the right version."""
    found = version_of(str(find_terraform())) or (0,)
    text, oldest = ".".join(map(str, found)), ".".join(map(str, OLDEST))
    good = found >= OLDEST
    yield Finding(
        Level.OK if good else Level.PROBLEM,
        "terraform",
        f"version {text}",
        "" if good else f"Install Terraform {oldest} or newer.",
    )
    folder = target.folder / "terraform" / "providers" / "registry.terraform.io" / "hashicorp" / "aws"
    versions = sorted((path.name for path in folder.glob("*")), key=_numbers) if folder.exists() else []
    if not versions:
        advice = f"make tf-init{'' if target.is_local else f' ENV={target.name}'}"
        yield warning("provider", "Terraform is not initialised here, so its AWS provider is unknown", advice)
    elif target.is_local or _numbers(versions[-1]) >= (6,):
        yield ok("provider", f"hashicorp/aws {versions[-1]}")
    else:
        yield problem("provider", f"hashicorp/aws {versions[-1]}, but infra/ is written for 6", "make tf-init")


def lambda_quotas(target: Target) -> Iterator[Finding]:
    """Check that the account allows as many concurrent function calls as the environment needs."""
    limit = target.client("lambda").get_account_settings()["AccountLimit"]
    settings = variables(target.name)
    concurrency, deliver = int(limit["ConcurrentExecutions"]), int(settings.get("deliver_concurrency") or 10)
    needed = deliver + OTHER_CALLS
    if concurrency >= needed:
        yield ok("lambda quotas", f"{concurrency:,} concurrent calls, {needed} needed at most")
    else:
        yield Finding(
            Level.PROBLEM if concurrency < OTHER_CALLS else Level.WARNING,
            "lambda quotas",
            f"{concurrency:,} concurrent calls, but up to {needed} are needed: large days wait and may fail",
            "Ask for more (Service Quotas, Lambda, Concurrent executions), or lower deliver_concurrency.",
        )


def table_quotas(target: Target) -> Iterator[Finding]:
    """Check that the account's quota for writes to a table is at least DynamoDB's default."""
    limits = target.client("dynamodb").describe_limits()
    writes = int(limits["TableMaxWriteCapacityUnits"])
    text = f"{writes:,} writes a second for one table, {int(limits['AccountMaxWriteCapacityUnits']):,} for the account"
    if writes >= TABLE_WRITES:
        yield ok("table quotas", text)
    else:
        yield warning("table quotas", text, "Ask for DynamoDB's default of 40,000 (Service Quotas).")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
