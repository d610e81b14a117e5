"""`pipeline package`: build the packages of an environment."""

from __future__ import annotations

from pipeline_cli.output import options, terminal
from pipeline_cli.terraform import job_package, package
from pipeline_cli.terraform.target import check_name


def command(env: options.Env = "") -> None:
    """Build the Lambda package build/ENV/pipeline.zip, or keep the existing one if nothing has changed.

    If the environment has large_days, also build the package of their Spark job, build/ENV/pipeline.gluewheels.zip.

    Example: pipeline package --env prod

    Exit codes: 0 built, 1 a dependency has no wheel for the platform, or the package is too large or does not work,
    2 there is no such environment.
    """
    check_name(env)
    terminal.out().print(package.build(env).report, soft_wrap=True)
    if job_package.is_on(env):
        terminal.out().print(f"{package.shown(job_package.build(env))}: the Spark job for large days", soft_wrap=True)
