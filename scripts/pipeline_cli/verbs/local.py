"""`pipeline local`: start and stop the local AWS by hand; commands that need it start it themselves."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from pipeline_cli.local.emulator import Emulator, endpoint, port_from_environment
from pipeline_cli.local.serve import serve
from pipeline_cli.output import terminal
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import target as targets
from pipeline_cli.terraform.target import LOCAL, ROOT, Target

app = typer.Typer(help="The local AWS: start it, stop it, send files to it as the partner.", no_args_is_help=True)


def _emulator() -> Emulator:
    return Emulator(ROOT / "build" / LOCAL)


@app.command("up")
def up() -> None:
    """Start the local AWS if it does not run yet.

    Example: MINISTACK_PORT=4567 pipeline local up

    Exit codes: 0 it runs, 1 it can't start.
    """
    record = _emulator().start(port_from_environment())
    terminal.out().print(f"The local AWS runs on {endpoint(record.port)}.")


@app.command("down")
def down() -> None:
    """Stop the local AWS and discard everything in it.

    Example: pipeline local down

    Exit codes: 0 it is stopped.
    """
    stopped = _emulator().stop()
    terminal.out().print("The local AWS is stopped." if stopped else "The local AWS was not running.")


@app.command("partner-credentials")
def partner_credentials() -> None:
    """Create an access key for the partner's user on the local AWS, and print how to send files with it.

    Older keys are deleted first, as a user can have at most two: the printed key is the only valid one.

    Example: eval "$(pipeline local partner-credentials)"

    Exit codes: 0 it is printed, 1 nothing is deployed or the deployment has no such user.
    """
    target = targets.load(LOCAL)
    user = target.outputs.get("partner_user_name")
    if not user:
        raise CommandError(
            "The local deployment has no partner's user.", "Set partner = { user = true } and: make tf-apply"
        )
    for name, value in {**partner_environment(target, user), "BUCKET": target.bucket.name}.items():
        typer.echo(f"export {name}={shlex.quote(value)}")
    typer.echo(f"# aws s3 cp FILE s3://{target.bucket.name}/incoming/")


@app.command("serve", hidden=True)
def serve_here(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of the record, lock and log files.")],
) -> None:
    """Run the local AWS in this process; `pipeline local up` starts it in the background.

    Example: pipeline local serve build/local

    Exit codes: 0 it was stopped.
    """
    serve(folder)


def partner_environment(target: Target, user: str) -> dict[str, str]:
    """Replace the access keys of the partner's user by a new one; return the environment variables for AWS clients."""
    iam = target.client("iam")
    for old in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=user, AccessKeyId=old["AccessKeyId"])
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        "AWS_DEFAULT_REGION": target.region,
        **({"AWS_ENDPOINT_URL": target.endpoint_url} if target.endpoint_url else {}),
    }
