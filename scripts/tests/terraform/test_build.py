"""The lock files, the Makefile and the making of the virtual environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pipeline_cli.terraform.target import ROOT

LOCKS = ["requirements.lock", "requirements-local.lock", "requirements-large.lock", "lambda/requirements.lock"]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(requirements: list[str]) -> set[str]:
    """The `name==version` of each requirement, without extras, markers and comments."""
    found = set()
    for requirement in requirements:
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", requirement)
        assert match, f"{requirement} is not pinned"
        found.add(f"{match[1].lower()}=={match[2]}")
    return found


def locked(name: str) -> set[str]:
    return pins([line for line in (ROOT / name).read_text().splitlines() if re.match("[A-Za-z0-9]", line)])


def test_every_dependency_is_pinned_and_in_its_lock() -> None:
    settings = project()["project"]
    extras = settings["optional-dependencies"]
    runtime = pins(settings["dependencies"])

    assert runtime | pins(extras["operator"]) | pins(extras["local"]) <= locked("requirements-local.lock")
    # Spark is installed on top of the rest, and only where it is used.
    assert pins(extras.pop("large")) <= locked("requirements-large.lock")
    assert runtime.union(*map(pins, extras.values())) <= locked("requirements.lock")
    assert pins(project()["build-system"]["requires"]) <= locked("requirements-local.lock")


def test_the_smaller_locks_are_parts_of_the_whole() -> None:
    assert locked("lambda/requirements.lock") < locked("requirements-local.lock") < locked("requirements.lock")
    assert ";" not in (ROOT / "lambda/requirements.lock").read_text(), "pip evaluates markers for the wrong Python"
    assert not {"typer", "rich", "jinja2"} & {pin.partition("==")[0] for pin in locked("lambda/requirements.lock")}
    parts = [pin.partition("==") for pin in locked("requirements.lock")]
    versions = {number for name, _, number in parts if name in ("boto3", "botocore")}
    assert len(versions) == 1, "the emulator pins botocore, and boto3 must be of that version"


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_hashes_and_no_index(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    entries = [number for number, line in enumerate(lines) if re.match("[A-Za-z0-9]", line)]

    assert all("--hash=sha256:" in lines[number + 1] for number in entries)
    assert not [line for line in lines if "://" in line or re.match(r"\s*(-i|-f|--(?!hash))", line)]


def make(*arguments: str, **environment: str) -> str:
    # Variables that make was called with are in the environment of the tests that it runs, such as ARGS.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "ARGS"}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=clean | environment, capture_output=True, text=True, check=True).stdout


def test_every_target_is_documented_and_well_formed() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY:((?:.*\\\n)*.*)", text, re.M)
    assert phony
    documented = set(re.findall(r"^([a-z][a-z0-9-]*):.* ## ", text, re.M))

    assert documented == set(phony[1].replace("\\", "").split()) - {"FORCE"}
    assert {line.split()[0] for line in make().splitlines() if line.startswith("  ")} >= documented - {"help"}
    make("--dry-run", *sorted(documented))


@pytest.mark.parametrize("arguments", [("purge", "BATCH=20220131"), ("status", "BATHC=20220131"), ("NONSENSE=1",)])
def test_a_variable_that_a_target_does_not_read_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        make("--dry-run", *arguments)
    assert "reads no " in refused.value.stderr
    make("--dry-run", "package", "tf-apply", "ENV=dev", "YES=1")


@pytest.mark.parametrize("name", ["--help", "my file.csv", 'a "quoted" $day.csv', "it's.csv"])
def test_a_file_keeps_its_name_on_the_way_through_make(name: str) -> None:
    shown = ["PIPELINE=printf '<%s>'", "--old-file=.venv/.ready"]
    assert make("upload", "FILE=" + name.replace("$", "$$"), *shown) == f"<upload><--><{name}>"
    assert make("report", "BATCH=20220131", "OUT=" + name.replace("$", "$$"), *shown).endswith(f"<--out><{name}>")


def test_clean_deletes_everything_that_make_created_and_that_git_ignores(tmp_path: Path) -> None:
    ignored = (ROOT / ".gitignore").read_text()
    sections = [section for section in ignored.split("\n\n") if "make" in section.partition("\n")[0]]
    names = [name for section in sections for name in re.findall(r"^/?([\w.*-]+)/?$", section, re.MULTILINE)]
    for name in names:
        (tmp_path / name.replace("*", "20220201")).mkdir()
    (tmp_path / "lambda" / "__pycache__").mkdir(parents=True)
    for kept in ("Makefile", "README.md"):
        shutil.copy(ROOT / kept, tmp_path)

    assert {".venv", "build", ".coverage"} <= set(names)
    assert subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, check=True).stderr == b""
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["Makefile", "README.md", "lambda"]


def venv(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    (folder / "some.lock").write_text("six==1.17.0 \\\n    --hash=sha256:0\n")
    return subprocess.run(
        [str(ROOT / "scripts" / "venv.sh"), ".venv", "some.lock", ".venv/.ready"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_python_that_is_too_old_is_named_with_what_to_install(tmp_path: Path) -> None:
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("bash", "env", "cat", "rm", "grep", "touch"):
        (path / name).symlink_to(str(shutil.which(name)))
    for name in ("python3", "python3.13", "python3.12", "python3.11", "python3.14"):
        (path / name).write_text('#!/bin/sh\ncase "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac\n')
        (path / name).chmod(0o755)

    done = venv(tmp_path, {"PATH": str(path)})

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "needs Python 3.11 or newer and this machine has Python 3.9.2. Install it" in done.stderr


@pytest.mark.slow
def test_an_index_out_of_reach_is_one_sentence_and_leaves_no_stamp(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    for left_by_an_interrupted_installation in (".ready", ".unfinished"):
        (tmp_path / ".venv" / left_by_an_interrupted_installation).touch()
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1", "PIP_CONFIG_FILE": os.devnull}

    done = venv(tmp_path, dict(os.environ) | nowhere)

    assert done.returncode == 1
    assert done.stderr == (
        "The Python package index is out of reach: check the network, or name a mirror of it (PIP_INDEX_URL).\n"
    )
    assert not (tmp_path / ".venv" / ".ready").exists()
