"""Temporary folders and unfinished files do not outlive what needs them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from pipeline_cli.output.files import open_whole, temporary_folder


def interrupted(call: object) -> object:
    """Return a function that does what `call` does, and is interrupted right after it, as a signal may do."""

    def then_interrupt(*arguments: object, **options: object) -> None:
        call(*arguments, **options)  # type: ignore[operator]
        raise KeyboardInterrupt

    return then_interrupt


def test_a_signal_right_after_a_temporary_folder_was_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "mkdir", interrupted(Path.mkdir))
    with pytest.raises(KeyboardInterrupt), temporary_folder("check-"):
        pytest.fail("it was interrupted before")
    assert list(tmp_path.iterdir()) == []


def test_a_signal_right_after_a_file_was_opened_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", interrupted(os.open))
    with pytest.raises(KeyboardInterrupt), open_whole(tmp_path / "page.html"):
        pytest.fail("it was interrupted before")
    assert list(tmp_path.iterdir()) == []
