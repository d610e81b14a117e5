"""Every alarm has its row in the runbook."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest

from infra.tests.current_provider.terraform_check import CurrentProvider
from infra.tests.support import PREFIX, Plan
from scripts.tests.runbook import rows
from scripts.tests.runbook.test_in_memory import SCENARIOS

pytestmark = pytest.mark.terraform


def test_every_alarm_has_its_row_and_every_row_its_alarm(plan: Plan) -> None:
    alarms = {
        values["alarm_name"].removeprefix(f"{PREFIX}-")
        for values in plan.of_type("aws_cloudwatch_metric_alarm").values()
    }
    patterns = list(rows.alarms())

    for alarm in alarms:
        assert [pattern for pattern in patterns if fnmatchcase(alarm, pattern)], f"the runbook does not know {alarm}"
    for pattern in patterns:
        assert [alarm for alarm in alarms if fnmatchcase(alarm, pattern)], f"there is no alarm {pattern}"


def test_an_alarm_names_the_environment_in_every_command_and_its_row(terraform: CurrentProvider) -> None:
    plan = terraform.plan(environment="prod")
    for values in plan.of_type("aws_cloudwatch_metric_alarm").values():
        alarm, text = values["alarm_name"].removeprefix("csv-pipeline-prod-"), values["alarm_description"]
        (row,) = re.findall(r" \(docs/runbook\.md, Alarms, (.+)\)$", text)
        assert row in rows.alarms()
        assert fnmatchcase(alarm, row)
        assert re.findall(r"make (?!\S+ ENV=prod)\S+", text) == [], (
            f"{alarm}: a paste would act on the reader's machine"
        )


def test_an_alarm_advises_no_command_that_the_runbook_does_not(plan: Plan) -> None:
    for values in plan.of_type("aws_cloudwatch_metric_alarm").values():
        alarm = values["alarm_name"].removeprefix(f"{PREFIX}-")
        advised = set(re.findall(r"make ([a-z-]+)", values["alarm_description"]))
        for row in rows.alarms():
            if fnmatchcase(alarm, row):
                cases = ["", *(case for title in rows.titles(row) for case in rows.cases(title))]
                written = " ".join(command for case in cases for command in rows.commands(row, case))
                assert advised <= set(re.findall(r"make ([a-z-]+)", written)) | {"status", "logs"}, alarm


def test_a_scenario_waits_for_the_metric_of_its_alarm(plan: Plan) -> None:
    metrics = {
        values["alarm_name"].removeprefix(f"{PREFIX}-"): values.get("metric_name")
        for values in plan.of_type("aws_cloudwatch_metric_alarm").values()
    }
    for scenario in SCENARIOS:
        if scenario.metric:
            assert {metrics[alarm] for alarm in metrics if fnmatchcase(alarm, scenario.row)} == {scenario.metric}
