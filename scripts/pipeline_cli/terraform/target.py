"""The target that a command acts on: the local AWS on this machine, or the account of the current credentials."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_cli.local import emulator
from pipeline_cli.output import terminal
from pipeline_cli.output.errors import CommandError, UsageError

if TYPE_CHECKING:
    from pipeline.aws.dynamodb import Table
    from pipeline.aws.s3 import Bucket
    from pipeline.aws.workflow import Workflow

ROOT = emulator.ROOT
LOCAL = "local"


@dataclass(frozen=True)
class Target:
    """One environment: `local`, or the name of a file in `infra/env/`, with its region and Terraform's outputs.

    `endpoint_url` is None for AWS's own endpoints. Outputs that the caller does not have are read from `folder`, where
    the environment's build products are.
    """

    name: str
    region: str
    endpoint_url: str | None = None
    known_outputs: dict[str, Any] | None = None
    folder: Path = field(default=ROOT / "build")

    @property
    def is_local(self) -> bool:
        """Whether this is the local AWS."""
        return self.endpoint_url is not None

    @property
    def description(self) -> str:
        """The target in words, such as `prod (AWS, eu-west-1)`."""
        return f"the local AWS ({self.endpoint_url})" if self.is_local else f"{self.name} (AWS, {self.region})"

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """Terraform's outputs by name.

        Raises
        ------
        CommandError
            Nothing is deployed there.
        """
        if self.known_outputs is not None:
            return self.known_outputs
        command = "make tf-apply" if self.name == LOCAL else f"make tf-apply ENV={self.name}"
        if self.name != LOCAL or emulator.Emulator(self.folder).running():
            with suppress(OSError, ValueError):
                return read_outputs(self.folder / "outputs.json")
        if self.name == LOCAL:
            raise CommandError(
                "Nothing is deployed on this machine's local AWS.", f"Deploy first: {command} (or: make demo)"
            )
        raise CommandError(
            f"What is deployed to {self.name} is not known on this machine.",
            f"Deploy with {command}, or, where that is done already, run: make tf-init ENV={self.name}",
        )

    def output(self, name: str) -> Any:
        """One of Terraform's outputs."""
        try:
            return self.outputs[name]
        except KeyError:
            raise CommandError(
                f"The deployment of {self.name} has no output {name}, so it is older than this checkout.",
                f"Deploy again: make tf-apply ENV={self.name}",
            ) from None

    @cached_property
    def bucket(self) -> Bucket:
        """The bucket of the partner's files and of everything that the pipeline writes."""
        from pipeline.aws.s3 import Bucket

        return Bucket(self.output("bucket_name"), self.client("s3"))

    @cached_property
    def table(self) -> Table:
        """The table of results, errors and the ledger."""
        from pipeline.aws.dynamodb import Table

        return Table(self.output("table_name"), self.client("dynamodb"))

    @cached_property
    def workflow(self) -> Workflow:
        """The state machine that runs batches."""
        from pipeline.aws.workflow import Workflow

        return Workflow(self.output("state_machine_arn"), self.client("stepfunctions"))

    @cached_property
    def environment(self) -> dict[str, str]:
        """The environment variables with which other programs reach the local AWS as the developer."""
        record = emulator.Emulator(self.folder).running()
        return record.environment if record else {}

    def client(self, service: str) -> Any:
        """Create a boto3 client for one service of this target."""
        import boto3  # takes half a second, which commands without AWS save
        from botocore.config import Config

        settings = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=10)
        if self.endpoint_url is None:
            return boto3.Session(region_name=self.region).client(service, config=settings)  # type: ignore[call-overload]
        # This machine's AWS settings (profile, proxy, certificates) must not affect the local AWS.
        settings = settings.merge(Config(proxies={}, s3={"addressing_style": "path"}))
        return boto3.Session().client(  # type: ignore[call-overload]
            service,
            region_name=self.region,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.environment.get("AWS_ACCESS_KEY_ID", "none"),
            aws_secret_access_key=self.environment.get("AWS_SECRET_ACCESS_KEY", "none"),
            config=settings,
        )


def load(name: str = LOCAL, root: Path = ROOT) -> Target:
    """Return the target of an environment's name.

    Raises
    ------
    UsageError
        There is no such environment.
    """
    check_name(name, root)
    folder = root / "build" / name
    if name == LOCAL:
        running = emulator.Emulator(folder).running()
        port = running.port if running else emulator.port_from_environment() or emulator.DEFAULT_PORT
        return Target(name, emulator.REGION, emulator.endpoint(port), folder=folder)
    with suppress(OSError, ValueError, KeyError):
        return Target(name, str(read_outputs(folder / "outputs.json")["region"]), folder=folder)
    region = variables(name, root).get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return Target(name, str(region or emulator.REGION), folder=folder)


def chosen(name: str) -> Target:
    """Return the target of an environment's name and announce it on standard error."""
    target = load(name)
    announce(target)
    return target


def announce(target: Target) -> None:
    """Print on standard error which target a command acts on."""
    terminal.err().print(f"[dim]Target: {target.description}[/]")


def check_name(name: str, root: Path = ROOT) -> None:
    """Check that `infra/env/` has a file for this environment.

    Raises
    ------
    UsageError
        It has none.
    """
    known = sorted(file.stem for file in (root / "infra" / "env").glob("*.tfvars"))
    if name not in known:
        raise UsageError(
            f"There is no environment {name!r}: infra/env/ has {', '.join(known) or 'none'}.",
            f"Write infra/env/{name}.tfvars to add it." if re.fullmatch(r"[a-z][a-z0-9-]*", name) else "",
        )


def variables(name: str, root: Path = ROOT) -> dict[str, Any]:
    """Return the values of the environment's variable file, with the defaults of `infra/variables.tf` for the rest.

    Raises
    ------
    UsageError
        The file has a mistake, or sets a variable that does not exist: Terraform would only warn.
    """
    defaults = {key: body.get("default") for key, body in declared_variables(root).items()}
    values = _read_hcl(root / "infra" / "env" / f"{name}.tfvars")
    if unknown := [key for key in values if key not in defaults]:
        similar = get_close_matches(unknown[0], defaults, 1)
        raise UsageError(
            f"infra/env/{name}.tfvars sets {unknown[0]}, and there is no such variable.",
            f"Is it {similar[0]}?" if similar else "infra/variables.tf has all of them.",
        )
    return defaults | values


def declared_variables(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    """Return the arguments of each variable in `infra/variables.tf`, by its name."""
    blocks = _read_hcl(root / "infra" / "variables.tf").get("variable", [])
    return {name: body for block in blocks for name, body in block.items()}


def _read_hcl(file: Path) -> dict[str, Any]:
    """Read a Terraform file; a file that does not exist is empty."""
    import hcl2
    from hcl2 import SerializationOptions
    from lark import UnexpectedInput

    plain = SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)
    try:
        return hcl2.loads(file.read_text(), serialization_options=plain)
    except FileNotFoundError:
        return {}
    except UnexpectedInput as error:
        where = f"line {error.line}, column {error.column}"
        raise UsageError(f"{file.name} is not valid: Terraform's syntax ends at {where}.") from error


def read_outputs(file: Path) -> dict[str, Any]:
    """Read the values from a file that `terraform output -json` wrote."""
    return {name: output["value"] for name, output in json.loads(file.read_text()).items()}
