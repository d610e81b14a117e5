from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pipeline_cli.terraform import job_package, package
from pipeline_cli.terraform.job_package import GLUE, build


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package for this interpreter."""
    return build("local", tmp_path_factory.mktemp("package") / "pipeline.gluewheels.zip")


def names(zip_file: Path) -> list[str]:
    with zipfile.ZipFile(zip_file) as archive:
        return archive.namelist()


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(package.SOURCES, tmp_path / "elsewhere" / "pipeline")
    again = build("local", tmp_path / "pipeline.gluewheels.zip", moved)

    assert again.read_bytes() == built.read_bytes()


@pytest.mark.slow
def test_a_changed_source_gives_another_package(built: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(package.SOURCES, tmp_path / "pipeline")
    (changed / "errors.py").write_text("# changed\n")

    assert build("local", tmp_path / "p.gluewheels.zip", changed).read_bytes() != built.read_bytes()


@pytest.mark.slow
def test_pip_installs_it_without_an_index(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path)
    wheels, target = tmp_path / "wheels", tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--no-index", "--no-deps"]
    subprocess.run(
        [*pip, "--find-links", str(wheels), "-r", str(wheels / "requirements.txt"), "--target", str(target)],
        check=True,
    )
    code = "import pipeline.joining.duckdb_engine, duckdb; print(duckdb.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(target)}, capture_output=True, text=True, check=True
    )

    assert done.stdout.startswith(str(target))
    assert (target / "pipeline" / "reading" / "macros.sql").exists()
    assert (target / "pipeline" / "large" / "job.py").exists()
    assert not (target / "pipeline" / "handlers").exists()


def test_glue_gets_wheels_for_its_own_python_and_processor(tmp_path: Path) -> None:
    found = names(build("dev", tmp_path / "pipeline.gluewheels.zip"))

    assert [name for name in found if "duckdb" in name and "cp311" in name and "x86_64" in name]
    assert "manylinux_2_34_x86_64" in GLUE.pip_options


@pytest.mark.parametrize(("settings", "on"), [({"large_days": None}, False), ({"large_days": {}}, True)])
def test_the_package_is_built_where_large_days_are_on(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], on: bool
) -> None:
    monkeypatch.setattr(job_package, "variables", lambda _: settings)

    assert job_package.is_on("prod") is on
