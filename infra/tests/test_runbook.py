"""Who is woken by an alarm finds it in the runbook."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest

from infra.tests.support import INFRA, Plan

pytestmark = pytest.mark.terraform

RUNBOOK = INFRA.parent / "docs" / "runbook.md"
PREFIX = "csv-pipeline-dev-"


def test_every_alarm_has_its_row_and_every_row_its_alarm(plan: Plan) -> None:
    alarms = {
        values["alarm_name"].removeprefix(PREFIX) for values in plan.of_type("aws_cloudwatch_metric_alarm").values()
    }
    section = RUNBOOK.read_text().partition("## Alarms")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \| (.+) \|$", section, re.MULTILINE)
    patterns = [pattern for pattern, _, _ in rows]

    for alarm in alarms:
        assert [pattern for pattern in patterns if fnmatchcase(alarm, pattern)], f"the runbook does not know {alarm}"
    for pattern in patterns:
        assert [alarm for alarm in alarms if fnmatchcase(alarm, pattern)], f"there is no alarm {pattern}"
