"""Tasks start quickly: no ZIP file's directory is read again before each of them."""

from __future__ import annotations

import importlib
import sys
import zipfile
from pathlib import Path
from zipimport import zipimporter

import pytest
from pipeline.large.tasks import TaskLimits


def test_a_worker_forgets_zip_files_and_can_still_import_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "modules.zip"
    with zipfile.ZipFile(archive, "w") as modules:
        modules.writestr("first_in_zip.py", "VALUE = 1")
        modules.writestr("second_in_zip.py", "VALUE = 2")
    monkeypatch.syspath_prepend(str(archive))
    assert importlib.import_module("first_in_zip").VALUE == 1
    assert isinstance(sys.path_importer_cache[str(archive)], zipimporter)

    with TaskLimits(50, tmp_path).database("a file"):
        pass

    assert not any(isinstance(finder, zipimporter) for finder in sys.path_importer_cache.values())
    assert importlib.import_module("second_in_zip").VALUE == 2
    for name in ("first_in_zip", "second_in_zip"):
        del sys.modules[name]
