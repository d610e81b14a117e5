"""`pipeline doctor`: check an environment and say how to fix each problem. It only reads."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer
from botocore.exceptions import BotoCoreError, ClientError
from pipeline.aws.clients import error_code
from pipeline.ledger import BatchState
from pipeline.stages.large_day import DPUS

from pipeline_cli.deployment import queues
from pipeline_cli.deployment.batches import BatchStatus, find_batches, read, waiting_text
from pipeline_cli.deployment.publishing import behind, mappings
from pipeline_cli.local import glue
from pipeline_cli.output import hints, options, terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.output.explain import NOT_THERE, explain
from pipeline_cli.terraform import job_package, package
from pipeline_cli.terraform import target as targets
from pipeline_cli.terraform.target import variables
from pipeline_cli.terraform.terraform_command import OLDEST, find_terraform, version_of

if TYPE_CHECKING:
    from pipeline_cli.terraform.target import Target

NOT_HERE = {"InvalidAction", "UnknownOperation", "UnsupportedOperation", "UnknownOperationException", "NotImplemented"}
"""Error codes with which an emulator answers a call that it does not implement."""
OTHER_CALLS = 10
"""Concurrent calls that intake, transform, finalize, publish and retries need in addition to those of deliver."""
UNRESERVED_CALLS = 100
"""So many calls of an account must stay unreserved (Lambda developer guide, configuring reserved concurrency)."""
TABLE_WRITES = 40_000
"""Write units per second that a table takes by default (DynamoDB developer guide, quotas)."""
GLUE_DPUS = "L-08F3B322"
"""The quota "Max task DPUs per account" (AWS General Reference, AWS Glue endpoints and quotas)."""
ALARM_ACTION: Literal["Action"] = "Action"
ACTION_FAILED = "Failed to execute action"
"""How the history of an alarm tells that nobody heard of it (AWS re:Post, "Why didn't I receive an SNS notification for
my CloudWatch alarm trigger?")."""
NEWEST = 60
"""How many batches are checked, counted from the newest."""
NOTICED_WITHIN = timedelta(minutes=5)


OK, WARNING, PROBLEM = "ok", "warning", "problem"
STYLES = {OK: "green", WARNING: "yellow", PROBLEM: "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: how serious, its subject, what was found, and in one sentence what to do about it."""

    level: str
    subject: str
    text: str
    advice: str = ""


Found = Iterator[tuple[str, str] | tuple[str, str, str]]
"""The level, the text and the advice of each finding of a check."""
Check = Callable[["Target"], Found]


def command(env: options.Env = "", as_json: options.Json = False) -> None:
    """Check an environment, before a deployment or at any time. It only reads.

    Checks credentials and region, Terraform, the account's quotas for Lambda, DynamoDB and Glue, the alarms and their
    subscribers, the table, the deployed packages, whether messages are sent, the dead-letter queues, and batches that
    somebody must act on. Each line says ok, warning or problem, and what to do.

    Example: pipeline doctor --env prod

    Exit codes: 0 no problem (there may be warnings), 1 a problem.
    """
    findings: list[Finding] = []
    for finding in examine(targets.chosen(env)):
        findings.append(finding)
        if not as_json:
            sentence = f"{finding.subject}: {terminal.shown(finding.text)}"
            if finding.advice:
                sentence = f"{sentence.rstrip('.')}. [bold]{terminal.shown(finding.advice)}[/]"
            terminal.out().print(f"[{STYLES[finding.level]}]{finding.level:<7}[/] {sentence}", soft_wrap=True)
    if as_json:
        terminal.print_json([asdict(finding) for finding in findings])
    if any(finding.level == PROBLEM for finding in findings):
        raise typer.Exit(1)


def examine(target: Target) -> Iterator[Finding]:
    """Run the checks one after the other. A check that fails to run is a finding too."""
    found = list(findings_of("credentials", credentials, target))
    yield from found
    if any(finding.level == PROBLEM for finding in found):
        return
    for subject, check in BEFORE_DEPLOYMENT.items():
        yield from findings_of(subject, check, target)
    try:
        target.outputs  # noqa: B018 (reads what Terraform made)
    except CommandError as error:
        yield Finding(WARNING, "deployment", error.message, error.hint)
        return
    for subject, check in DEPLOYED.items():
        yield from findings_of(subject, check, target)


def findings_of(subject: str, check: Check, target: Target) -> Iterator[Finding]:
    """Run one check. What it can't read is a finding: missing, not permitted, or not there on the local AWS."""
    try:
        for found in check(target):
            yield Finding(found[0], subject, *found[1:])
    except ClientError as error:
        if target.is_local and error_code(error) in NOT_HERE:
            yield Finding(OK, subject, "the local AWS does not have this")
        elif error_code(error).rpartition(".")[2] in NOT_THERE:
            yield Finding(PROBLEM, subject, f"missing: {error}", f"{_make('tf-apply', target)} creates it again.")
        else:
            yield Finding(WARNING, subject, f"could not be read: {error}", "Sign in with more permissions.")
    except (BotoCoreError, CommandError) as error:
        explained = explain(error, target.name) or CommandError(str(error))
        yield Finding(PROBLEM, subject, explained.message, explained.hint)


def credentials(target: Target) -> Found:
    """Check that there are valid credentials; the finding names their account and region."""
    try:
        caller = target.client("sts").get_caller_identity()
    except ClientError as error:
        yield PROBLEM, f"not accepted: {error}", "Sign in again (aws sso login)."
    else:
        yield OK, f"account {caller['Account']}, region {target.region}"


def tools(_: Target) -> Found:
    """Check that a recent Terraform works."""
    found = version_of(str(find_terraform())) or (0,)
    text, oldest = ".".join(map(str, found)), ".".join(map(str, OLDEST))
    if found >= OLDEST:
        yield OK, f"Terraform {text}"
    else:
        yield PROBLEM, f"Terraform {text}", f"Install Terraform {oldest} or newer."


def lambda_quotas(target: Target) -> Found:
    """Check that the account allows as many concurrent function calls as the environment needs and reserves."""
    concurrency = int(target.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"])
    chosen = variables(target.name)
    needed = int(chosen.get("deliver_concurrency") or 10) + OTHER_CALLS
    reserved = int((chosen.get("transform") or {}).get("concurrency", 10))
    text = f"{concurrency:,} concurrent calls"
    ask = "Ask for more (Service Quotas, Lambda, Concurrent executions), or"
    if reserved and concurrency < reserved + UNRESERVED_CALLS:
        yield PROBLEM, f"{text}, of which transform can't reserve {reserved}", f"{ask} set transform.concurrency."
    elif concurrency >= needed:
        yield OK, f"{text}, {needed} needed at most"
    else:
        level = PROBLEM if concurrency < OTHER_CALLS else WARNING
        needs = f"{text}, but up to {needed} are needed: large days wait and may fail"
        yield level, needs, f"{ask} lower deliver_concurrency."


def table_quotas(target: Target) -> Found:
    """Check that the account's quota for writes to a table is at least DynamoDB's default."""
    limits = target.client("dynamodb").describe_limits()
    writes = int(limits["TableMaxWriteCapacityUnits"])
    text = f"{writes:,} writes a second for one table, {int(limits['AccountMaxWriteCapacityUnits']):,} for the account"
    if writes >= TABLE_WRITES:
        yield OK, text
    else:
        yield WARNING, text, f"Ask for DynamoDB's default of {TABLE_WRITES:,} (Service Quotas)."


def table(target: Target) -> Found:
    """Check that the table and its stream are there."""
    found = target.client("dynamodb").describe_table(TableName=target.output("table_name"))["Table"]
    if found.get("LatestStreamArn"):
        yield OK, f"{found['TableName']} is {found['TableStatus']}"
    else:
        yield PROBLEM, "it has no stream, so no messages are sent", _apply(target)


def alarms(target: Target) -> Found:
    """Check that the alarms have a subscriber and reached their topic, and that none is in state ALARM."""
    topic = target.client("sns").get_paginator("list_subscriptions_by_topic")
    arns = list(topic.paginate(TopicArn=target.output("alarm_topic_arn")).search("Subscriptions[].SubscriptionArn"))
    confirmed = [arn for arn in arns if arn.startswith("arn:")]
    if confirmed:
        yield OK, terminal.counted(len(confirmed), "confirmed subscriber")
    elif target.is_local:
        yield OK, "no subscriber, and the local AWS needs none"
    else:
        waits = f"; {terminal.counted(len(arns), 'subscriber')} not confirmed yet" if arns else ""
        advice = "Set alarm_emails and confirm the message from AWS, or subscribe to the topic."
        yield PROBLEM, f"nobody gets the alarms{waits}", advice
    cloudwatch, prefix = target.client("cloudwatch"), f"{target.output('dashboard_name')}-"
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=prefix, StateValue="ALARM")
    if ringing := sorted(name.removeprefix(prefix) for name in pages.search("MetricAlarms[].AlarmName")):
        yield PROBLEM, f"in alarm: {', '.join(ringing)}", "See docs/runbook.md."
    history = cloudwatch.get_paginator("describe_alarm_history").paginate(HistoryItemType=ALARM_ACTION)
    newest: dict[str, str] = {}  # the history begins with the newest item
    for name, summary in history.search("AlarmHistoryItems[].[AlarmName, HistorySummary]"):
        if name.startswith(prefix):
            newest.setdefault(name, summary)
    if unsent := [summary for summary in newest.values() if summary.startswith(ACTION_FAILED)]:
        text = f"{terminal.counted(len(unsent), 'alarm')} could not be sent: {unsent[0]}"
        yield PROBLEM, text, "CloudWatch needs the right to publish to the topic, and to use its key."


def functions(target: Target) -> Found:
    """Check that each function is there and runs the package in build/."""
    client, file = target.client("lambda"), package.zip_file(target.name)
    deployed = {
        part: client.get_function_configuration(FunctionName=name)["CodeSha256"]
        for part, name in target.output("function_names").items()
    }
    built = base64.b64encode(_digest(file)).decode() if file.exists() else None
    other = [part for part, digest in sorted(deployed.items()) if digest != built]
    yield _compared(target, file.exists(), f"{terminal.listed(other)} run" if other else "", "every function runs")


def _compared(target: Target, built: bool, other: str, same: str) -> tuple[str, str, str]:
    """Return the finding of a comparison of what is deployed with what is built here."""
    if not built:
        return WARNING, "no package is built here to compare with", f"Run {_make('package', target)}."
    if other:
        return WARNING, f"{other} another package than build/ has", _apply(target)
    return OK, f"{same} the package that is built here", ""


def _digest(file: Path) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest()


def publishing(target: Target) -> Found:
    """Check that the changes of the table are sent to the output queue."""
    if not mappings(target):
        yield PROBLEM, "missing: publish does not read the table's stream", _apply(target)
    elif late := behind(target):
        yield PROBLEM, late, f"See {hints.command('logs', env=target.name)}."
    else:
        yield OK, "no change of the table waits to be sent"


def large_days(target: Target) -> Found:
    """Check the Spark job of the environment, if it has one: its package, and what it can run on."""
    # Terraform omits outputs that are null.
    name = target.outputs.get("large_day_job_name")
    if not name:
        yield OK, "off: a day that does not fit into the function fails (variable large_days)"
        return
    job, file = target.client("glue").get_job(JobName=name)["Job"], job_package.zip_file(target.name)
    bucket, _, key = job["DefaultArguments"]["--additional-python-modules"].removeprefix("s3://").partition("/")
    deployed = target.client("s3").head_object(Bucket=bucket, Key=key)["Metadata"].get("sha256")
    same = file.exists() and deployed == _digest(file).hex()
    yield _compared(target, file.exists(), "" if same else "the job runs", "the job runs")
    if target.is_local:
        reason = glue.missing()
        yield (PROBLEM, reason, "Install it, or set large_days to null.") if reason else (OK, "Java and Spark are here")
        return
    needed = job["NumberOfWorkers"] * DPUS[job["WorkerType"]] * job["ExecutionProperty"]["MaxConcurrentRuns"]
    quota = target.client("service-quotas").get_service_quota(ServiceCode="glue", QuotaCode=GLUE_DPUS)["Quota"]
    text = f"up to {needed:,} DPUs needed at once, {int(quota['Value']):,} allowed ({quota['QuotaName']})"
    if quota["Value"] >= needed:
        yield OK, text
    else:
        advice = "Ask for more (Service Quotas, AWS Glue), or lower workers or max_concurrent_runs of large_days."
        yield PROBLEM, f"{text}: runs wait or fail", advice


def dead_letters(target: Target) -> Found:
    """Check that the dead-letter queues are empty."""
    sqs, urls = target.client("sqs"), map(target.output, queues.DEAD_LETTERS)
    if found := [f"{count:,} in {queues.name(url)}" for url in urls if (count := queues.waiting(sqs, url))]:
        look, again = (hints.command("redrive", *listed, env=target.name) for listed in (["--list"], []))
        yield PROBLEM, ", ".join(found), f"See {look}, then {again}."
    else:
        yield OK, "empty"


def batches(target: Target) -> Found:
    """Find the batches that somebody must act on: held, failed, not noticed, or open although their run has ended."""
    statuses = read(target, find_batches(target)[0][:NEWEST])
    found = [problem for status in statuses if (problem := _batch(target, status))]
    yield from found
    if not found:
        yield OK, f"of {terminal.counted(len(statuses), 'batch', 'batches')} none needs anybody"


def _batch(target: Target, status: BatchStatus) -> tuple[str, str, str] | None:
    entry, batch = status.ledger, status.batch
    errors, release, replay = (hints.command(name, batch, env=target.name) for name in ("errors", "release", "replay"))
    if status.unnoticed and _is_long_ago(max(source.last_modified for source in status.files.values())):
        look = hints.command("redrive", "--list", env=target.name)
        return PROBLEM, f"{batch}: all its files are there, not noticed", f"See {look}, or send one of them again."
    if entry is None:
        return None
    if entry.state is BatchState.HELD:
        return PROBLEM, f"{batch} is HELD: {entry.cause}", f"See {errors}; {release} accepts it."
    if entry.state is BatchState.FAILED and not status.corrected:
        return PROBLEM, f"{batch} FAILED: {entry.cause}", f"See {errors}."
    # Step Functions does not know a run at once.
    is_open = entry.state in (BatchState.QUEUED, BatchState.RUNNING) and entry.queued_at is not None
    if is_open and _is_long_ago(str(entry.queued_at)) and not target.workflow.status(str(entry.execution)).running:
        return PROBLEM, f"{batch} is {entry.state}, but its run is over", f"Run it again: {replay}."
    if text := waiting_text(entry):
        return OK, f"{batch}: the run {text}", ""
    return None


def _is_long_ago(moment: str) -> bool:
    return datetime.now(UTC) - datetime.fromisoformat(moment) > NOTICED_WITHIN


def _make(name: str, target: Target) -> str:
    return f"make {name}{'' if target.is_local else f' ENV={target.name}'}"


def _apply(target: Target) -> str:
    return f"{_make('tf-plan', target)} shows the difference, {_make('tf-apply', target)} puts it right."


BEFORE_DEPLOYMENT: dict[str, Check] = {
    "tools": tools,
    "lambda quotas": lambda_quotas,
    "table quotas": table_quotas,
}
DEPLOYED: dict[str, Check] = {
    "table": table,
    "alarms": alarms,
    "functions": functions,
    "messages": publishing,
    "large days": large_days,
    "dead-letter queues": dead_letters,
    "batches": batches,
}
