"""Checks of a deployment: does it run what was built, does anybody get the alarms, must somebody act."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pipeline.ledger import BatchState, Ledger
from pipeline.model.data_model import MODEL

from pipeline_cli.deployment.batches import BatchStatus, find_batches, read, waiting_text
from pipeline_cli.deployment.dead_letters import QUEUES
from pipeline_cli.deployment.findings import Finding, ok, problem, warning
from pipeline_cli.deployment.queues import name as queue_name
from pipeline_cli.deployment.queues import waiting
from pipeline_cli.output import hints, terminal
from pipeline_cli.output.summary import Numbers
from pipeline_cli.terraform import package as packages
from pipeline_cli.terraform.target import variables

if TYPE_CHECKING:
    from pipeline_cli.terraform.target import Target

NEWEST = 60
"""How many batches are checked, counted from the newest."""

NEW_ACCOUNT_MEMORY = 3008
"""Memory in MB that a new account may be limited to (Lambda developer guide, quotas). No API returns this limit."""

NOTICED_WITHIN = timedelta(minutes=5)
LONG_DAY_SECONDS = 3600


def largest_day(target: Target) -> Iterator[Finding]:
    """Check that the largest day so far is well within the table's write quota."""
    sizes = [
        (numbers.customers + numbers.errors, status.batch)
        for status in _statuses(target)
        if status.ledger and (numbers := Numbers.of(status.ledger.summary)).read
    ]
    if not sizes:
        yield ok("largest day", "no batch was processed yet")
        return
    items, batch = max(sizes)
    rate = int(target.client("dynamodb").describe_limits()["TableMaxWriteCapacityUnits"])
    seconds = items / rate
    text = f"{batch} wrote {terminal.counted(items, 'item')}, {terminal.duration(seconds)} of the table's write quota"
    if seconds > LONG_DAY_SECONDS:
        yield warning("largest day", text, "Ask for a larger quota (Service Quotas, DynamoDB).")
    else:
        yield ok("largest day", text)


def alarms(target: Target) -> Iterator[Finding]:
    """Check that the alarms have a subscriber, and that none is in state ALARM."""
    topic = target.output("alarm_topic_arn")
    pages = target.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    arns = [subscription["SubscriptionArn"] for page in pages for subscription in page["Subscriptions"]]
    confirmed = [arn for arn in arns if arn.startswith("arn:")]
    if confirmed:
        yield ok("alarms", terminal.counted(len(confirmed), "confirmed subscriber"))
    elif target.is_local:
        yield ok("alarms", "no subscriber, and the local AWS needs none")
    else:
        waits = f"; {terminal.counted(len(arns), 'subscriber')} not confirmed yet" if arns else ""
        advice = "Set alarm_emails and confirm the message from AWS, or subscribe to the topic."
        yield problem("alarms", f"nobody gets the alarms{waits}", advice)
    prefix = f"{target.output('dashboard_name')}-"
    pages = (
        target.client("cloudwatch")
        .get_paginator("describe_alarms")
        .paginate(AlarmNamePrefix=prefix, StateValue="ALARM")
    )
    in_alarm = sorted(
        alarm["AlarmName"].removeprefix(prefix) for page in pages for alarm in page.get("MetricAlarms", ())
    )
    if in_alarm:
        yield problem("alarms", f"in alarm: {', '.join(in_alarm)}", "See docs/runbook.md.")


def partner(target: Target) -> Iterator[Finding]:
    """Check that the partner's account that the environment names can assume the partner's role."""
    # Terraform omits outputs that are null.
    arn, account = target.outputs.get("partner_role_arn"), (variables(target.name)["partner"] or {}).get("account_id")
    if not arn:
        if account:
            yield problem("partner", f"account {account} is named but has no role", _apply(target))
        else:
            yield ok("partner", "no account is named that may take a role")
        return
    role = target.client("iam").get_role(RoleName=arn.rsplit("/", 1)[-1])["Role"]
    trusted = [
        statement
        for statement in role["AssumeRolePolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow" and str(account) in str(statement.get("Principal", {}).get("AWS", ""))
    ]
    if not account or not trusted:
        text = f"the role does not trust account {account}" if account else "there is a role, but no account is named"
        yield problem("partner", text, _apply(target))
    elif not any("sts:ExternalId" in str(statement.get("Condition", {})) for statement in trusted):
        yield warning("partner", "the role requires no external ID", "Set partner.external_id.")
    else:
        yield ok("partner", f"account {account} may take the role with the external id")


def functions(target: Target) -> Iterator[Finding]:
    """Check that each function runs the package in build/, and that its memory is possible in a new account."""
    client = target.client("lambda")
    found = {
        part: client.get_function_configuration(FunctionName=name)
        for part, name in target.output("function_names").items()
    }
    file = packages.zip_file(target.name)
    if file.exists():
        built = base64.b64encode(hashlib.sha256(file.read_bytes()).digest()).decode()
        other = sorted(part for part, function in found.items() if function["CodeSha256"] != built)
        if other:
            yield warning("package", f"{', '.join(other)} run another than build/ has", _apply(target))
        else:
            yield ok("package", "every function runs the one that is built here")
    else:
        yield warning("package", "none is built here to compare with", f"Run {_make('package', target)}.")
    large = sorted(part for part, function in found.items() if function["MemorySize"] > NEW_ACCOUNT_MEMORY)
    if large:
        text = f"{', '.join(large)} have more than {NEW_ACCOUNT_MEMORY:,} MB, which new accounts may be refused"
        advice = "Where the next tf-apply is refused, ask AWS support for more, or lower memory_mb."
        yield ok("memory", text, advice)


def dead_letters(target: Target) -> Iterator[Finding]:
    """Check that the dead-letter queues are empty."""
    sqs = target.client("sqs")
    counts = {queue_name(url): waiting(sqs, url).total for url in (target.output(output) for output in QUEUES)}
    found = [f"{count:,} in {queue}" for queue, count in counts.items() if count]
    if found:
        advice = (
            f"See {hints.command('dead-letters', env=target.name)}, then {hints.command('redrive', env=target.name)}."
        )
        yield problem("dead-letter queues", ", ".join(found), advice)
    else:
        yield ok("dead-letter queues", "empty")


def batches(target: Target) -> Iterator[Finding]:
    """Find the batches that somebody must act on: held, failed, not noticed, or open although their run has ended."""
    statuses, count = _statuses(target), 0
    for status in statuses:
        found = _batch(target, status)
        if found:
            count += 1
            yield found
    if not count:
        yield ok("batches", f"of {terminal.counted(len(statuses), 'batch', 'batches')} none needs anybody")


def _batch(target: Target, status: BatchStatus) -> Finding | None:
    entry, batch, env = status.ledger, status.batch, target.name
    replay = f"Run it again: {hints.command('replay', batch, env=env)}."
    if status.unnoticed and _age(status) > NOTICED_WITHIN:
        advice = f"See {hints.command('dead-letters', env=env)}, or send one of its files again."
        return problem("batches", f"{batch}: all 3 files are there, not noticed", advice)
    if entry is None:
        return None
    if entry.state.value == "HELD":
        advice = (
            f"See {hints.command('errors', batch, env=env)}; {hints.command('release', batch, env=env)} accepts it."
        )
        return problem("batches", f"{batch} is HELD: {entry.cause}", advice)
    if entry.state is BatchState.FAILED and not status.corrected:
        return problem("batches", f"{batch} FAILED: {entry.cause}", f"See {hints.command('errors', batch, env=env)}.")
    if _should_have_begun(entry) and not target.workflow.status(str(entry.execution)).running:
        return problem("batches", f"{batch} is {entry.state}, but its run is over", replay)
    if text := waiting_text(entry):
        return ok("batches", f"{batch}: the run {text}")
    return None


def _should_have_begun(entry: Ledger) -> bool:
    """Return whether a run has been open for so long that Step Functions must know it."""
    if entry.state not in (BatchState.QUEUED, BatchState.RUNNING) or entry.queued_at is None:
        return False
    return datetime.now(UTC) - datetime.fromisoformat(entry.queued_at) > NOTICED_WITHIN


def _age(status: BatchStatus) -> timedelta:
    newest = max(status.files[kind].last_modified for kind in MODEL.kinds if kind in status.files)
    return datetime.now(UTC) - datetime.fromisoformat(newest)


def _statuses(target: Target) -> list[BatchStatus]:
    found, _ = find_batches(target.client("s3"), target.bucket.name)
    return read(target.bucket, target.table, found[:NEWEST])


def _make(name: str, target: Target) -> str:
    return f"make {name}{'' if target.is_local else f' ENV={target.name}'}"


def _apply(target: Target) -> str:
    return f"{_make('tf-plan', target)} shows the difference, {_make('tf-apply', target)} puts it right."
