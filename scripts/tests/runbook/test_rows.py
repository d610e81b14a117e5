"""Each row of the runbook is acted out by a scenario, or docs/runbook-scenarios.md says why it is not."""

from __future__ import annotations

import re

from e2e import test_scenarios
from pipeline_cli.terraform.target import ROOT

from scripts.tests.runbook import rows, test_in_memory

SCENARIOS = [*test_in_memory.SCENARIOS, *test_scenarios.SCENARIOS]
ACTED_OUT = {name for scenario in SCENARIOS for name in (scenario.row, scenario.case) if name}


def not_acted_out() -> dict[str, str]:
    text = (ROOT / "docs" / "runbook-scenarios.md").read_text().partition("## Rows that are not acted out")[2]
    return dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", text, re.MULTILINE))


def test_each_alarm_and_each_case_is_acted_out_or_says_why_not() -> None:
    cases = {case for title in rows.sections() for case in rows.cases(title)}
    known = rows.alarms().keys() | cases

    assert not ACTED_OUT & not_acted_out().keys()
    assert ACTED_OUT - rows.sections().keys() <= known, "a scenario of a row that is gone"
    assert not_acted_out().keys() <= known, "a reason for a row that is gone"
    assert known <= ACTED_OUT | not_acted_out().keys(), "a row without a scenario and without a reason"


def test_each_section_without_cases_is_acted_out_by_an_alarm_that_names_it() -> None:
    named = {title for row in ACTED_OUT & rows.alarms().keys() for title in rows.titles(row)}

    assert {title for title in rows.sections() if not rows.cases(title)} <= named


def test_each_command_of_the_runbook_is_typed_in_some_scenario() -> None:
    written = {
        command
        for row in (*rows.alarms(), *rows.sections())
        for case in ("", *(case for title in rows.titles(row) for case in rows.cases(title)))
        if row not in not_acted_out() and case not in not_acted_out()
        for command in rows.commands(row, case)
    }
    typed = {command for scenario in SCENARIOS for command in rows.commands(scenario.row, scenario.case)}

    assert written <= typed
    assert len(typed) > 15
