"""Access of the tests to the configuration: its files, its plan, its policies."""

from __future__ import annotations

import json
import os
import re
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import hcl2
import python_terraform
from pipeline_cli.terraform.local_stack import LocalStack
from python_terraform import IsFlagged

INFRA = Path(__file__).resolve().parent.parent
MODULES = (
    "bucket",
    "function",
    "key",
    "large_days",
    "monitoring",
    "network",
    "partner",
    "queue",
    "table",
    "trigger",
    "workflow",
)
FUNCTIONS = ("intake", "transform", "deliver", "finalize", "publish")
ENVIRONMENTS = tuple(sorted(file.stem for file in (INFRA / "env").glob("*.tfvars")))

ACCOUNT = "000000000000"
REGION = "eu-west-1"

_CHANGES = 2


class PlanError(Exception):
    """Terraform refused to plan; the message is what it said, on one line."""


class Terraform(python_terraform.Terraform):
    """Terraform in one folder with exactly one environment, whatever this process's own is."""

    def __init__(self, folder: Path, command: str, environment: Mapping[str, str]) -> None:
        super().__init__(str(folder), terraform_bin_path=command)
        self._environment = dict(environment)

    def cmd(self, *arguments: Any, **options: Any) -> tuple[int, str, str]:
        """Run a command; return its exit code and what it printed to either stream."""
        with mock.patch.dict(os.environ, self._environment, clear=True), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # python_terraform logs the old way
            done: tuple[int, str, str] = super().cmd(*arguments, **options)
        return done


@dataclass(frozen=True)
class Plan:
    """What Terraform would create."""

    document: Mapping[str, Any]
    resources: Mapping[str, Mapping[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        planned = _resources(self.document["planned_values"]["root_module"])
        found = {item["address"]: item.get("values", {}) for item in planned}
        object.__setattr__(self, "resources", found)

    def __getitem__(self, address: str) -> Mapping[str, Any]:
        """The known values of a resource, such as `module.table.aws_dynamodb_table.this`."""
        return self.resources[address]

    def of_type(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """All resources of a type, by address."""
        return {address: values for address, values in self.resources.items() if f".{kind}." in f".{address}"}

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The root's outputs; one that is unknown before the apply has no value."""
        found: Mapping[str, Any] = self.document["planned_values"]["outputs"]
        return found

    @property
    def definition(self) -> Mapping[str, Any]:
        """The state machine's definition."""
        found: Mapping[str, Any] = json.loads(self["module.workflow.aws_sfn_state_machine.this"]["definition"])
        return found

    def references(self, module: str, argument: str) -> list[str]:
        """What a module call's argument refers to."""
        call = self.document["configuration"]["root_module"]["module_calls"][module]
        found: list[str] = call["expressions"][argument]["references"]
        return found


@contextmanager
def running_provider(stack: LocalStack) -> Iterator[dict[str, str]]:
    """Start the provider once; yield the variables with which Terraform attaches to it.

    Otherwise Terraform starts it several times for each plan, and computes the checksum of its 190 MB (Terraform
    documentation, "Debugging Providers").
    """
    terraform = stack.terraform
    programs = (terraform.data_folder / "providers").glob("registry.terraform.io/hashicorp/aws/*/*/*-provider-aws_*")
    attach = "TF_REATTACH_PROVIDERS"
    with subprocess.Popen(
        [next(programs), "-debug"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=dict(terraform.environment),
    ) as provider:
        assert provider.stdout is not None
        try:
            said = next(line for line in provider.stdout if f"{attach}=" in line)
            yield {attach: said.partition("=")[2].strip().strip("'")}
        finally:
            provider.terminate()


@dataclass(frozen=True)
class Planner:
    """Plans the fitted copy of the configuration with the offline provider."""

    stack: LocalStack
    endpoint: str
    folder: Path
    provider: Mapping[str, str]
    """The variables that lead Terraform to the running provider."""
    _plans: dict[str, Plan] = field(default_factory=dict)

    @property
    def terraform(self) -> Terraform:
        """Terraform on the fitted copy."""
        prepared = self.stack.terraform
        environment = {
            **prepared.environment,
            **self.provider,
            "TF_DATA_DIR": str(prepared.data_folder),
            "CHECKPOINT_DISABLE": "1",
        }
        return Terraform(prepared.working_folder, prepared.command, environment)

    def plan(self, environment: str | None = None, **variables: Any) -> Plan:
        """Plan with an environment's variables, or the defaults, and further variables.

        Raises:
            PlanError: Terraform refused.
        """
        values = json.dumps({"local_endpoint": self.endpoint, **variables}, sort_keys=True)
        chosen = f"{environment} {values}"
        if chosen not in self._plans:
            self._plans[chosen] = self._plan(environment, values)
        return self._plans[chosen]

    def _plan(self, environment: str | None, values: str) -> Plan:
        extra = self.folder / "variables.tfvars.json"
        extra.write_text(values)
        files = [f"env/{environment}.tfvars"] if environment else []
        terraform = self.terraform
        planned = self.folder / "plan"
        code, _, said = terraform.plan(out=str(planned), var_file=[*files, str(extra)], lock=False)
        if code != _CHANGES:
            raise PlanError(one_line(said))
        code, shown, said = terraform.cmd("show", str(planned), json=IsFlagged)
        if code:
            raise PlanError(one_line(said))
        return Plan(json.loads(shown))


def one_line(said: str) -> str:
    """Terraform's message without its frame and line breaks."""
    return " ".join(re.sub(r"[│╷╵]", " ", said).split())


def _resources(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _resources(child)


def parse(file: Path) -> dict[str, Any]:
    """A Terraform file as nested dictionaries, without the parser's quotes and marks."""
    with file.open() as text:
        plain: dict[str, Any] = _plain(hcl2.load(text))
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain(name): _plain(item) for name, item in value.items() if not name.startswith("__")}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return value


def blocks(folder: Path, kind: str) -> dict[str, dict[str, Any]]:
    """The variables or outputs of a module, by name, in the order of the file."""
    file = folder / f"{kind}s.tf"
    return {name: body for block in parse(file).get(kind, []) for name, body in block.items()}


def resources_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The resources in a module's main.tf as written, by `type.name`."""
    return {
        f"{kind}.{name}": body
        for block in parse(folder / "main.tf")["resource"]
        for kind, named in block.items()
        for name, body in named.items()
    }


def render(template: Path, **values: str) -> dict[str, Any]:
    """A JSON template with its placeholders filled; a placeholder without a value becomes its own name."""
    text = re.sub(r"\$\{(\w+)\}", lambda hole: values.get(hole[1], hole[1]), template.read_text())
    document: dict[str, Any] = json.loads(text)
    return document


def as_list(value: str | list[str]) -> list[str]:
    """IAM writes a list of one as its element."""
    return [value] if isinstance(value, str) else value


def grants(policy: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Every pair of action and resource that a policy allows."""
    return {
        (action, resource)
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
