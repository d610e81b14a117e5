"""The outputs of the recorded days are those of the record: no change of the product changes what a day means unseen.

After a rule was changed on purpose, record them anew: see `.venv/bin/python -m lambda.tests.recorded --help`.
"""

from __future__ import annotations

import pytest
from recorded.generated import all_days
from recorded.outputs import difference, digests, recorded

DAYS = list(all_days())
GROUPS = 8
"""Groups of days, so that several processes of pytest share the work; `make test-unit` runs the first."""


def test_every_day_is_recorded_under_a_name_of_its_own() -> None:
    names = [day.name for day in DAYS]
    assert [name for name in names if names.count(name) > 1] == []
    assert list(recorded()) == names


@pytest.mark.parametrize("group", [0, *(pytest.param(group, marks=pytest.mark.slow) for group in range(1, GROUPS))])
def test_the_outputs_of_a_day_are_those_recorded(group: int) -> None:
    before = recorded()
    differences = {day.name: difference(before.get(day.name), digests(day)) for day in DAYS[group::GROUPS]}
    found = [f"{name} {text}" for name, text in differences.items() if text]
    assert not found, "\n".join(["python -m lambda.tests.recorded --show DAY shows the outputs of these:", *found])
