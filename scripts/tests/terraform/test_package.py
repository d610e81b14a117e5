"""The package of the functions: what is in it, that it works, and that the same inputs give the same bytes."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pipeline_cli.output.errors import CommandError
from pipeline_cli.terraform import dependencies, package
from pipeline_cli.terraform.dependencies import Platform, compile_sources
from pipeline_cli.terraform.package import Package, build

HERE = dependencies.platform_of("local")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package for this interpreter."""
    return build(target=tmp_path_factory.mktemp("package") / "a.zip")


def test_a_platform_gets_no_bytecode_that_it_cannot_load() -> None:
    assert (HERE.compiler, Platform("3.99").compiler) == (sys.version, "")


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes(built: Package, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "pipeline"
    shutil.copytree(package.SOURCES, copy)
    for number, file in enumerate(sorted(copy.rglob("*"))):
        os.utime(file, (number, number))
        file.chmod(0o777 if file.is_dir() else 0o600)
    (copy / "__pycache__").mkdir(exist_ok=True)
    (copy / "__pycache__" / "x.cpython-311.pyc").touch()

    again = build(sources=copy, target=tmp_path / "b.zip")

    assert built.file.read_bytes() == again.file.read_bytes()
    with zipfile.ZipFile(again.file) as archive:
        names = archive.namelist()
    assert "pipeline/handlers/intake.py" in names
    assert not [name for name in names if "/tests/" in name or name.startswith("pip/") or "/large/" in name]
    compiled = {importlib.util.source_from_cache(name) for name in names if name.endswith(".pyc")}
    assert compiled == {name for name in names if name.endswith(".py")}
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_a_function_starts_from_bytecode_without_a_look_at_its_source(built: Package, tmp_path: Path) -> None:
    with zipfile.ZipFile(built.file) as archive:
        archive.extractall(tmp_path / "task")
    # Times of the sources differ on Lambda, and its folder can't be written to: neither may keep the bytecode unused.
    for source in (tmp_path / "task").rglob("*.py"):
        os.utime(source, (1, 1))

    code = "import sys; sys.path[:0] = sys.argv[1:]; import boto3, pipeline.ledger"
    command = [sys.executable, "-I", "-S", "-B", "-v", "-c", code, str(tmp_path / "task")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stderr

    task = [line for line in printed.splitlines() if str(tmp_path / "task") in line]
    assert [line for line in task if "code object from" in line and "/__pycache__/ledger." in line]
    assert not [line for line in task if "code object from" in line and ".pyc" not in line]


def test_a_source_that_cannot_be_compiled_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def :\n")
    with pytest.raises(CommandError, match=r"(?s)could not be compiled: .*broken\.py.*invalid syntax"):
        compile_sources(tmp_path, HERE)


@pytest.mark.slow
def test_a_package_without_changes_is_not_built_again(built: Package) -> None:
    before = built.file.stat().st_mtime_ns
    assert build(target=built.file) == built
    assert built.file.stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_package_that_cannot_be_imported_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "pipeline"
    broken.mkdir()
    (broken / "__init__.py").touch()
    (broken / "handler.py").write_text("import rich\n")

    with pytest.raises(CommandError, match="does not work on this machine: ModuleNotFoundError"):
        build(sources=broken, target=tmp_path / "a.zip")

    assert not (tmp_path / "a.zip").exists()


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
        names = archive.namelist()
        compiled = [name for name in names if name.endswith(".so")]
        assert [name for name in compiled if name.startswith("_duckdb")]
        for name in compiled:
            assert int.from_bytes(archive.read(name)[18:20], "little") == arm, name
            assert "abi3" in name or "cpython-313" in name, name
