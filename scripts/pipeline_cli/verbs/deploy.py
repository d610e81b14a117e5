"""`pipeline deploy`: run Terraform for an environment, with the settings that the environment needs."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from pipeline_cli.local.emulator import port_from_environment
from pipeline_cli.output import options, terminal
from pipeline_cli.output.errors import CommandError, UsageError
from pipeline_cli.terraform import package, remote_state
from pipeline_cli.terraform.account_stack import AccountStack
from pipeline_cli.terraform.local_stack import LocalStack
from pipeline_cli.terraform.target import LOCAL, ROOT, check_name, load, variables
from pipeline_cli.terraform.terraform_command import Terraform

app = typer.Typer(help="Terraform: initialise, plan, apply, destroy, move its state to S3.", no_args_is_help=True)


def _account(env: str) -> AccountStack:
    """Return the stack in an account. Check the credentials first: Terraform would report them minutes later."""
    import boto3
    from botocore.exceptions import NoCredentialsError

    check_name(env)
    if boto3.Session().get_credentials() is None:
        raise NoCredentialsError
    return AccountStack(env)


def _agree(env: str, *, yes: bool) -> None:
    if not (yes or terminal.agreed(f"Deploy this to {env}?")):
        raise CommandError("Nothing was deployed.")


def _confirm(env: str, *, yes: bool) -> None:
    if not yes:
        terminal.confirm(env, f"This destroys all that Terraform made for {env}, data included.")


@app.command("init")
def init(env: options.Env = "") -> None:
    """Initialise Terraform (for local with the offline provider) and fetch the outputs of the deployed stack.

    Example: pipeline deploy init --env prod

    Exit codes: 0 done, 1 Terraform failed, 2 there is no such environment.
    """
    if env == LOCAL:
        LocalStack().init()
        terminal.out().print("Terraform is ready for the local AWS.")
    else:
        _account(env).init()


@app.command("plan")
def plan(env: options.Env = "") -> None:
    """Show what apply would change. Needs the package: run pipeline package first.

    Example: pipeline deploy plan --env prod

    Exit codes: 0 shown, 1 Terraform failed, 2 there is no such environment.
    """
    if env == LOCAL:
        LocalStack().plan(package.zip_file(env), port_from_environment())
    else:
        _account(env).plan(package.zip_file(env))


@app.command("apply")
def apply(env: options.Env = "", yes: options.Yes = False) -> None:
    """Deploy. Terraform shows the plan and asks first, except on local. Run pipeline package first.

    Example: pipeline deploy apply --env prod

    Exit codes: 0 deployed, 1 Terraform failed or the answer was no, 2 there is no such environment.
    """
    if env == LOCAL:
        LocalStack().apply(package.zip_file(env), port_from_environment())
    else:
        _account(env).apply(package.zip_file(env), lambda: _agree(env, yes=yes))


@app.command("destroy")
def destroy(env: options.Env = "", yes: options.Yes = False) -> None:
    """Delete everything that apply created, data included. Shows it and asks for the environment's name, not on local.

    Example: pipeline deploy destroy --env staging

    Exit codes: 0 removed, 1 Terraform failed or the answer was no, 2 there is no such environment.
    """
    if env == LOCAL:
        LocalStack().destroy(package.zip_file(env))
        return
    _account(env).destroy(package.zip_file(env), lambda: _confirm(env, yes=yes))


@app.command("state")
def state(env: options.Env = "", yes: options.Yes = False) -> None:
    """Keep an environment's Terraform state in S3: create the bucket and move the state there. Asks first.

    Example: pipeline deploy state --env prod

    Exit codes: 0 the state is there, or the answer was no, 1 it failed, 2 the environment is local or unknown.
    """
    if env == LOCAL:
        raise UsageError(
            "The state of the local AWS ends with it and stays on this machine.", "Use: make tf-state ENV=dev"
        )
    check_name(env)
    stack, name, target = AccountStack(env), str(variables(env)["name"]), load(env)
    question = f"Make the bucket {name}-state-<account> in {target.description} and move the state of {env} there?"
    if not (yes or terminal.agreed(question)):
        terminal.out().print("Nothing was done.")
        return
    bucket = remote_state.bootstrap(target, name)
    file = remote_state.write_backend(stack, bucket, name, target.region)
    stack.move_state()
    terminal.out().print(f"The state of {env} is in the bucket {bucket}. Commit {file.relative_to(ROOT)}.")


@app.command("format", hidden=True)
def format_files(
    check: Annotated[bool, typer.Option("--check", help="Show what would change, and change nothing.")] = False,
) -> None:
    """Format the Terraform code of infra/ and examples/.

    Example: pipeline deploy format --check

    Exit codes: 0 formatted, 1 with --check, if a file is not formatted.
    """
    terraform = Terraform(ROOT, ROOT / "build" / "terraform", os.environ | {"TF_CLI_CONFIG_FILE": os.devnull})
    terraform.show("fmt", "-recursive", *(["-check", "-diff"] if check else []), "infra", "examples")
