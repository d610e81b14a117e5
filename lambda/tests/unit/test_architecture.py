"""The structure of both packages: imports between folders point one way, without circles, and have no effects."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = {"pipeline": ROOT / "lambda", "pipeline_cli": ROOT / "scripts"}
MODULES = {
    ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): path
    for package, folder in SOURCES.items()
    for path in sorted((folder / package).rglob("*.py"))
}
MODEL = {"model", "errors"}
READING = {"reading", *MODEL}
JOINING = {"joining", *READING}
CORE = {"ledger", "events", "settings", "observability", *MODEL}
LOCAL = {"local", "output"}
TERRAFORM = {"terraform", *LOCAL}
DEPLOYMENT = {"deployment", *TERRAFORM}
ALLOWED: Mapping[str, Mapping[str, set[str]]] = {
    "pipeline": {
        "errors": set(),
        "settings": {"errors"},
        "observability": {"errors"},
        "model": MODEL,
        "ledger": MODEL,
        "events": MODEL,
        "reading": READING,
        "joining": JOINING,
        "aws": {"aws", "ledger", *MODEL},
        "stages": {"stages", "aws", *JOINING, *CORE},
        "handlers": {"stages", "aws", *CORE},
        "large": {"large", "stages", "aws", *JOINING, *CORE},
    },
    "pipeline_cli": {
        "app": {"verbs", "output"},
        "csv_check": {"app", "output"},
        "verbs": {"verbs", "report", *DEPLOYMENT},
        "report": {"report", "deployment", "output"},
        "deployment": DEPLOYMENT,
        "terraform": TERRAFORM,
        "local": LOCAL,
        "output": {"output"},
    },
}
"""The folders that the modules of a folder may import; a module directly in the package counts as a folder."""

LIGHT_HANDLERS = ("intake", "deliver", "finalize", "publish")


@functools.cache
def imports(module: str) -> set[str]:
    """Name the modules that a module imports, also within functions, except those that only types need."""
    found: set[str] = set()
    tree = ast.parse(MODULES[module].read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in set(ast.walk(tree)) - for_types:
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{name.name}" for name in node.names}
            found |= names & MODULES.keys() or {str(node.module)}
    return found


def folder_of(module: str) -> str:
    """The folder of a module in its package, or its own name if it is in none."""
    return module.split(".")[1] if "." in module else ""


def ours(module: str) -> set[str]:
    return {name for name in imports(module) if package_of(name) in SOURCES}


def package_of(module: str) -> str:
    return module.split(".")[0]


def wrong(is_allowed: Callable[[str, str], bool]) -> list[str]:
    """The imports of all modules that are not allowed; `is_allowed` gets the importing module and the imported one."""
    return [
        f"{module} imports {name}"
        for module in MODULES
        for name in sorted(imports(module))
        if not is_allowed(module, name)
    ]


def test_imports_between_folders_point_one_way() -> None:
    def is_allowed(module: str, name: str) -> bool:
        package = package_of(module)
        return package_of(name) != package or folder_of(name) in ALLOWED[package].get(folder_of(module), set())

    assert wrong(is_allowed) == []


def test_every_folder_is_listed_here() -> None:
    folders = {(package_of(module), folder_of(module)) for module in MODULES if "." in module}

    assert folders == {(package, name) for package, allowed in ALLOWED.items() for name in allowed}


def test_no_command_imports_another_but_the_demo_which_shows_them() -> None:
    commands = {module for module in MODULES if module.startswith("pipeline_cli.verbs.")}
    importing = {module for module in commands if ours(module) & commands}

    assert importing == {"pipeline_cli.verbs.demo"}


def test_the_product_knows_nothing_of_its_command_line() -> None:
    assert wrong(lambda module, name: package_of(module) != "pipeline" or package_of(name) != "pipeline_cli") == []


def test_only_lambda_imports_handlers() -> None:
    assert wrong(lambda _, name: package_of(name) not in SOURCES or folder_of(name) != "handlers") == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: ours(module) for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_only_the_aws_modules_of_the_product_know_boto3() -> None:
    def is_allowed(module: str, name: str) -> bool:
        uses = package_of(name) in ("boto3", "botocore")
        return not uses or package_of(module) != "pipeline" or folder_of(module) == "aws"

    assert wrong(is_allowed) == []


def test_only_reading_and_joining_know_duckdb() -> None:
    assert wrong(lambda module, name: name != "duckdb" or folder_of(module) in ("reading", "joining")) == []


def run_python(code: str) -> str:
    """Run code in a fresh interpreter whose environment holds nothing but the path to the package."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SOURCES["pipeline"])},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def test_importing_the_handlers_makes_no_client_and_reads_no_setting() -> None:
    code = f"""
import botocore.session
from pipeline import observability
from pipeline.aws import clients
from pipeline.handlers import transform, {", ".join(LIGHT_HANDLERS)}
made = [f.cache_info().currsize for f in (clients.client, observability.logger, observability.metrics)]
print(sum(made))
"""
    assert run_python(code).strip() == "0"


def test_only_transform_pays_for_duckdb() -> None:
    code = f"import sys; from pipeline.handlers import {', '.join(LIGHT_HANDLERS)}; print('duckdb' in sys.modules)"
    assert run_python(code).strip() == "False"
