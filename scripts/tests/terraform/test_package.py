from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import bytecode, dependencies, package
from pipeline_cli.terraform.dependencies import Platform, is_kept
from pipeline_cli.terraform.package import build


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("boto3/__init__.py", True),
        ("botocore/data/endpoints.json", True),
        ("botocore/data/s3/2006-03-01/service-2.json.gz", True),
        ("botocore/data/s3/2006-03-01/examples-1.json", False),
        ("botocore/data/ec2/2016-11-15/service-2.json.gz", False),
        ("boto3/data/ec2/2016-11-15/resources-1.json", False),
        ("duckdb-2.0.0.dist-info/METADATA", True),
        ("duckdb-2.0.0.dist-info/RECORD", False),
        ("duckdb/experimental/spark/__init__.py", False),
        ("duckdb/__init__.pyi", False),
        ("six/__pycache__/six.cpython-311.pyc", False),
        ("anything/tests/test_it.py", False),
        ("bin/jp.py", False),
    ],
)
def test_only_what_the_functions_may_use_is_kept(name: str, kept: bool) -> None:
    assert is_kept(name) is kept


def test_every_service_that_the_functions_call_is_in_the_package() -> None:
    called = set()
    for file in package.SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                if name in ("client", "resource") and node.args and isinstance(node.args[0], ast.Constant):
                    called.add(node.args[0].value)

    assert called
    assert called <= dependencies.SERVICES


def test_an_old_runtime_gets_no_wheel_that_it_cannot_load() -> None:
    assert "manylinux_2_28_aarch64" not in Platform("3.11", "aarch64").pip_options
    assert "manylinux_2_34_x86_64" in Platform("3.13", "x86_64").pip_options


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "pipeline"
    shutil.copytree(package.SOURCES, copy)
    for number, file in enumerate(sorted(copy.rglob("*"))):
        os.utime(file, (number, number))
        file.chmod(0o777 if file.is_dir() else 0o600)
    (copy / "__pycache__").mkdir(exist_ok=True)
    (copy / "__pycache__" / "x.cpython-311.pyc").touch()

    first = build(target=tmp_path / "a.zip")
    second = build(sources=copy, target=tmp_path / "b.zip")

    assert first.file.read_bytes() == second.file.read_bytes()
    with zipfile.ZipFile(first.file) as archive:
        names = archive.namelist()
    assert "pipeline/handlers/intake.py" in names
    assert not [name for name in names if "/tests/" in name or name.startswith("pip/")]
    assert not [name for name in names if name.endswith("/__pycache__/x.cpython-311.pyc")]
    compiled = {importlib.util.source_from_cache(name) for name in names if name.endswith(".pyc")}
    assert compiled == {name for name in names if name.endswith(".py")}
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_a_function_starts_from_bytecode_without_a_look_at_its_source(tmp_path: Path) -> None:
    with zipfile.ZipFile(build(target=tmp_path / "a.zip").file) as archive:
        archive.extractall(tmp_path / "task")
    # Times of the sources differ on Lambda, and its folder can't be written to: neither may keep the bytecode unused.
    for source in (tmp_path / "task").rglob("*.py"):
        os.utime(source, (1, 1))

    code = "import sys; sys.path[:0] = sys.argv[1:]; import boto3, pipeline.ledger"
    printed = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-v", "-c", code, str(tmp_path / "task")],
        check=True,
        capture_output=True,
        text=True,
    ).stderr

    task = [line for line in printed.splitlines() if str(tmp_path / "task") in line]
    assert [line for line in task if "code object from" in line and "/__pycache__/ledger." in line]
    assert not [line for line in task if "code object from" in line and ".pyc" not in line]


@pytest.mark.slow
def test_a_package_for_another_python_has_no_bytecode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytecode, "interpreter_for", lambda python: "")

    built = build(target=tmp_path / "a.zip")

    assert built.report.endswith("without bytecode")
    with zipfile.ZipFile(built.file) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".pyc")]


def test_bytecode_is_made_for_the_python_that_builds_only() -> None:
    major, minor = sys.version_info[:2]
    assert bytecode.interpreter_for(f"{major}.{minor}") == sys.version
    assert bytecode.interpreter_for(f"{major}.{minor + 1}") == ""


def test_a_source_that_cannot_be_compiled_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def :\n")
    with pytest.raises(CommandError, match=r"could not be compiled: pipeline/broken\.py: invalid syntax"):
        bytecode.compiled([("pipeline/broken.py", tmp_path / "broken.py")], tmp_path / "made")


@pytest.mark.slow
def test_a_package_without_changes_is_not_built_again(tmp_path: Path) -> None:
    target = tmp_path / "a.zip"
    build(target=target)
    before = target.stat().st_mtime_ns

    build(target=target)

    assert target.stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_package_that_cannot_be_imported_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "pipeline"
    broken.mkdir()
    (broken / "__init__.py").touch()
    (broken / "handler.py").write_text("import rich\n")

    with pytest.raises(CommandError, match="does not work on this machine: ModuleNotFoundError"):
        build(sources=broken, target=tmp_path / "a.zip")

    assert not (tmp_path / "a.zip").exists()


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["ZIPPED_LIMIT", "UNZIPPED_LIMIT"])
def test_a_package_above_a_limit_is_refused_with_its_largest_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(package, limit, 10 * package.MEGABYTE)

    with pytest.raises(CommandError, match=r"Lambda takes 10.0 MB at most\. Its largest parts.*_duckdb.* MB"):
        build(target=tmp_path / "a.zip")


@pytest.mark.slow
def test_the_package_for_aws_has_compiled_code_for_its_processor_and_python(tmp_path: Path) -> None:
    arm = 183  # EM_AARCH64, in the header of an ELF file

    built = build("dev", target=tmp_path / "a.zip")

    with zipfile.ZipFile(built.file) as archive:
        compiled = [name for name in archive.namelist() if name.endswith(".so")]
        assert [name for name in compiled if name.startswith("_duckdb")]
        for name in compiled:
            assert int.from_bytes(archive.read(name)[18:20], "little") == arm, name
            assert "abi3" in name or "cpython-313" in name, name
