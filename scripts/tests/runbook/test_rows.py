"""Each row of the runbook is acted out by a scenario, or `NOT_ACTED_OUT` says why it is not."""

from __future__ import annotations

from e2e import test_scenarios

from scripts.tests.runbook import rows, test_in_memory

SCENARIOS = [*test_in_memory.SCENARIOS, *test_scenarios.SCENARIOS]
ACTED_OUT = {name for scenario in SCENARIOS for name in (scenario.row, scenario.case) if name}

NOT_ACTED_OUT = {
    "batches-many": "It takes an hour of other people's files. More runs wait: infra/tests/test_state_machine.py",
    "*-throttles": "Neither the emulator nor the AWS in memory has a concurrency limit of an account.",
    "*-duration": "Durations on this machine mean nothing for Lambda.",
    "ReconciliationError": "It takes a bug: lambda/tests/unit/joining/test_customer_data_processor.py",
    "ThrottledError": "There is nothing to do: lambda/tests/faults/test_faults_in_memory.py",
    "DayTooLargeError": "It takes other settings: lambda/tests/unit/stages/test_transform.py",
    "States.TaskFailed": "It takes Spark: lambda/tests/large/test_day_on_the_stack.py",
    "LargeDayOutcomeError": "It takes a bug of the job: lambda/tests/unit/stages/test_large_day.py",
    "A bad release": "It takes a second release; `make tf-apply` is acted out in other rows.",
    "Publish may not send": "On the local AWS a queue has no policy to restore: infra/tests/test_policies.py",
    "Many sets are not noticed": "It takes days without events: scripts/tests/verbs/test_backfill.py",
    "We got the same message twice": "It is about a consumer: lambda/tests/e2e/test_consumer.py",
}
"""Why a row has no scenario, and what tests its subject instead."""


def test_each_alarm_and_each_case_is_acted_out_or_says_why_not() -> None:
    cases = {case for title in rows.sections() for case in rows.cases(title)}
    known = rows.alarms().keys() | cases

    assert not ACTED_OUT & NOT_ACTED_OUT.keys()
    assert ACTED_OUT - rows.sections().keys() <= known, "a scenario of a row that is gone"
    assert NOT_ACTED_OUT.keys() <= known, "a reason for a row that is gone"
    assert known <= ACTED_OUT | NOT_ACTED_OUT.keys(), "a row without a scenario and without a reason"


def test_each_section_without_cases_is_acted_out_by_an_alarm_that_names_it() -> None:
    named = {title for row in ACTED_OUT & rows.alarms().keys() for title in rows.titles(row)}

    assert {title for title in rows.sections() if not rows.cases(title)} <= named


def test_each_command_of_the_runbook_is_typed_in_some_scenario() -> None:
    written = {
        command
        for row in (*rows.alarms(), *rows.sections())
        for case in ("", *(case for title in rows.titles(row) for case in rows.cases(title)))
        if row not in NOT_ACTED_OUT and case not in NOT_ACTED_OUT
        for command in rows.commands(row, case)
    }
    typed = {command for scenario in SCENARIOS for command in rows.commands(scenario.row, scenario.case)}

    assert written <= typed
    assert len(typed) > 15
