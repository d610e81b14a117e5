"""docs/extending.md, followed to the letter on a copy of the project."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_cli.terraform.target import ROOT

GUIDE = ROOT / "docs" / "extending.md"
DAY = "20220131"
FILES = {
    "customers": "customer_reference,first_name,last_name,status,registered_at\n"
    "c1,A,B,Active,1643587200\nc2,A,B,Active,last spring\n",
    "orders": "customer_reference,order_status,order_reference,order_timestamp\n"
    "c1,Placed,o1,1643620000\nc2,Placed,o2,1643620000\n",
    "items": "order_reference,item_name,quantity,total_price\no1,Tea towel,1,5.00\n",
    "shipments": "shipment_reference,order_reference,shipped_at\n"
    "s1,o1,1643700000\ns1,o1,1643700000\ns2,o2,1643700000\ns3,o9,1643700000\ns4,o1,soon\n",
}


def steps(title: str) -> list[tuple[str, str, str]]:
    """The edits of a section: a file, the lines that are there and those that take their place."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    found = []
    for name, body in re.findall(r"^```diff\n--- (\S+)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE):
        for hunk in body.split("@@\n"):
            lines = hunk.splitlines()
            before = "\n".join(line[1:] for line in lines if line[:1] in (" ", "-"))
            after = "\n".join(line[1:] for line in lines if line[:1] in (" ", "+"))
            assert all(line[:1] in (" ", "-", "+") for line in lines), hunk
            found.append((name, before, after))
    return found


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the guide changes and `pipeline check` needs."""
    ignored = shutil.ignore_patterns("tests", "__pycache__")
    for folder in ("lambda", "scripts"):
        shutil.copytree(ROOT / folder, tmp_path / "project" / folder, ignore=ignored)
    return tmp_path / "project"


def follow(project: Path, title: str) -> None:
    edits = steps(title)
    assert edits, f"the guide has no section {title}"
    for name, before, after in edits:
        file = project / name
        text = file.read_text()
        assert text.count(before) == 1, f"{name} has this not exactly once, so the guide is out of date:\n{before}"
        file.write_text(text.replace(before, after))


def pipeline(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the copy's own command line."""
    search = f"import sys; sys.path[:0] = [{str(project / 'lambda')!r}, {str(project / 'scripts')!r}]; "
    return subprocess.run(
        [sys.executable, "-c", search + "from pipeline_cli.app import main; main()", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def write(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for kind, text in files.items():
        (folder / f"{kind}_{DAY}.csv").write_text(text)
    return folder


def checked(project: Path, folder: Path) -> dict[tuple[str, int | None], str]:
    """The errors that `pipeline check` finds: by file and line, their codes."""
    out = folder.with_suffix(".jsonl")
    done = pipeline(project, "check", str(folder), "--out", str(out))
    assert done.returncode in (0, 1, 2), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    found = [json.loads(line) for line in out.read_text().splitlines()]
    return {(f["file"].partition("_")[0], f["line"]): f["code"] for f in found if f["type"] == "error_message"}


@pytest.mark.slow
def test_adding_a_column_makes_it_required_and_checked(copy: Path, tmp_path: Path) -> None:
    follow(copy, "Add a column")
    three = {kind: text for kind, text in FILES.items() if kind != "shipments"}

    assert checked(copy, write(tmp_path / "day", **three)) == {
        ("customers", 3): "not_a_timestamp",
        ("orders", 3): "refused_customer",
    }
    without = three | {"customers": three["customers"].replace(",registered_at", "").replace(",1643587200", "")}
    assert checked(copy, write(tmp_path / "without", **without)) == {("customers", None): "missing_column"}


@pytest.mark.slow
def test_adding_a_fourth_file_makes_it_part_of_the_set(copy: Path, tmp_path: Path) -> None:
    follow(copy, "Add a fourth file")
    files = {**FILES, "customers": FILES["customers"].replace(",registered_at", "").replace(",1643587200", "")}
    files["customers"] = files["customers"].replace(",last spring", "")

    assert checked(copy, write(tmp_path / "day", **files)) == {
        ("shipments", 3): "duplicate_reference",
        ("shipments", 5): "unknown_order",
        ("shipments", 6): "not_a_timestamp",
    }
    summary = json.loads(pipeline(copy, "check", str(tmp_path / "day"), "--json").stdout)
    assert (summary["state"], summary["files"]["shipments"]["counted"]) == ("READY", 2)

    del files["shipments"]
    done = pipeline(copy, "check", str(write(tmp_path / "three", **files)))
    assert done.returncode == 2
    assert f"shipments_{DAY}.csv (or .csv.gz) is missing" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("titles", [["Add a column"], ["Add a fourth file"], ["Add a column", "Add a fourth file"]])
def test_the_sample_command_follows_the_changes(copy: Path, tmp_path: Path, titles: list[str]) -> None:
    for title in titles:
        follow(copy, title)
    day = tmp_path / "sample"
    made = pipeline(copy, "sample", str(day), "--date", DAY, "--records", "50", "--defects", "0", "--json")
    assert made.returncode == 0, made.stderr
    assert all(json.loads(made.stdout)["records"].values())
    assert checked(copy, day) == {}
