"""Checks of the Spark job for large days: can it run here, does it run what was built, does the account allow it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.stages.large_day import DPUS

from pipeline_cli.deployment.findings import Finding, ok, problem, warning
from pipeline_cli.local import glue
from pipeline_cli.terraform import job_package

if TYPE_CHECKING:
    from pipeline_cli.terraform.target import Target


def large_days(target: Target) -> Iterator[Finding]:
    """Check the job of the environment, if it has one."""
    # Terraform omits outputs that are null.
    name = target.outputs.get("large_day_job_name")
    if not name:
        yield ok("large days", "off: a day that does not fit into the function fails (variable large_days)")
        return
    job = target.client("glue").get_job(JobName=name)["Job"]
    yield _package(target, job)
    if not target.is_local:
        yield _quota(target, job)
    elif reason := glue.missing():
        yield problem("large days", reason, "Install it, or set large_days to null.")
    else:
        yield ok("large days", "Java and Spark are here")


def _package(target: Target, job: dict[str, Any]) -> Finding:
    """Compare the package that the job installs with the one in build/; the object names the digest of its content."""
    env = "" if target.is_local else f" ENV={target.name}"
    file = job_package.zip_file(target.name)
    if not file.exists():
        return warning("large days", "no package of the job is built here to compare with", f"make package{env}")
    bucket, _, key = job["DefaultArguments"]["--additional-python-modules"].removeprefix("s3://").partition("/")
    stored = target.client("s3").head_object(Bucket=bucket, Key=key)["Metadata"].get("sha256")
    if hashlib.sha256(file.read_bytes()).hexdigest() == stored:
        return ok("large days", "the job runs the package that is built here")
    return warning("large days", "the job runs another package than build/ has", f"make tf-apply{env}")


def _quota(target: Target, job: dict[str, Any]) -> Finding:
    """Compare the account's quotas of data processing units (DPUs) with what the job's runs can use at once."""
    needed = job["NumberOfWorkers"] * DPUS[job["WorkerType"]] * job["ExecutionProperty"]["MaxConcurrentRuns"]
    pages = target.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="glue")
    limits = {
        quota["QuotaName"]: int(quota["Value"])
        for page in pages
        for quota in page["Quotas"]
        if "DPU" in quota["QuotaName"]
    }
    if not limits:
        return warning("large days", "AWS names no quota of DPUs", "See Service Quotas, AWS Glue.")
    name, limit = min(limits.items(), key=lambda found: found[1])
    if limit >= needed:
        return ok("large days", f"{needed:,} DPUs at once at most, {limit:,} allowed ({name})")
    return problem(
        "large days",
        f"the job's runs need up to {needed:,} DPUs at once, and the account has {limit:,} ({name}): they wait or fail",
        "Ask for more (Service Quotas, AWS Glue), or lower workers or max_concurrent_runs of large_days.",
    )
