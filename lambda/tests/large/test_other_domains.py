"""Other data models on Spark: the second domain, and the changes of docs/extending.md, each in a clone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clone import Clone, clone
from extending import CHANGES, DAYS, follow
from second_domain.checks import second_day

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark_is_installed")]


def check(project: Clone, day: dict[str, Any]) -> None:
    (project.root / "day.json").write_text(json.dumps(day))
    project.run_tests("lambda/tests/large/check_day_of_a_clone.py")


@pytest.mark.parametrize("title", CHANGES)
def test_a_change_of_the_guide_gives_the_right_totals_marks_and_messages(title: str, tmp_path: Path) -> None:
    project, day = clone(tmp_path / "project"), DAYS[title]
    follow(project, title)
    check(project, {"files": day.files, "messages": day.messages, "incomplete": day.incomplete})


def test_the_second_domain_gets_the_same_results_as_from_duckdb(tmp_path: Path) -> None:
    project = clone(tmp_path / "project", Path(second_day.__file__).parents[1] / "data_model.py")
    files = second_day.FILES
    found = project.day(files)
    messages = [one for one in found["messages"] if one["type"] == "account_message"]
    assert {one["account_number"] for one in messages} == set(second_day.RESULTS)
    check(project, {"files": files, "messages": messages, "incomplete": second_day.INCOMPLETE})
