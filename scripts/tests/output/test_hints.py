"""Hints name a command as the caller would type it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pipeline_cli.output import hints

from scripts.tests.support import Run, Stack


@pytest.mark.parametrize(
    ("arguments", "env", "expected"),
    [
        (("errors", "20220131"), "local", "make errors BATCH=20220131"),
        (("errors", "20220131"), "prod", "make errors BATCH=20220131 ENV=prod"),
        (("redrive",), "local", "make redrive"),
        (("redrive", "--delete", "x"), "local", ".venv/bin/pipeline redrive --delete x"),
        (("check", "day"), "local", "make check DIR=day"),
        (("sample", "day"), "local", ".venv/bin/pipeline sample day"),
    ],
)
def test_hints_name_make_if_make_called_the_program(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], env: str, expected: str
) -> None:
    monkeypatch.setenv(hints.CALLED_BY, "make")
    assert hints.command(*arguments, env=env) == expected


@pytest.mark.parametrize(
    ("called", "expected"), [("bin/pipeline", "pipeline"), (".venv/bin/pipeline", ".venv/bin/pipeline")]
)
def test_hints_name_the_program_as_it_was_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, called: str, expected: str
) -> None:
    monkeypatch.delenv(hints.CALLED_BY, raising=False)
    monkeypatch.chdir(tmp_path)
    for folder in ("bin", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "pipeline").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / called)])
    assert hints.command("errors", "20220131", env="prod") == f"{expected} errors 20220131 --env prod"


def test_a_missing_argument_is_explained_in_the_words_of_make(
    stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(hints.CALLED_BY, "make")
    result = run("replay")
    assert result.exit_code == 2
    assert result.stderr.strip() == "Error: make replay needs BATCH=… Example: make replay BATCH=20220131"
    assert "make upload needs FILE=…" in run("upload").stderr
    checked = run("check")
    assert (checked.exit_code, "make check needs DIR=…" in checked.stderr) == (64, True)
    monkeypatch.delenv(hints.CALLED_BY)
    assert "Missing argument" in run("replay").stderr
