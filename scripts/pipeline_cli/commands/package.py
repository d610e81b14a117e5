"""`pipeline package`: build the Lambda package of an environment."""

from __future__ import annotations

from pipeline_cli.deploy import package
from pipeline_cli.deploy.target import check_name
from pipeline_cli.output import options, terminal


def command(env: options.Env = "", as_json: options.Json = False) -> None:
    """Build the Lambda package build/ENV/pipeline.zip, or keep the existing one if nothing has changed.

    Example: pipeline package --env prod

    Exit codes: 0 built, 1 a dependency has no wheel for the platform, or the package is too large or does not work,
    2 there is no such environment.
    """
    check_name(env)
    built = package.build(env, quiet=as_json)
    if as_json:
        terminal.print_json({"file": str(built.file), "zipped_bytes": built.zipped, "unzipped_bytes": built.unzipped})
    else:
        terminal.out().print(built.report, soft_wrap=True)
