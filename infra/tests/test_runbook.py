"""Who is woken by an alarm finds it in the runbook."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest

from infra.tests.support import INFRA, Plan

pytestmark = pytest.mark.terraform

RUNBOOK = INFRA.parent / "docs" / "runbook.md"
PREFIX = "csv-pipeline-dev-"


def _rows() -> dict[str, str]:
    """What to do about each alarm, by the pattern of its name."""
    section = RUNBOOK.read_text().partition("## Alarms")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| .+ \| (.+) \|$", section, re.MULTILINE))


def _with_its_sections(advice: str) -> str:
    """An advice together with the sections that it refers to."""
    sections = RUNBOOK.read_text().split("\n## ")
    titles = re.findall(r"\[([^]]+)\]\(#", advice)
    return advice + "".join(section for section in sections if section.partition("\n")[0] in titles)


def test_every_alarm_has_its_row_and_every_row_its_alarm(plan: Plan) -> None:
    alarms = {
        values["alarm_name"].removeprefix(PREFIX) for values in plan.of_type("aws_cloudwatch_metric_alarm").values()
    }
    patterns = list(_rows())

    for alarm in alarms:
        assert [pattern for pattern in patterns if fnmatchcase(alarm, pattern)], f"the runbook does not know {alarm}"
    for pattern in patterns:
        assert [alarm for alarm in alarms if fnmatchcase(alarm, pattern)], f"there is no alarm {pattern}"


def test_an_alarm_advises_no_command_that_the_runbook_does_not(plan: Plan) -> None:
    for values in plan.of_type("aws_cloudwatch_metric_alarm").values():
        alarm = values["alarm_name"].removeprefix(PREFIX)
        advised = set(re.findall(r"make ([a-z-]+)", values["alarm_description"]))
        for pattern, advice in _rows().items():
            if fnmatchcase(alarm, pattern):
                known = set(re.findall(r"`make ([a-z-]+)", _with_its_sections(advice)))
                assert advised <= known | {"status", "logs"}, alarm
