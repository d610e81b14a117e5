"""Events that are repeated, late or out of order, and files that change during a run."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from faults.aws_platform import Platform
from faults.test_faults_in_memory import CORRECTED, DAY, FILES, LAST_EVENT, fresh_platform

Seen = dict[str, tuple[int, float] | None]


def seen_by_a_consumer(platform: Platform) -> Seen:
    """What a consumer has after all messages: the last one about each customer counts."""
    seen: Seen = {}
    for body in map(json.loads, platform.bodies):
        if body["type"] == "customer_message":
            seen[body["customer_reference"]] = (body["number_of_orders"], body["total_amount_spent"])
        elif body["type"] == "customer_removed":
            seen[body["customer_reference"]] = None
    return seen


def in_the_table(platform: Platform) -> Seen:
    """The results in the table, in the same form."""
    return {
        item["customer_reference"]["S"]: (
            int(item["number_of_orders"]["N"]),
            float(item["total_amount_spent"]["N"]),
        )
        for (pk, _), item in platform.outcome()[0].items()
        if pk.startswith("customer#")
    }


@pytest.fixture(scope="module")
def undisturbed(moto_active: None) -> tuple[Seen, Counter[str]]:
    """The table of the corrected day, and the messages of the first, when nothing disturbs them."""
    with pytest.MonkeyPatch.context() as environment, fresh_platform(environment) as platform:
        platform.upload(FILES)
        platform.settle()
        first = platform.outcome()[1]
        platform.upload(CORRECTED)
        platform.settle()
        return in_the_table(platform), first


@pytest.mark.slow
@pytest.mark.parametrize("order", [list(FILES), list(reversed(FILES))], ids=["first to last", "last to first"])
def test_events_twice_late_and_in_any_order_are_one_run(
    environment: pytest.MonkeyPatch, undisturbed: tuple[Seen, Counter[str]], order: list[str]
) -> None:
    with fresh_platform(environment) as platform:
        platform.upload(FILES, [*order, *reversed(order)])
        platform.settle()
        platform.upload({}, order)
        platform.settle()

        assert platform.outcome()[1] == undisturbed[1]
        assert len(platform.runs) == 1


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["transform", "deliver", "finalize", "publish"])
def test_a_correction_during_the_first_run_wins_and_nothing_of_the_first_version_stays(
    environment: pytest.MonkeyPatch, undisturbed: tuple[Seen, Counter[str]], stage: str
) -> None:
    with fresh_platform(environment) as platform:

        def correct() -> None:
            platform.upload(CORRECTED, LAST_EVENT)
            platform.take_events()

        platform.upload(FILES, LAST_EVENT)
        platform.during[stage] = correct
        platform.settle()

        assert platform.states() == {f"batch#{DAY}": "COMPLETED"}
        table = in_the_table(platform)
        assert table == undisturbed[0]
        assert {customer: value for customer, value in seen_by_a_consumer(platform).items() if value} == table
        assert not [body for body, count in Counter(platform.bodies).items() if count > 1]


@pytest.mark.slow
def test_a_set_that_is_corrected_back_and_forth_ends_with_the_result_of_its_last_files(
    environment: pytest.MonkeyPatch, undisturbed: tuple[Seen, Counter[str]]
) -> None:
    with fresh_platform(environment) as platform:
        for files in (FILES, CORRECTED, FILES, CORRECTED):
            platform.upload(files, LAST_EVENT)
            platform.settle()
        assert in_the_table(platform) == undisturbed[0]
        assert {c: value for c, value in seen_by_a_consumer(platform).items() if value} == undisturbed[0]
        assert len(platform.runs) == 4
