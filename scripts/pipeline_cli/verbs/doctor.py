"""`pipeline doctor`: check an environment and say how to fix each problem."""

from __future__ import annotations

import typer

from pipeline_cli.deployment.doctor import examine
from pipeline_cli.deployment.findings import Finding, Level
from pipeline_cli.output import options, terminal
from pipeline_cli.terraform import target as targets

MARKS = {Level.OK: "[green]ok[/]", Level.WARNING: "[yellow]warning[/]", Level.PROBLEM: "[bold red]problem[/]"}


def command(env: options.Env = "", as_json: options.Json = False) -> None:
    """Check an environment, before a deployment or at any time. It only reads.

    Checks credentials and region, Terraform and its provider, the account's quotas for Lambda and DynamoDB and the
    largest day so far, the subscribers of the alarms, the partner's role, the deployed package, the dead-letter queues,
    and batches that somebody must act on. Each line says ok, warning or problem, and what to do.

    Example: pipeline doctor --env prod

    Exit codes: 0 no problem (there may be warnings), 1 a problem.
    """
    target = targets.chosen(env)
    findings: list[Finding] = []
    for finding in examine(target):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        terminal.print_json([finding.as_plain() for finding in findings])
    if any(finding.level is Level.PROBLEM for finding in findings):
        raise typer.Exit(1)


def _show(finding: Finding) -> None:
    mark, padding = MARKS[finding.level], " " * (8 - len(finding.level))
    sentence = f"{finding.subject}: {terminal.shown(finding.text)}"
    if finding.advice:
        sentence = f"{sentence.rstrip('.')}. [bold]{terminal.shown(finding.advice)}[/]"
    terminal.out().print(f"{mark}{padding}{sentence}", soft_wrap=True)
