"""The shape of the package: arrows point one way, and importing it does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pipeline"
MODULES = sorted(PACKAGE.rglob("*.py"))
ALLOWED = {"core": {"core"}, "aws": {"core", "aws"}, "handlers": {"core", "aws"}}
LIGHT_HANDLERS = ("intake", "deliver", "finalize", "publish")


def layer(parts: tuple[str, ...]) -> str:
    return parts[0] if parts[0] in ("aws", "handlers") else "core"


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{name.name}" for name in node.names)}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_handlers_use_core_and_aws_and_nothing_points_back(path: Path) -> None:
    mine = layer(path.relative_to(PACKAGE).with_suffix("").parts)
    used = {layer(tuple(name.split(".")[1:])) for name in imports(path) if name.startswith("pipeline.")}
    assert used <= ALLOWED[mine]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_aws_modules_know_boto3(path: Path) -> None:
    uses = {name for name in imports(path) if name.split(".")[0] in ("boto3", "botocore")}
    assert not uses or layer(path.relative_to(PACKAGE).parts) == "aws"


def test_only_the_reader_and_the_parts_of_the_join_know_duckdb() -> None:
    users = {path.relative_to(PACKAGE).as_posix() for path in MODULES if "duckdb" in imports(path)}
    assert users <= {"csv_parser.py", "refusals.py", "totals.py", "results.py", "customer_data_processor.py"}


def run_python(code: str) -> str:
    """Run code in a fresh interpreter whose environment holds nothing but the path to the package."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


@pytest.mark.parametrize("name", [*LIGHT_HANDLERS, "transform"])
def test_importing_a_handler_makes_no_client_and_reads_no_setting(name: str) -> None:
    code = f"""
import botocore.session, pipeline.handlers.{name}
from pipeline import observability
from pipeline.aws import clients
made = [f.cache_info().currsize for f in (clients.client, observability.logger, observability.metrics)]
print(sum(made))
"""
    assert run_python(code).strip() == "0"


@pytest.mark.parametrize("name", LIGHT_HANDLERS)
def test_only_transform_pays_for_duckdb(name: str) -> None:
    assert run_python(f"import sys, pipeline.handlers.{name}; print('duckdb' in sys.modules)").strip() == "False"
