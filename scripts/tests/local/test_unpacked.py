"""Processes of functions share one unpacked copy of their package."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

import pytest
from pipeline_cli.local.unpacked import CODE, SharedPackage


def unpack(folder: Path, content: str) -> Path:
    """Unpack a package as MiniStack does for a new process; return the folder of the code."""
    code = folder / CODE
    code.mkdir(parents=True)
    with zipfile.ZipFile(folder / "code.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("package/module.py"), content)
    with SharedPackage(folder / "code.zip") as package:
        package.extractall(str(code))
    return code


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def test_two_processes_of_a_function_share_the_unpacked_package(tmp_path: Path) -> None:
    first, second = (unpack(tmp_path / name, "x = 1") for name in ("first", "second"))

    assert first.resolve() == second.resolve()
    assert (second / "package" / "module.py").read_text() == "x = 1"
    assert list((tmp_path / "second").iterdir()) == [second]


def test_a_new_version_of_the_code_has_a_copy_of_its_own(tmp_path: Path) -> None:
    old, new = unpack(tmp_path / "tmp" / "old", "x = 1"), unpack(tmp_path / "tmp" / "new", "x = 2")

    assert (old / "package" / "module.py").read_text() == "x = 1"
    assert (new / "package" / "module.py").read_text() == "x = 2"


def test_a_copy_that_no_process_uses_any_more_is_removed(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    old, kept = unpack(temporary / "old", "x = 1").resolve(), unpack(temporary / "kept", "x = 2").resolve()
    shutil.rmtree(temporary / "old")

    unpack(temporary / "new", "x = 3")

    assert not old.exists()
    assert (kept / "package" / "module.py").is_file()


def test_a_layer_is_unpacked_in_its_place(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "layer.zip", "w") as archive:
        archive.writestr("python/module.py", "x = 1")
    with SharedPackage(tmp_path / "layer.zip") as layer:
        layer.extractall(tmp_path / "layer_0")

    assert not (tmp_path / "layer_0").is_symlink()
    assert (tmp_path / "layer_0" / "python" / "module.py").is_file()
    assert (tmp_path / "layer.zip").is_file()
