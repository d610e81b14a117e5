"""Every alarm has its row in the runbook."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest

from infra.tests.current_provider.terraform_check import CurrentProvider
from infra.tests.support import Plan
from scripts.tests.runbook import rows
from scripts.tests.runbook.test_in_memory import SCENARIOS

pytestmark = pytest.mark.terraform


@pytest.fixture
def prod(terraform: CurrentProvider) -> Plan:
    return terraform.plan(environment="prod")


def test_every_row_has_its_alarm_and_every_alarm_names_its_row_and_the_environment(prod: Plan) -> None:
    for alarm, values in prod.alarms.items():
        text = values["alarm_description"]
        (row,) = re.findall(r" \(docs/runbook\.md, Alarms, (.+)\)$", text)
        assert row in rows.alarms()
        assert fnmatchcase(alarm, row)
        assert re.findall(r"make (?!\S+ ENV=prod)\S+", text) == [], (
            f"{alarm}: a paste would act on the reader's machine"
        )
    for row in rows.alarms():
        assert [alarm for alarm in prod.alarms if fnmatchcase(alarm, row)], f"there is no alarm {row}"


def test_an_alarm_advises_no_command_that_the_runbook_does_not(prod: Plan) -> None:
    for alarm, values in prod.alarms.items():
        advised = set(re.findall(r"make ([a-z-]+)", values["alarm_description"]))
        for row in rows.alarms():
            if fnmatchcase(alarm, row):
                cases = ["", *(case for title in rows.titles(row) for case in rows.cases(title))]
                written = " ".join(command for case in cases for command in rows.commands(row, case))
                assert advised <= set(re.findall(r"make ([a-z-]+)", written)) | {"status", "logs"}, alarm


def test_a_scenario_waits_for_the_metric_of_its_alarm(prod: Plan) -> None:
    for scenario in SCENARIOS:
        if scenario.metric:
            named = [values for alarm, values in prod.alarms.items() if fnmatchcase(alarm, scenario.row)]
            assert {values["metric_name"] for values in named} == {scenario.metric}
