"""`pipeline package`: build the packages of an environment."""

from __future__ import annotations

from pipeline_cli.output import options, terminal
from pipeline_cli.terraform import job_package, package
from pipeline_cli.terraform.target import check_name


def command(
    env: options.Env = "",
    as_json: options.Json = False,
) -> None:
    """Build the Lambda package build/ENV/pipeline.zip, or keep the existing one if nothing has changed.

    If the environment has large_days, also build the package of their Spark job, build/ENV/pipeline.gluewheels.zip.

    Example: pipeline package --env prod

    Exit codes: 0 built, 1 a dependency has no wheel for the platform, or the package is too large or does not work,
    2 there is no such environment.
    """
    check_name(env)
    built = package.build(env, quiet=as_json)
    job = job_package.build(env, quiet=as_json) if job_package.is_on(env) else None
    if as_json:
        terminal.print_json(
            {
                "file": str(built.file),
                "zipped_bytes": built.zipped,
                "unzipped_bytes": built.unzipped,
                "job_file": str(job) if job else None,
            }
        )
    else:
        terminal.out().print(built.report, soft_wrap=True)
        if job:
            terminal.out().print(f"{package.shown(job)}: the Spark job for large days", soft_wrap=True)
