"""`csv-check` as a partner has it: the wheel in a bare virtual environment, without the AWS SDK and without network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distribution
from pathlib import Path

import pytest
from pipeline.settings import VerdictSettings, published
from unit.model.test_error_codes import CATALOGUE, defective_day

from scripts.tests.verbs.test_check import write

ROOT = Path(__file__).parents[3]
DAY = "20220131"
WITHOUT_NETWORK = """
import socket
def refuse(*_): raise AssertionError("csv-check uses the network")
socket.socket.connect = socket.getaddrinfo = refuse
"""
CHECK_ALL = """
import json, sys
from pathlib import Path
from pipeline_cli import app, csv_check
command = app.load("check")
codes = {}
for folder in sorted(Path(sys.argv[1]).iterdir()):
    out = Path(sys.argv[2], folder.name + ".jsonl")
    sys.stdout = Path(sys.argv[2], folder.name + ".txt").open("w", encoding="utf-8")
    codes[folder.name] = command([str(folder), "--out", str(out)], prog_name="check", standalone_mode=False)
    sys.stdout.close()
Path(sys.argv[2], "codes.json").write_text(json.dumps(codes))
"""


def needed_by(requirements: list[str]) -> set[str]:
    """The distributions that pip would install for these requirements."""
    found: set[str] = set()
    todo = list(requirements)
    while todo:
        requirement = todo.pop()
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        if match and match[0].lower() not in found and not re.search("extra *==|Windows|win32", requirement):
            found.add(match[0].lower())
            todo += distribution(match[0]).requires or []
    return found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of a virtual environment that has the wheel and what the wheel asks for."""
    folder = tmp_path_factory.mktemp("bare")
    source, wheels, environment = folder / "source", folder / "wheels", folder / "venv"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("lambda/pipeline", "scripts/pipeline_cli"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq"]
    offline = ["--no-deps", "--no-index"]
    wheel = [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(wheels), str(source)]
    subprocess.run(wheel, check=True, timeout=120)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=60)
    programs = environment / "bin"
    (made,) = wheels.iterdir()
    install = [*pip, "--python", str(programs / "python"), "install", *offline, str(made)]
    subprocess.run(install, check=True, timeout=120)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    for name in needed_by([line for line in distribution("csv-pipeline").requires or [] if "extra" not in line]):
        for top in {Path(str(file)).parts[0] for file in distribution(name).files or []} - {"..", "__pycache__"}:
            (packages / top).symlink_to(distribution(name).locate_file(top))
    (packages / "sitecustomize.py").write_text(WITHOUT_NETWORK)
    return programs


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of every example day."""
    folder = tmp_path_factory.mktemp("days")
    for day in [*CATALOGUE, "good"]:
        (folder / day).mkdir()
        for kind, content in defective_day(day).items():
            suffix = ".gz" if content.startswith(b"\x1f\x8b") else ""
            (folder / day / f"{kind}_{DAY}.csv{suffix}").write_bytes(content)
    return folder


def environment(**further: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AWS_", "COLUMNS"))}
    return kept | further


@pytest.mark.slow
def test_it_has_neither_the_aws_sdk_nor_what_the_functions_log_with(bare: Path) -> None:
    names = "boto3", "botocore", "aws_lambda_powertools", "hcl2"
    code = f"import importlib.util as u; print([name for name in {names} if u.find_spec(name)])"
    found = subprocess.run([bare / "python", "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
    asked = subprocess.run(
        [bare / "pipeline", "status"], env=environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert asked.returncode == 1
    assert "needs the package" in asked.stderr
    assert "csv-pipeline[operator]" in asked.stderr


@pytest.mark.slow
def test_every_example_day_has_the_same_messages_sentences_and_exit_code_as_in_the_checkout(
    bare: Path, days: Path, tmp_path: Path
) -> None:
    for name, python in (("checkout", sys.executable), ("bare", str(bare / "python"))):
        (tmp_path / name).mkdir()
        (tmp_path / "run").mkdir(exist_ok=True)
        arguments = [python, "-c", CHECK_ALL, str(days), str(tmp_path / "run")]
        subprocess.run(arguments, env=environment(), check=True, timeout=300, cwd=tmp_path)
        (tmp_path / "run").rename(tmp_path / name / "run")

    expected, found = tmp_path / "checkout" / "run", tmp_path / "bare" / "run"
    codes = json.loads((expected / "codes.json").read_text())
    assert set(codes.values()) >= {0, 1, 2}
    files = sorted(path.name for path in expected.iterdir())
    assert len(files) == 2 * len(codes) + 1
    for name in files:
        assert (found / name).read_bytes() == (expected / name).read_bytes(), name


@pytest.mark.slow
def test_the_page_of_the_day_is_written_and_opened_and_is_no_file_of_the_partner_afterwards(
    bare: Path, tmp_path: Path
) -> None:
    day = write(tmp_path / "day", items=["o1,Lamp,two,80"])
    opener = tmp_path / "open"
    opener.write_text(f"#!/bin/sh\necho $1 > {tmp_path}/opened\n")
    opener.chmod(0o755)
    arguments = [bare / "csv-check", day, "--report", "--out", tmp_path / "out.jsonl"]

    for _ in range(2):
        done = subprocess.run(
            arguments, env=environment(BROWSER=str(opener)), cwd=day,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr

    page = day / f"report_{DAY}.html"
    assert (tmp_path / "opened").read_text().strip() == page.as_uri()
    assert f"{page.name} is what this command wrote" in done.stderr
    text = page.read_text(encoding="utf-8")
    assert "quantity &#39;two&#39; is not a whole number" in text
    assert "<code>o1,Lamp,two,80</code>" in text, "the record as it was read"
    assert "is what this day would be" in text


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_console_that_lacks_characters_shows_escapes(bare: Path, tmp_path: Path, encoding: str) -> None:
    for kind, content in defective_day("good").items():
        (tmp_path / f"{kind}_{DAY}.csv").write_bytes(content)
    items = tmp_path / f"items_{DAY}.csv"
    items.write_bytes(items.read_bytes() + "Šö-😀,Lamp,1,5\n".encode())
    arguments = [str(bare / "csv-check"), str(tmp_path), "--out", str(tmp_path / "out.jsonl")]
    consoles = environment(PYTHONIOENCODING=encoding)

    shown = subprocess.run(arguments, env=consoles, capture_output=True, check=False, timeout=60)
    as_json = subprocess.run([*arguments, "--json"], env=consoles, capture_output=True, check=False, timeout=60)
    helped = subprocess.run([arguments[0], "--help"], env=consoles, capture_output=True, check=False, timeout=60)

    assert (shown.returncode, as_json.returncode, helped.returncode) == (1, 1, 0), shown.stderr + helped.stderr
    assert "\\U0001f600" in shown.stdout.decode(encoding)
    assert json.loads(as_json.stdout.decode(encoding))["batch"] == DAY
    assert "Šö-😀" in (tmp_path / "out.jsonl").read_text(encoding="utf-8")
    assert "Usage: csv-check" in helped.stdout.decode(encoding)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"max_refused_percent": 5}, 3),
        ({"control_file": "required"}, 2),
        ({"max_error_messages": 2, "a_further_setting": "x"}, 1),
        ({"max_refused_percent": "many"}, 64),
    ],
)
def test_the_settings_of_the_deployment_decide(
    bare: Path, tmp_path: Path, settings: dict[str, object], code: int
) -> None:
    items = [f"none,Lamp,1,{number}" for number in range(21)] + [f"o1,Lamp,1,{number}" for number in range(200)]
    day = write(tmp_path / "day", items=items)
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(published(VerdictSettings()) | settings))
    arguments = [bare / "csv-check", day, "--settings", file, "--out", tmp_path / "out.jsonl"]

    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == code, done.stdout + done.stderr
    if code == 1:
        codes = [json.loads(line).get("code") for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert sorted(filter(None, codes)) == ["too_many_errors", "unknown_order", "unknown_order"]
    if code == 64:
        assert "MAX_REFUSED_PERCENT is 'many', but must be a whole number" in done.stderr
