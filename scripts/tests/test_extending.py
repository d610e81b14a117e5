"""docs/extending.md, followed to the letter on a copy of the project."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from clone import DATA_MODEL, Clone, clone
from extending import CHANGES, DAYS, follow

BATCH = "20220131"


@pytest.fixture
def copy(tmp_path: Path) -> Clone:
    return clone(tmp_path / "project")


@pytest.mark.slow
@pytest.mark.parametrize("title", CHANGES)
def test_a_change_of_the_guide_gives_the_right_totals_marks_and_messages(copy: Clone, title: str) -> None:
    follow(copy, title)
    found, expected = copy.day(DAYS[title].files), DAYS[title]
    assert found["incomplete"] == expected.incomplete
    assert {(kind, line): code for kind, line, code in found["errors"]} == expected.errors
    assert [one for one in found["messages"] if one["type"] == "customer_message"] == expected.messages


@pytest.mark.slow
def test_a_file_without_the_new_column_is_refused_and_one_without_the_optional_is_not(copy: Clone) -> None:
    for title in CHANGES:
        follow(copy, title)
    files = DAYS["A fourth file with a sum"].files
    assert copy.day(files)["errors"] == [["customers", None, "missing_column"]]
    registered = files | {"customers": DAYS["A column"].files["customers"]}
    assert {result["segment"] for result in copy.day(registered)["results"].values()} == {""}


@pytest.mark.slow
def test_the_commands_follow_all_changes(copy: Clone, tmp_path: Path) -> None:
    for title in CHANGES:
        follow(copy, title)
    day = tmp_path / "sample"
    made = copy.pipeline("sample", str(day), "--date", BATCH, "--records", "20", "--defects", "0", "--json")
    assert made.returncode == 0, made.stderr
    assert set(json.loads(made.stdout)["records"]) == {"customers", "orders", "items", "payments"}
    checked = copy.pipeline("check", str(day), "--json")
    assert (checked.returncode, json.loads(checked.stdout)["state"]) == (0, "READY"), checked.stderr

    (day / f"payments_{BATCH}.csv").unlink()
    incomplete = copy.pipeline("check", str(day))
    assert incomplete.returncode == 2
    assert f"payments_{BATCH}.csv (or .csv.gz) is missing" in incomplete.stderr


@pytest.mark.slow
def test_a_clone_that_follows_the_guide_merges_with_the_next_release(copy: Clone) -> None:
    """Each file of ours but the data model has a further line in the next release."""

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=A team", "-c", "user.email=team@example.com", "-c", "commit.gpgsign=false")
        command = ["git", *identity, *arguments]
        return subprocess.run(command, cwd=copy.root, check=True, capture_output=True, text=True).stdout

    git("init", "--quiet", "--initial-branch", "main")
    git("add", "--all")
    git("commit", "--quiet", "--message", "A release")
    git("switch", "--quiet", "--create", "clone")
    for title in CHANGES:
        follow(copy, title)
    written = copy.run("-m", "lambda.tests.contract_documents")
    assert written.returncode == 0, written.stderr
    git("commit", "--quiet", "--all", "--message", "Our columns and files")
    changed = git("show", "--name-only", "--format=", "HEAD").split()
    assert [name for name in changed if not name.startswith("docs/contracts/")] == [DATA_MODEL]
    git("switch", "--quiet", "main")
    for file in [*copy.root.glob("lambda/pipeline/**/*.py"), *copy.root.glob("scripts/pipeline_cli/**/*.py")]:
        if file != copy.root / DATA_MODEL:
            file.write_text(file.read_text() + "# A line of the next release.\n")
    git("commit", "--quiet", "--all", "--message", "The next release")
    git("switch", "--quiet", "clone")

    git("merge", "--quiet", "--no-edit", "main")

    assert "# A line of the next release." in (copy.root / "lambda/pipeline/model/record_kinds.py").read_text()
    files: dict[str, Any] = DAYS["A fourth file with a sum"].files | {
        "customers": DAYS["A column"].files["customers"].replace("last spring", "1643587200")
    }
    found = copy.day(files)
    assert found["results"]["c1"] == {
        "number_of_orders": "1",
        "total_amount_spent": "5",
        "total_amount_paid": "4.5",
        "segment": "",
    }
